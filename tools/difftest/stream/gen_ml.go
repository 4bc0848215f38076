package stream

import "stubtpm/vtpm/tcg"

// The keys and commands of version 1.85, for pairs of TPMs that have both.

// templateML returns a random valid template of the keys that version 1.85 brought.
func (w *world) templateML() template {
	da := pick(w, []uint32{0, attrNoDA})
	unique := b2()
	kem := u16(1 + w.n(3))
	set := u16(1 + w.n(2))
	switch w.n(6) {
	case 0, 1:
		return template{typ: tcg.TPMAlgMLKEM, attrs: made | da | attrRestricted | attrDecryptKey, params: cat(symAES, kem), unique: unique}
	case 2:
		return template{typ: tcg.TPMAlgMLKEM, attrs: made | da | attrDecryptKey, params: cat(symNull, kem), unique: unique}
	case 3:
		kdf := cat(alg(tcg.TPMAlgECDH), alg(tcg.TPMAlgSHA256), u16(3), alg(tcg.TPMAlgHKDF), alg(tcg.TPMAlgSHA256))
		return template{typ: tcg.TPMAlgECC, attrs: made | da | attrDecryptKey, params: cat(symNull, kdf), unique: cat(b2(), b2())}
	case 4:
		h := pick(w, []tcg.TPMAlgID{tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgNull})
		if h == tcg.TPMAlgNull {
			return template{typ: tcg.TPMAlgHashMLDSA, attrs: made | da | attrSignKey | attrRestricted, params: cat(set, alg(tcg.TPMAlgSHA256)), unique: unique}
		}
		return template{typ: tcg.TPMAlgHashMLDSA, attrs: made | da | attrSignKey, params: cat(set, alg(h)), unique: unique}
	}
	restricted := pick(w, []uint32{0, 0, attrRestricted})
	mu := byte(0)
	if restricted == 0 {
		mu = byte(w.n(2))
	}
	return template{typ: tcg.TPMAlgMLDSA, attrs: made | da | attrSignKey | restricted, params: cat(set, []byte{mu}), unique: unique}
}

func isML(o *object) bool {
	return o.typ == tcg.TPMAlgMLDSA || o.typ == tcg.TPMAlgHashMLDSA
}

// digestSize returns the size in bytes of what a key of version 1.85 signs by
// TPM2_SignDigest, or 0.
func (o *object) digestSize() int {
	p := o.pub[0]
	if len(p) < 10 || !isML(o) {
		return 0
	}
	if p = p[min(len(p), 10+(int(p[8])<<8|int(p[9]))):]; len(p) < 4 {
		return 0
	}
	switch h := tcg.TPMAlgID(uint16(p[2])<<8 | uint16(p[3])); {
	case o.typ == tcg.TPMAlgHashMLDSA:
		return h.DigestSize()
	case p[2] == 1: // allowExternalMu
		return 64
	}
	return 0
}

// primaryML returns a command that makes a primary key of one of some types.
func (w *world) primaryML(types ...tcg.TPMAlgID) *command {
	if w.transient() >= maxObjects {
		return w.flush()
	}
	t, want := w.templateML(), pick(w, types)
	for t.typ != want {
		t = w.templateML()
	}
	return w.primaryOf(t)
}

// context returns a context for a signature, mostly one that the key takes.
func (w *world) context(o *object) []byte {
	if isML(o) && w.chance(0.5) || w.chance(0.05) {
		return w.bytes(w.n(256))
	}
	return nil
}

// signSequence returns a command that starts the signature of a message.
func (w *world) signSequence() *command {
	if w.transient() >= maxObjects {
		return w.flush()
	}
	o := w.object(func(o *object) bool { return isML(o) && isSigner(o) })
	if o == nil && w.chance(0.6) {
		return w.primaryML(tcg.TPMAlgMLDSA, tcg.TPMAlgHashMLDSA)
	}
	if o == nil || w.chance(0.2) {
		o = w.object(isSigner)
	}
	if o == nil {
		return nil
	}
	q := &object{sequence: true, hash: tcg.TPMAlgSHA256, policy: -1, signer: o, context: w.context(o)}
	q.auth, q.name = w.secret(), same([]byte{})
	c := &command{code: tcg.TPMCCSignSequenceStart, handles: []*entity{&o.entity}, handleInResponse: true,
		params: []bytesPair{lit(b2(q.auth)), lit(b2(q.context))}}
	w.extraSession(c)
	c.done = func(r *pair[response]) {
		w.keepSequence(q, r)
		w.queue = append(w.queue, func() *command { return w.updateOf(q) }, func() *command { return w.signComplete(q) })
	}
	return c
}

// has reports whether an object is still in the model.
func (w *world) has(o *object) bool {
	return w.object(func(x *object) bool { return x == o }) != nil
}

// updateOf adds to a sequence's message.
func (w *world) updateOf(q *object) *command {
	if !w.has(q) {
		return nil
	}
	data := w.bytes(w.n(200))
	if w.chance(0.1) {
		data = append([]byte{0xFF, 'T', 'C', 'G'}, data...)
	}
	c := &command{code: tcg.TPMCCSequenceUpdate, handles: []*entity{&q.entity}, params: []bytesPair{lit(b2(data))}}
	w.authorize(c, &q.entity)
	w.extraSession(c)
	c.done = func(*pair[response]) { q.message = append(q.message, data...) }
	return c
}

// signComplete completes a signature, which is then verified.
func (w *world) signComplete(q *object) *command {
	if !w.has(q) || !w.has(q.signer) {
		return nil
	}
	last := w.bytes(w.n(60))
	c := &command{code: tcg.TPMCCSignSequenceComplete, handles: []*entity{&q.entity, &q.signer.entity}, params: []bytesPair{lit(b2(last))}}
	w.authorize(c, &q.entity)
	w.authorizeObject(c, q.signer)
	c.done = func(r *pair[response]) {
		w.objects = without(w.objects, q)
		message := append(q.message[:len(q.message):len(q.message)], last...)
		sig := bytesPair{r[0].params, r[1].params}
		w.queue = append(w.queue, func() *command { return w.verifySequence(q, message, sig) })
	}
	return c
}

// verifySequence starts the verification of a signature over a message.
func (w *world) verifySequence(of *object, message []byte, sig bytesPair) *command {
	if w.transient() >= maxObjects || !w.has(of.signer) || len(message) > 1000 {
		return w.flush()
	}
	q := &object{sequence: true, hash: tcg.TPMAlgSHA256, policy: -1, signer: of.signer, context: of.context}
	q.auth, q.name = w.secret(), same([]byte{})
	c := &command{code: tcg.TPMCCVerifySequenceStart, handles: []*entity{&q.signer.entity}, handleInResponse: true,
		params: []bytesPair{lit(b2(q.auth)), lit(b2()), lit(b2(q.context))}}
	w.extraSession(c)
	c.done = func(r *pair[response]) {
		w.keepSequence(q, r)
		w.queue = append(w.queue, func() *command {
			c := &command{code: tcg.TPMCCSequenceUpdate, handles: []*entity{&q.entity}, params: []bytesPair{lit(b2(message))}}
			w.authorize(c, &q.entity)
			return c
		}, func() *command {
			if !w.has(q) || !w.has(q.signer) {
				return nil
			}
			c := &command{code: tcg.TPMCCVerifySequenceComplete, handles: []*entity{&q.entity, &q.signer.entity}, params: []bytesPair{sig}}
			w.authorize(c, &q.entity)
			c.done = func(*pair[response]) { w.objects = without(w.objects, q) }
			return c
		})
	}
	return c
}

// signDigest signs a digest or a mu, which is then verified.
func (w *world) signDigest() *command {
	o := w.object(func(o *object) bool { return isSigner(o) && o.digestSize() != 0 })
	if o == nil && w.chance(0.8) {
		return w.primaryML(tcg.TPMAlgHashMLDSA, tcg.TPMAlgMLDSA)
	}
	if o == nil || w.chance(0.1) {
		o = w.object(isSigner)
	}
	if o == nil {
		return nil
	}
	digest, check := w.bytes(o.digestSize()), same(nullCheck)
	if o.typ != tcg.TPMAlgMLDSA {
		if t := pick(w, w.hashChecks); t != nil && len(t.digest) == len(digest) && w.chance(0.5) {
			digest, check = t.digest, t.body
		}
	}
	context := w.context(o)
	if o.typ == tcg.TPMAlgMLDSA && w.chance(0.9) {
		context = nil
	}
	c := &command{code: tcg.TPMCCSignDigest, handles: []*entity{&o.entity}, params: []bytesPair{lit(b2(context)), lit(b2(digest)), check}}
	w.authorizeObject(c, o)
	w.extraSession(c)
	c.done = func(r *pair[response]) {
		sig := bytesPair{r[0].params, r[1].params}
		w.queue = append(w.queue, func() *command {
			return &command{code: tcg.TPMCCVerifyDigestSignature, handles: []*entity{&o.entity}, params: []bytesPair{lit(b2(context)), lit(b2(digest)), sig}}
		})
	}
	return c
}

// encapsulate makes a secret for a key, which then decapsulates it.
func (w *world) encapsulate() *command {
	o := w.object(func(o *object) bool { return o.typ == tcg.TPMAlgMLKEM && o.attrs&attrRestricted == 0 })
	if o == nil && w.chance(0.5) {
		return w.primaryML(tcg.TPMAlgMLKEM)
	}
	if o == nil || w.chance(0.1) {
		o = pick(w, w.objects)
	}
	if o == nil {
		return nil
	}
	c := &command{code: tcg.TPMCCEncapsulate, handles: []*entity{&o.entity}}
	w.extraSession(c)
	c.done = func(r *pair[response]) {
		var ciphertext bytesPair
		for s := range r {
			f := split(tcg.TPMCCEncapsulate, r[s].params)
			if f == nil {
				return
			}
			ciphertext[s] = f[1]
		}
		w.queue = append(w.queue, func() *command {
			c := &command{code: tcg.TPMCCDecapsulate, handles: []*entity{&o.entity}, params: []bytesPair{ciphertext}}
			w.authorizeObject(c, o)
			w.extraSession(c)
			return c
		})
	}
	return c
}
