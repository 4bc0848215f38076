package stream

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

const (
	attrEncryptedDup = 1 << 11
	attrX509         = 1 << 19
)

// wildAttrs changes attributes of a template at random.
func (w *world) wildAttrs(a uint32) uint32 {
	if w.chance(0.4) {
		a &^= attrFixedTPM | attrFixedParent
	}
	if w.chance(0.1) {
		a |= attrX509
	}
	if w.chance(0.1) {
		a |= attrEncryptedDup
	}
	if w.chance(0.1) {
		a |= attrSTClear
	}
	if w.chance(0.1) {
		a ^= 1 << w.n(32)
	}
	return a
}

// wildPublic returns a TPMT_PUBLIC: a template, or the public area of a key.
func (w *world) wildPublic(template bool) []byte {
	name := pick(w, allHashes)
	var policy []byte
	if w.chance(0.2) {
		policy = w.bytes(pick(w, []int{20, 32, 48}))
	}
	if k := pick(w, w.keys); !template && w.chance(0.4) {
		return public(k.typ, name, w.wildAttrs(k.attrs|attrUserAuth), policy, w.wildParams(k.typ, k.params), w.wildUnique(k.typ, k.unique))
	}
	t := w.template()
	return public(t.typ, name, w.wildAttrs(t.attrs), policy, w.wildParams(t.typ, t.params), w.wildUnique(t.typ, t.unique))
}

// wildParams returns, at times, other parameters of the same type.
func (w *world) wildParams(typ tcg.TPMAlgID, params []byte) []byte {
	if !w.chance(0.3) {
		return params
	}
	h := alg(pick(w, allHashes))
	none := alg(tcg.TPMAlgNull)
	switch typ {
	case tcg.TPMAlgECC:
		scheme := pick(w, [][]byte{none, cat(alg(tcg.TPMAlgECDSA), h), cat(alg(tcg.TPMAlgECDAA), h, u16(1)), cat(alg(tcg.TPMAlgECSchnorr), h), cat(alg(tcg.TPMAlgSM2), h), cat(alg(tcg.TPMAlgECDH), h), cat(alg(tcg.TPMAlgECMQV), h)})
		kdf := pick(w, [][]byte{none, none, cat(alg(tcg.TPMAlgKDF1SP80056A), h), cat(alg(tcg.TPMAlgKDF2), h)})
		return cat(w.wildSym(), scheme, u16(pick(w, curves)), kdf)
	case tcg.TPMAlgRSA:
		scheme := pick(w, [][]byte{none, alg(tcg.TPMAlgRSAES), cat(alg(tcg.TPMAlgRSASSA), h), cat(alg(tcg.TPMAlgRSAPSS), h), cat(alg(tcg.TPMAlgOAEP), h)})
		return cat(w.wildSym(), scheme, u16(pick(w, []int{2048, 1024, 0, 2047, 8192})), u32(pick(w, []int{0, 65537, 3, 1, 2})))
	case tcg.TPMAlgSymCipher:
		return w.wildSym()
	}
	return pick(w, [][]byte{none, cat(alg(tcg.TPMAlgHMAC), h), cat(alg(tcg.TPMAlgXOR), h, alg(tcg.TPMAlgKDF1SP800108)), cat(alg(tcg.TPMAlgXOR), h, alg(tcg.TPMAlgKDF2))})
}

// wildUnique returns another encoding of the same number, or another number.
func (w *world) wildUnique(typ tcg.TPMAlgID, unique []byte) []byte {
	if !w.chance(0.4) {
		return unique
	}
	first, rest, _ := take2B(unique)
	first = w.wildNumber(first)
	if typ != tcg.TPMAlgECC {
		return b2(first)
	}
	second, _, _ := take2B(rest)
	return cat(b2(first), b2(w.wildNumber(second)))
}

func (w *world) wildNumber(b []byte) []byte {
	switch w.n(8) {
	case 0, 1, 2, 3:
		return cat(make([]byte, pick(w, []int{1, 2, 34, w.n(40)})), b)
	case 4:
		return b[:max(0, len(b)-1)]
	case 5:
		return bytes.Clone(b)[min(1, len(b)):]
	case 6:
		return w.bytes(w.n(70))
	}
	return b
}

// wildKeys returns keys to load besides the externals: the same keys, as storage keys.
func wildKeys(ext []external) []external {
	l := append([]external{}, ext...)
	for _, e := range ext {
		switch e.typ {
		case tcg.TPMAlgECC, tcg.TPMAlgRSA:
			s := e
			s.attrs = attrRestricted | attrDecryptKey
			s.params = append(bytes.Clone(symAES), e.params[2:]...)
			n := e
			n.attrs = attrRestricted | attrDecryptKey
			l = append(l, s, n)
			if e.typ == tcg.TPMAlgECC { // a point has the most encodings
				l = append(l, e, e, s)
			}
		}
	}
	return l
}

// wildExternal loads a key in one of its possible encodings.
func (w *world) wildExternal() *command {
	if w.transient() >= maxObjects {
		return w.flush()
	}
	e := pick(w, w.keys)
	name := pick(w, allHashes)
	if w.chance(0.35) {
		name = tcg.TPMAlgNull
	}
	attrs := e.attrs | attrUserAuth | pick(w, []uint32{0, attrNoDA})
	if w.chance(0.2) {
		attrs = w.wildAttrs(attrs)
	}
	params := e.params
	if w.chance(0.3) {
		params = w.wildParams(e.typ, params)
	}
	secret := w.secret()
	o := &object{typ: e.typ, attrs: attrs, policy: -1}
	o.noPrivate = w.chance(0.5)
	h := uint32(tcg.TPMRHNull)
	var sensitive []byte
	if o.noPrivate {
		h = w.hierarchy().handle[0]
	} else {
		sensitive = cat(alg(e.typ), b2(secret), b2(e.seed), e.sensitive)
		o.auth = secret
	}
	var policy []byte
	if r := w.duplicable(); r >= 0 && w.chance(0.3) {
		name, policy, o.policy = tcg.TPMAlgSHA256, w.recipes[r].digest, r
	}
	pub := public(e.typ, name, attrs, policy, params, w.wildUnique(e.typ, e.unique))
	c := &command{code: tcg.TPMCCLoadExternal, handleInResponse: true, params: []bytesPair{lit(b2(sensitive)), lit(b2(pub)), lit(u32(h))}}
	o.hierarchy, o.pub = h, same(pub)
	w.extraSession(c)
	c.done = func(r *pair[response]) {
		for s := range r {
			o.name[s], _, _ = take2B(r[s].params)
			if o.name[s] == nil {
				o.name[s] = []byte{}
			}
		}
		w.keep(o, r)
	}
	return c
}

// wildTemplate returns a template, also for keys that not every TPM implements.
func (w *world) wildTemplate() template {
	none := alg(tcg.TPMAlgNull)
	point := cat(b2(), b2())
	h := alg(tcg.TPMAlgSHA256)
	switch w.n(8) {
	case 0:
		return template{typ: tcg.TPMAlgECC, attrs: made | attrSignKey, params: cat(symNull, alg(tcg.TPMAlgECDAA), h, u16(w.n(2)), u16(pick(w, []int{3, 3, 0x10})), none), unique: point}
	case 1:
		return template{typ: tcg.TPMAlgECC, attrs: made | attrSignKey, params: cat(symNull, pick(w, [][]byte{cat(alg(tcg.TPMAlgECSchnorr), h), cat(alg(tcg.TPMAlgECDSA), h)}), u16(3), none), unique: point}
	case 2:
		return template{typ: tcg.TPMAlgECC, attrs: made | attrDecryptKey, params: cat(symNull, pick(w, [][]byte{none, cat(alg(tcg.TPMAlgECDH), h)}), u16(pick(w, []int{3, 4, 5})), pick(w, [][]byte{none, cat(alg(tcg.TPMAlgKDF2), h)})), unique: point}
	}
	for {
		if t := w.template(); !t.slow {
			return t
		}
	}
}

// wildCreate creates an object from a template with random changes.
func (w *world) wildCreate() *command {
	t := w.wildTemplate()
	if w.chance(0.5) {
		t.attrs = w.wildAttrs(t.attrs)
		t.params = w.wildParams(t.typ, t.params)
		t.unique = w.wildUnique(t.typ, t.unique)
	}
	p := w.object((*object).isParent)
	if p == nil {
		return nil
	}
	c := &command{code: tcg.TPMCCCreate, handles: []*entity{&p.entity}, loose: true}
	return w.create(c, &t, func(r *pair[response], f *pair[[][]byte], secret []byte, policy int) {
		b := &blob{parent: p, auth: secret, policy: policy}
		for s := range r {
			b.priv[s], b.pub[s] = f[s][0][2:], f[s][1][2:]
			b.creationHash[s], b.ticket[s] = f[s][3], f[s][4]
		}
		w.blobs = append(w.blobs, b)
		if w.transient() < maxObjects {
			w.queue = append(w.queue, func() *command { return w.loadBlob(b) })
		}
	})
}
