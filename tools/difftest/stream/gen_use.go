package stream

import "stubtpm/vtpm/tcg"

// scheme returns a TPMT_SIG_SCHEME, mostly one that a key allows.
func (w *world) scheme(e *entity) []byte {
	var typ tcg.TPMAlgID
	for _, o := range w.objects {
		if &o.entity == e {
			typ = o.typ
		}
	}
	null := alg(tcg.TPMAlgNull)
	h := alg(tcg.TPMAlgSHA256)
	if w.chance(0.2) {
		h = alg(pick(w, hashes))
	}
	if w.chance(0.15) {
		return null
	}
	switch typ {
	case tcg.TPMAlgRSA:
		return cat(alg(pick(w, []tcg.TPMAlgID{tcg.TPMAlgRSASSA, tcg.TPMAlgRSAPSS})), h)
	case tcg.TPMAlgECC:
		return cat(alg(tcg.TPMAlgECDSA), h)
	case tcg.TPMAlgKeyedHash:
		return cat(alg(tcg.TPMAlgHMAC), h)
	}
	return null
}

func isSigner(o *object) bool { return o.attrs&attrSignKey != 0 && !o.noPrivate && !o.sequence }

var nullCheck = cat(u16(0x8024), u32(0x40000007), b2())

// use returns a random command that uses an object.
func (w *world) use(o *object) *command {
	switch {
	case o.sequence:
		return w.sequenceUpdate()
	case o.typ == tcg.TPMAlgKeyedHash && o.attrs&(attrSignKey|attrDecryptKey) == 0:
		return w.unseal()
	case o.attrs&attrSignKey != 0 && o.typ != tcg.TPMAlgSymCipher:
		return w.signWith(o)
	}
	return w.readPublic()
}

func (w *world) sign() *command {
	if o := w.object(isSigner); o != nil {
		return w.signWith(o)
	}
	return nil
}

func (w *world) signWith(o *object) *command {
	c := &command{code: tcg.TPMCCSign, handles: []*entity{&o.entity}}
	s := w.scheme(&o.entity)
	size := 32
	if len(s) == 4 {
		size = newHash(tcg.TPMAlgID(uint16(s[2])<<8 | uint16(s[3]))).Size()
	}
	digest := w.bytes(size)
	check := same(nullCheck)
	if t := pick(w, w.hashChecks); t != nil && w.chance(0.5) {
		digest, check = t.digest, t.body
	}
	c.exact = o.sameKey && len(s) == 4 && (s[1] == byte(tcg.TPMAlgRSASSA) || s[1] == byte(tcg.TPMAlgHMAC))
	c.params = []bytesPair{lit(b2(digest)), lit(s), check}
	w.authorizeObject(c, o)
	w.extraSession(c)
	c.done = func(r *pair[response]) {
		sig := bytesPair{r[0].params, r[1].params}
		w.queue = append(w.queue, func() *command {
			c := &command{code: tcg.TPMCCVerifySignature, handles: []*entity{&o.entity}, params: []bytesPair{lit(b2(digest)), sig}}
			c.done = func(r *pair[response]) {
				w.verified = append(w.verified, &ticket{body: bytesPair{r[0].params, r[1].params}, digest: digest, key: o})
			}
			return c
		})
	}
	return c
}

func (w *world) attest() *command {
	e := w.hierarchy(tcg.TPMRHNull)
	if k := w.object(isSigner); k != nil && w.chance(0.9) {
		e = &k.entity
	}
	q := b2(w.bytes(w.n(20)))
	s := w.scheme(e)
	switch w.n(5) {
	case 0:
		o := pick(w, w.objects)
		if o == nil {
			return nil
		}
		c := &command{code: tcg.TPMCCCertify, handles: []*entity{&o.entity, e}, params: []bytesPair{lit(q), lit(s)}}
		w.authorize(c, &o.entity)
		w.authorize(c, e)
		return c
	case 1:
		h := w.hierarchy(tcg.TPMRHEndorsement)
		c := &command{code: tcg.TPMCCGetTime, handles: []*entity{h, e}, params: []bytesPair{lit(q), lit(s)}}
		w.authorize(c, h)
		w.authorize(c, e)
		return c
	case 2:
		x := pick(w, w.indices)
		if x == nil {
			return nil
		}
		c := &command{code: tcg.TPMCCNVCertify, handles: []*entity{e, w.nvAuth(x), &x.entity}, params: []bytesPair{lit(q), lit(s), lit(u16(min(x.size, 8)), u16(0))}}
		w.authorize(c, e)
		w.authorize(c, c.handles[1])
		return c
	}
	c := &command{code: tcg.TPMCCQuote, handles: []*entity{e}, params: []bytesPair{lit(q), lit(s), lit(w.pcrSelection(2))}}
	w.authorize(c, e)
	w.extraSession(c)
	return c
}

func (w *world) symmetric() *command {
	o := w.object(func(o *object) bool { return o.typ == tcg.TPMAlgSymCipher })
	if o == nil {
		return nil
	}
	mode := pick(w, []tcg.TPMAlgID{tcg.TPMAlgNull, tcg.TPMAlgNull, tcg.TPMAlgCFB, tcg.TPMAlgCBC, tcg.TPMAlgCTR, tcg.TPMAlgECB, tcg.TPMAlgOFB})
	iv := b2(w.bytes(16))
	if mode == tcg.TPMAlgECB || w.chance(0.05) {
		iv = b2()
	}
	data := b2(w.bytes(16 * w.n(8)))
	if w.chance(0.2) {
		data = b2(w.bytes(w.n(70)))
	}
	c := &command{code: tcg.TPMCCEncryptDecrypt2, handles: []*entity{&o.entity}, exact: o.sameKey,
		params: []bytesPair{lit(data), lit([]byte{byte(w.n(2))}), lit(alg(mode)), lit(iv)}}
	if w.chance(0.4) {
		c.code = tcg.TPMCCEncryptDecrypt
		c.params = []bytesPair{c.params[1], c.params[2], c.params[3], c.params[0]}
	}
	w.authorizeObject(c, o)
	w.extraSession(c)
	return c
}

func (w *world) rsa() *command {
	o := w.object(func(o *object) bool { return o.typ == tcg.TPMAlgRSA })
	if o == nil {
		return nil
	}
	scheme := pick(w, [][]byte{alg(tcg.TPMAlgNull), alg(tcg.TPMAlgRSAES), cat(alg(tcg.TPMAlgOAEP), alg(tcg.TPMAlgSHA256)), cat(alg(tcg.TPMAlgOAEP), alg(tcg.TPMAlgSHA1))})
	label := pick(w, [][]byte{b2(), b2([]byte("label\x00")), b2([]byte("label\x00")), b2([]byte("no end"))})
	msg := w.bytes(w.n(60))
	if len(scheme) == 2 && w.chance(0.5) && len(msg) > 0 {
		msg[0] = 0
	}
	c := &command{code: tcg.TPMCCRSAEncrypt, handles: []*entity{&o.entity}, exact: o.sameKey && scheme[1] == byte(tcg.TPMAlgNull),
		params: []bytesPair{lit(b2(msg)), lit(scheme), lit(label)}}
	w.extraSession(c)
	c.done = func(r *pair[response]) {
		out := bytesPair{r[0].params, r[1].params}
		w.queue = append(w.queue, func() *command {
			c := &command{code: tcg.TPMCCRSADecrypt, handles: []*entity{&o.entity}, exact: true, params: []bytesPair{out, lit(scheme), lit(label)}}
			w.authorizeObject(c, o)
			return c
		})
	}
	return c
}

func (w *world) ecdh() *command {
	o := w.object(func(o *object) bool { return o.typ == tcg.TPMAlgECC })
	if o == nil {
		return nil
	}
	c := &command{code: tcg.TPMCCECDHKeyGen, handles: []*entity{&o.entity}}
	c.done = func(r *pair[response]) {
		var z, p bytesPair
		for s := range r {
			f := split(tcg.TPMCCECDHKeyGen, r[s].params)
			if f == nil {
				return
			}
			z[s], p[s] = f[0], f[1]
		}
		w.queue = append(w.queue, func() *command {
			c := &command{code: tcg.TPMCCECDHZGen, handles: []*entity{&o.entity}, params: []bytesPair{p}}
			w.authorizeObject(c, o)
			c.done = func(r *pair[response]) {}
			return c
		})
	}
	return c
}

func (w *world) hmac() *command {
	o := w.object(func(o *object) bool { return o.typ == tcg.TPMAlgKeyedHash && !o.sequence })
	if o == nil {
		return nil
	}
	h := pick(w, []tcg.TPMAlgID{tcg.TPMAlgNull, tcg.TPMAlgSHA256, tcg.TPMAlgSHA1})
	if w.chance(0.4) && w.transient() < maxObjects {
		secret := w.secret()
		c := &command{code: tcg.TPMCCMACStart, handles: []*entity{&o.entity}, handleInResponse: true, params: []bytesPair{lit(b2(secret)), lit(alg(h))}}
		w.authorizeObject(c, o)
		q := &object{sequence: true, sameKey: o.sameKey, hash: h, policy: -1}
		q.auth, q.name = secret, same([]byte{})
		c.done = func(r *pair[response]) { w.keepSequence(q, r) }
		return c
	}
	c := &command{code: tcg.TPMCCMAC, handles: []*entity{&o.entity}, exact: o.sameKey, params: []bytesPair{lit(b2(w.bytes(w.n(100)))), lit(alg(h))}}
	w.authorizeObject(c, o)
	w.extraSession(c)
	return c
}

func (w *world) keepSequence(q *object, r *pair[response]) {
	q.attrs = attrNoDA
	w.keep(q, r)
}

func (w *world) hashStart() *command {
	if w.transient() >= maxObjects {
		return w.flush()
	}
	h := pick(w, hashes)
	if w.chance(0.3) {
		h = tcg.TPMAlgNull
	}
	q := &object{sequence: true, sameKey: true, hash: h, policy: -1}
	q.auth, q.name = w.secret(), same([]byte{})
	return &command{code: tcg.TPMCCHashSequenceStart, handleInResponse: true, params: []bytesPair{lit(b2(q.auth)), lit(alg(h))},
		done: func(r *pair[response]) { w.keepSequence(q, r) }}
}

func isSequence(o *object) bool { return o.sequence }

func (w *world) sequenceUpdate() *command {
	o := w.object(isSequence)
	if o == nil {
		return w.hashStart()
	}
	c := &command{code: tcg.TPMCCSequenceUpdate, handles: []*entity{&o.entity}, params: []bytesPair{lit(b2(w.bytes(w.n(200))))}}
	w.authorize(c, &o.entity)
	w.extraSession(c)
	return c
}

func (w *world) sequenceComplete() *command {
	o := w.object(isSequence)
	if o == nil {
		return nil
	}
	if o.hash == tcg.TPMAlgNull && o.sameKey {
		p := pick(w, w.pcrs)
		if w.chance(0.3) {
			p = w.hierarchy(tcg.TPMRHNull)
		}
		c := &command{code: tcg.TPMCCEventSequenceComplete, handles: []*entity{p, &o.entity}, exact: true, params: []bytesPair{lit(b2(w.bytes(w.n(50))))}}
		w.authorize(c, p)
		w.authorize(c, &o.entity)
		c.done = func(*pair[response]) { w.objects = without(w.objects, o) }
		return c
	}
	c := &command{code: tcg.TPMCCSequenceComplete, handles: []*entity{&o.entity}, params: []bytesPair{lit(b2(w.bytes(w.n(50)))), lit(u32(w.hierarchy().handle[0]))}}
	w.authorize(c, &o.entity)
	w.extraSession(c)
	c.done = func(r *pair[response]) {
		w.objects = without(w.objects, o)
		w.keepCheck(c, r, o.sameKey)
	}
	return c
}

func (w *world) keepCheck(c *command, r *pair[response], known bool) {
	var t ticket
	for s := range r {
		f := split(c.code, r[s].params)
		if f == nil || !known {
			return
		}
		t.digest, t.body[s] = f[0][2:], f[1]
	}
	w.hashChecks = append(w.hashChecks, &t)
	if len(w.hashChecks) > 5 {
		w.hashChecks = w.hashChecks[1:]
	}
}

func (w *world) hash() *command {
	data := w.bytes(w.n(300))
	if w.chance(0.1) {
		data = append([]byte{0xFF, 'T', 'C', 'G'}, data...)
	}
	c := &command{code: tcg.TPMCCHash, params: []bytesPair{lit(b2(data)), lit(alg(pick(w, hashes))), lit(u32(w.hierarchy().handle[0]))}}
	w.extraSession(c)
	c.done = func(r *pair[response]) { w.keepCheck(c, r, true) }
	return c
}

func (w *world) random() *command {
	c := &command{code: tcg.TPMCCGetRandom, params: []bytesPair{lit(u16(w.n(100)))}}
	if w.chance(0.3) {
		c = &command{code: tcg.TPMCCStirRandom, params: []bytesPair{lit(b2(w.bytes(w.n(140))))}}
	}
	w.extraSession(c)
	return c
}

func (w *world) pcr() *command {
	p := pick(w, w.pcrs)
	if w.chance(0.3) {
		p = pick(w, w.pcrs[16:])
	}
	switch w.n(6) {
	case 0:
		c := &command{code: tcg.TPMCCPCREvent, handles: []*entity{p}, exact: true, params: []bytesPair{lit(b2(w.bytes(w.n(40))))}}
		w.authorize(c, p)
		return c
	case 1:
		c := &command{code: tcg.TPMCCPCRReset, handles: []*entity{p}, exact: true}
		w.authorize(c, p)
		return c
	case 2, 3:
		n := 1 + w.n(3)
		b := u32(n)
		for range n {
			h := pick(w, hashes)
			b = append(b, cat(alg(h), w.bytes(newHash(h).Size()))...)
		}
		if w.chance(0.1) {
			p = w.hierarchy(tcg.TPMRHNull)
		}
		c := &command{code: tcg.TPMCCPCRExtend, handles: []*entity{p}, exact: true, params: []bytesPair{lit(b)}}
		w.authorize(c, p)
		w.extraSession(c)
		return c
	}
	return &command{code: tcg.TPMCCPCRRead, exact: true, params: []bytesPair{lit(w.pcrSelection(4))}}
}

func (w *world) capability() *command {
	switch w.n(8) {
	case 0:
		return &command{code: tcg.TPMCCReadClock}
	case 1:
		return &command{code: tcg.TPMCCECCParameters, exact: true, params: []bytesPair{lit(u16(w.n(6)))}}
	case 2:
		return &command{code: tcg.TPMCCGetTestResult, loose: true}
	case 3:
		return &command{code: tcg.TPMCCSelfTest, exact: true, params: []bytesPair{lit([]byte{byte(w.n(2))})}}
	}
	type query struct{ cap, from uint32 }
	q := pick(w, []query{{0, 0}, {0, uint32(w.n(80))}, {1, 0x80000000}, {1, 0x81000000}, {1, 0x02000000}, {1, 0x03000000}, {1, 0x01000000}, {1, 0x40000000}, {1, 0}, {1, 0x05000000},
		{2, 0x11F + uint32(w.n(0x80))}, {3, 0}, {4, 0}, {5, 0}, {6, 0x100 + uint32(w.n(50))}, {6, 0x200 + uint32(w.n(21))}, {7, uint32(w.n(0x14))}, {8, 0}, {9, 0x40000000}, {9, 0x4000000A}, {0x0A, 0}, {0x0B, 0}, {0x0C, 0}})
	c := &command{code: tcg.TPMCCGetCapability, params: []bytesPair{lit(u32(q.cap)), lit(u32(q.from)), lit(u32(pick(w, []int{0, 1, 2, 5, 20, 127, 1000})))}}
	w.extraSession(c)
	return c
}
