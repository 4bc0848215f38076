package stream

import (
	"crypto/ecdh"

	"stubtpm/vtpm/tcg"
)

// partialCertificate is the smallest input that TPM2_CertifyX509 accepts: issuer,
// validity, subject, and the extension keyUsage with digitalSignature.
var partialCertificate = []byte("\x30\x50" +
	"\x30\x0C\x31\x0A\x30\x08\x06\x03\x55\x04\x03\x0C\x01i" +
	"\x30\x1E\x17\x0D260101000000Z\x17\x0D360101000000Z" +
	"\x30\x0C\x31\x0A\x30\x08\x06\x03\x55\x04\x03\x0C\x01s" +
	"\xA3\x12\x30\x10\x30\x0E\x06\x03\x55\x1D\x0F\x01\x01\xFF\x04\x04\x03\x02\x07\x80")

// certifyX509 certifies an asymmetric key by another.
func (w *world) certifyX509() *command {
	asymmetric := func(o *object) bool {
		return isSigner(o) && (o.typ == tcg.TPMAlgRSA || o.typ == tcg.TPMAlgECC)
	}
	o, k := w.object(asymmetric), w.object(asymmetric)
	if o == nil {
		return nil
	}
	c := &command{code: tcg.TPMCCCertifyX509, handles: []*entity{&o.entity, &k.entity}, loose: true}
	c.params = []bytesPair{lit(b2()), lit(w.scheme(&k.entity)), lit(b2(partialCertificate))}
	w.authorize(c, &o.entity)
	w.authorize(c, &k.entity)
	return c
}

// auditStatus turns the audit of a command on or off, sets the audit hash, or reads
// the audit digest.
func (w *world) auditStatus() *command {
	h := w.hierarchy(tcg.TPMRHOwner, tcg.TPMRHPlatform)
	code := pick(w, []tcg.TPMCC{tcg.TPMCCPCRExtend, tcg.TPMCCPCRExtend, tcg.TPMCCGetRandom, tcg.TPMCCPCREvent, tcg.TPMCCNVIncrement, tcg.TPMCCSequenceUpdate, tcg.TPMCCHash})
	list := cat(u32(1), u32(uint32(code)))
	c := &command{code: tcg.TPMCCSetCommandCodeAuditStatus, handles: []*entity{h}, loose: true,
		params: []bytesPair{lit(alg(tcg.TPMAlgNull)), lit(list), lit(u32(0))}}
	switch w.n(5) {
	case 0:
		c.params[1], c.params[2] = c.params[2], c.params[1]
	case 1:
		c.params = []bytesPair{lit(alg(pick(w, allHashes))), lit(u32(0)), lit(u32(0))}
	case 2:
		e := w.hierarchy(tcg.TPMRHEndorsement)
		c = &command{code: tcg.TPMCCGetCommandAuditDigest, handles: []*entity{e, w.hierarchy(tcg.TPMRHNull)}, loose: true,
			params: []bytesPair{lit(b2()), lit(alg(tcg.TPMAlgNull))}}
		w.authorize(c, e)
		w.authorize(c, c.handles[1])
		return c
	}
	w.authorize(c, h)
	return c
}

// kdfe is KDFe of Part 1, for whole bytes.
func kdfe(h tcg.TPMAlgID, z []byte, label string, u, v []byte, bits int) []byte {
	var out []byte
	for i := 1; len(out)*8 < bits; i++ {
		out = append(out, sum(h, u32(i), z, []byte(label), []byte{0}, u, v)...)
	}
	return out[:bits/8]
}

// salted starts a session with a salt that is encrypted for a key on P-256 or, for
// other keys, does not decrypt.
func (w *world) salted() *command {
	if len(w.sessions) >= maxSessions {
		return w.flushSession()
	}
	k := w.object(func(o *object) bool { return o.attrs&attrDecryptKey != 0 && !o.sequence })
	if k == nil {
		return nil
	}
	c := w.startSession(-1)
	c.handles[0] = &k.entity
	salt, sent := w.saltFor(k)
	c.params[1] = lit(b2(sent))
	old, bind := c.done, c.handles[1]
	nonce := c.params[0][0][2:]
	c.done = func(r *pair[response]) {
		old(r)
		s := w.sessions[len(w.sessions)-1]
		for i := range r {
			var key []byte
			if s.bound != nil {
				key = trim(bind.auth)
			}
			s.key[i] = kdfa(s.hash, cat(key, salt), "ATH", s.nonceTPM[i], nonce, newHash(s.hash).Size()*8)
		}
	}
	return c
}

func (w *world) saltFor(k *object) (salt, sent []byte) {
	pub := k.pub[0]
	name := tcg.TPMAlgSHA256
	if len(pub) > 4 {
		name = tcg.TPMAlgID(uint16(pub[2])<<8 | uint16(pub[3]))
	}
	if k.typ == tcg.TPMAlgRSA {
		return w.bytes(32), append([]byte{0}, w.bytes(255)...)
	}
	x, y := pointOf(pub)
	fallback := cat(b2(w.bytes(32)), b2(w.bytes(32)))
	if len(x) != 32 || len(y) != 32 {
		if e := pick(w, w.keys); e.typ == tcg.TPMAlgECC {
			fallback = e.unique
		}
		return w.bytes(32), fallback
	}
	q, err := ecdh.P256().NewPublicKey(cat([]byte{4}, x, y))
	own, err2 := ecdh.P256().NewPrivateKey(append([]byte{1}, w.bytes(31)...))
	if err != nil || err2 != nil {
		return w.bytes(32), fallback
	}
	z, err := own.ECDH(q)
	if err != nil {
		return w.bytes(32), fallback
	}
	e := own.PublicKey().Bytes()
	return kdfe(name, z, "SECRET", e[1:33], x, newHash(name).Size()*8), cat(b2(e[1:33]), b2(e[33:]))
}

// pointOf returns the coordinates at the end of the public area of an ECC key.
func pointOf(pub []byte) (x, y []byte) {
	for at := range pub {
		a, rest, ok := take2B(pub[at:])
		if !ok || len(a) != 32 {
			continue
		}
		if b, rest, ok := take2B(rest); ok && len(rest) == 0 && len(b) == 32 {
			return a, b
		}
	}
	return nil, nil
}

// wrongTry uses an entity under dictionary attack protection with a wrong authValue.
func (w *world) wrongTry() *command {
	var c *command
	if o := w.object(func(o *object) bool { return o.da && !o.noPrivate && !o.sequence }); o != nil && w.chance(0.8) {
		c = w.use(o)
	} else if x := pick(w, w.indices); x != nil {
		c = &command{code: tcg.TPMCCNVRead, handles: []*entity{&x.entity, &x.entity}, params: []bytesPair{lit(u16(min(x.size, 8))), lit(u16(0))}, loose: true}
		w.authorize(c, &x.entity)
	}
	if c == nil || len(c.auths) == 0 || c.spoiled != "" {
		return c
	}
	w.wrongValue(c.auths[0])
	c.spoiled = "wrong value"
	return c
}

func (w *world) wrongValue(a *auth) {
	if a.session == nil && a.handle == uint32(tcg.TPMRSPW) {
		a.password = append(a.password[:len(a.password):len(a.password)], 'x')
	} else {
		a.raw = w.bytes(32)
	}
}

func isPIN(x *index) bool { return x.nt() == 8 || x.nt() == 9 }

// pinTry uses a PIN index, often with a wrong value, and reads its pinCount before
// and after.
func (w *world) pinTry() *command {
	var l []*index
	for _, x := range w.indices {
		if isPIN(x) {
			l = append(l, x)
		}
	}
	x := pick(w, l)
	if x == nil {
		return w.definePIN()
	}
	if w.look != nil {
		w.look(w.pinLook(x))
		w.queue = append(w.queue, func() *command { w.look(w.pinLook(x)); return nil })
	}
	if w.chance(0.15) { // a new limit
		h := w.hierarchy(tcg.TPMRHOwner)
		c := &command{code: tcg.TPMCCNVWrite, handles: []*entity{h, &x.entity}, params: []bytesPair{lit(b2(u32(0), u32(1+w.n(5)))), lit(u16(0))}, whole: true}
		w.authorize(c, h)
		w.queue = append(w.queue, func() *command { return w.nvReadPublic(x) })
		return c
	}
	c := &command{code: tcg.TPMCCNVRead, handles: []*entity{&x.entity, &x.entity}, params: []bytesPair{lit(u16(8)), lit(u16(0))}, loose: true}
	if !w.byPolicy(c, x) {
		w.authorize(c, &x.entity)
	}
	if w.chance(0.6) {
		for _, a := range c.auths {
			w.wrongValue(a)
		}
		c.spoiled = "wrong PIN"
	}
	return c
}

// byPolicy authorizes the use of an index by its policy, if it has one, and reports
// whether it did. If no session satisfies the policy, it starts one.
func (w *world) byPolicy(c *command, x *index) bool {
	if x.policy < 0 || w.chance(0.3) {
		return false
	}
	s := w.satisfied(x.policy)
	if s == nil {
		w.satisfy(x.policy, w.pinTry)
		return false
	}
	s.nonce = w.bytes(16)
	c.auths = append(c.auths, &auth{session: s, attrs: attrContinue, entity: &x.entity})
	return true
}

// definePIN defines a PIN index that the owner can write and read.
func (w *world) definePIN() *command {
	if len(w.indices) >= maxIndices {
		return w.nvUndefine()
	}
	h := w.hierarchies[uint32(tcg.TPMRHOwner)]
	a := pick(w, []uint32{8, 8, 9})<<4 | nvAuthRead | nvOwnerRead | nvOwnerWrite | nvNoDA
	if w.chance(0.5) {
		a |= nvOrderly
	}
	x := &index{attrs: a, size: 8, hash: tcg.TPMAlgSHA256, policy: -1}
	var policy []byte
	if i := w.n(2); w.chance(0.5) { // TPM2_PolicyAuthValue, TPM2_PolicyPassword
		if policy = w.recipes[i].digest; policy == nil {
			w.startRecipe(i)
		} else {
			x.policy = i
			x.attrs |= nvPolicyRead
		}
	}
	x.auth = w.bytes(4)
	x.handle = same(0x01500000 + uint32(w.n(20)))
	pub := cat(u32(x.handle[0]), alg(x.hash), u32(x.attrs), b2(policy), u16(8))
	c := &command{code: tcg.TPMCCNVDefineSpace, handles: []*entity{h}, params: []bytesPair{lit(b2(x.auth)), lit(b2(pub))}, whole: true}
	w.authorize(c, h)
	c.done = func(*pair[response]) {
		x.name = same(cat(alg(x.hash), sum(x.hash, pub)))
		w.indices = append(w.indices, x)
		w.queue = append(w.queue, func() *command {
			c := &command{code: tcg.TPMCCNVWrite, handles: []*entity{h, &x.entity}, params: []bytesPair{lit(b2(u32(0), u32(1+w.n(5)))), lit(u16(0))}, whole: true}
			w.authorize(c, h)
			return c
		}, func() *command { return w.nvReadPublic(x) })
	}
	return c
}

// pinLook returns the command that reads the pinCount of a PIN index.
func (w *world) pinLook(x *index) *command {
	h := w.hierarchies[uint32(tcg.TPMRHOwner)]
	c := &command{code: tcg.TPMCCNVRead, handles: []*entity{h, &x.entity}, params: []bytesPair{lit(u16(8)), lit(u16(0))}}
	c.auths = []*auth{{handle: uint32(tcg.TPMRSPW), password: h.auth, entity: h}}
	return c
}

// pcrPolicy extends a PCR and sets a hierarchy's policy to its value or, if that is
// done, uses the policy.
func (w *world) pcrPolicy() *command {
	i := len(w.recipes) - 1 // the recipe with TPM2_PolicyPCR is last
	if i < 0 {
		return nil
	}
	h := w.hierarchies[uint32(tcg.TPMRHOwner)]
	if w.recipes[i].digest == nil || w.policyOf != i || w.chance(0.2) {
		p := w.pcrs[w.recipes[i].pcr]
		c := &command{code: tcg.TPMCCPCRExtend, handles: []*entity{p}, params: []bytesPair{lit(u32(1), alg(tcg.TPMAlgSHA256), w.bytes(32))}, whole: true}
		w.authorize(c, p)
		w.startRecipe(i)
		w.queue = append(w.queue, func() *command {
			d := w.recipes[i].digest
			if d == nil {
				return nil
			}
			c := &command{code: tcg.TPMCCSetPrimaryPolicy, handles: []*entity{h}, params: []bytesPair{lit(b2(d)), lit(alg(tcg.TPMAlgSHA256))}, whole: true}
			c.auths = []*auth{{handle: uint32(tcg.TPMRSPW), password: h.auth, entity: h}}
			c.done = func(*pair[response]) { w.policyOf = i }
			return c
		})
		return c
	}
	if s := w.satisfied(i); s != nil {
		s.nonce = w.bytes(16)
		c := &command{code: tcg.TPMCCClockRateAdjust, handles: []*entity{h}, params: []bytesPair{lit([]byte{0})}, whole: true}
		c.auths = []*auth{{session: s, attrs: attrContinue, entity: h}}
		return c
	}
	w.satisfy(i, func() *command {
		w.rebootSoon = w.chance(0.6)
		return nil
	})
	return nil
}
