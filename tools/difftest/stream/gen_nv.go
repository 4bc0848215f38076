package stream

import "stubtpm/vtpm/tcg"

func (w *world) nvDefine() *command {
	if len(w.indices) >= maxIndices {
		return w.nvUndefine()
	}
	h := w.hierarchy(tcg.TPMRHOwner, tcg.TPMRHOwner, tcg.TPMRHPlatform)
	kind := pick(w, []uint32{0, 0, 0, 1, 2, 4, 8, 9})
	a := kind<<4 | nvAuthRead | nvOwnerRead | nvAuthWrite | nvOwnerWrite
	if w.chance(0.3) {
		a = kind<<4 | pick(w, []uint32{nvAuthRead, nvOwnerRead, nvPPRead, nvPolicyRead}) | pick(w, []uint32{nvAuthWrite, nvOwnerWrite, nvPPWrite, nvPolicyWrite})
	}
	if h.handle[0] == uint32(tcg.TPMRHPlatform) {
		a |= nvPlatform
	}
	for _, bit := range []uint32{nvNoDA, nvNoDA, nvOrderly, nvReadSTCl, nvWriteSTCl, nvWriteDefine, nvGlobalLock, nvClearSTCl, nvWriteAll} {
		if w.chance(0.15) {
			a |= bit
		}
	}
	x := &index{attrs: a, size: 8, hash: w.nameAlg(), policy: -1}
	switch kind {
	case 0:
		x.size = w.n(200)
		if w.chance(0.05) {
			x.size = pick(w, []int{2048, 2049, 5000})
		}
	case 4:
		x.size = newHash(x.hash).Size()
	case 8, 9:
		x.attrs |= nvNoDA
		x.attrs &^= nvClearSTCl
		x.attrs &^= nvAuthWrite
		if x.attrs&(nvOwnerWrite|nvPPWrite|nvPolicyWrite) == 0 {
			x.attrs |= nvOwnerWrite
		}
	}
	x.auth = w.secret()
	recipe, policy := w.recipeFor()
	if recipe >= 0 {
		x.hash, x.policy = tcg.TPMAlgSHA256, recipe
		x.attrs |= nvPolicyRead | nvPolicyWrite
		if kind == 4 {
			x.size = 32
		}
	}
	x.handle = same(0x01500000 + uint32(w.n(20)))
	pub := cat(u32(x.handle[0]), alg(x.hash), u32(x.attrs), b2(policy), u16(x.size))
	c := &command{code: tcg.TPMCCNVDefineSpace, handles: []*entity{h}, exact: true, params: []bytesPair{lit(b2(x.auth)), lit(b2(pub))}}
	w.authorize(c, h)
	w.extraSession(c)
	c.done = func(*pair[response]) {
		x.da = x.attrs&nvNoDA == 0
		x.name = same(cat(alg(x.hash), sum(x.hash, pub)))
		w.indices = append(w.indices, x)
		w.queue = append(w.queue, func() *command { return w.nvReadPublic(x) })
	}
	return c
}

func (w *world) nvUndefine() *command {
	x := pick(w, w.indices)
	if x == nil {
		return nil
	}
	h := w.hierarchy(tcg.TPMRHOwner, tcg.TPMRHPlatform)
	c := &command{code: tcg.TPMCCNVUndefineSpace, handles: []*entity{h, &x.entity}, exact: true}
	w.authorize(c, h)
	c.done = func(*pair[response]) { w.indices = without(w.indices, x) }
	return c
}

// nvReadPublic reads the public area of an index and updates its name in the model: the
// name changes when the index is written or locked.
func (w *world) nvReadPublic(x *index) *command {
	c := &command{code: tcg.TPMCCNVReadPublic, handles: []*entity{&x.entity}, exact: true}
	c.done = func(r *pair[response]) {
		for s := range r {
			if f := split(c.code, r[s].params); f != nil {
				x.name[s] = f[1][2:]
				if p := f[0]; len(p) > 12 {
					x.attrs = uint32(p[8])<<24 | uint32(p[9])<<16 | uint32(p[10])<<8 | uint32(p[11])
				}
			}
		}
	}
	return c
}

// nvAuth returns the entity that authorizes a use of an index, often the index itself.
func (w *world) nvAuth(x *index) *entity {
	if w.chance(0.5) {
		return &x.entity
	}
	return w.hierarchy(tcg.TPMRHOwner, tcg.TPMRHOwner, tcg.TPMRHPlatform)
}

func (w *world) nv() *command {
	x := pick(w, w.indices)
	if x == nil {
		return w.nvDefine()
	}
	a := w.nvAuth(x)
	c := &command{handles: []*entity{a, &x.entity}, exact: true}
	span := func() (size, offset int) {
		if x.nt() != 0 {
			return x.size, 0
		}
		offset = w.n(x.size + 1)
		size = w.n(x.size - offset + 1)
		if x.attrs&nvWriteAll != 0 && w.chance(0.8) {
			size, offset = x.size, 0
		}
		if w.chance(0.05) {
			size++
		}
		return min(size, 1030), offset
	}
	switch k := w.n(12); {
	case k < 3:
		size, offset := span()
		data := w.bytes(size)
		if t := x.nt(); t == 8 || t == 9 {
			data = cat(u32(0), u32(w.n(6)))
		}
		c.code, c.params = tcg.TPMCCNVWrite, []bytesPair{lit(b2(data)), lit(u16(offset))}
	case k < 6:
		size, offset := span()
		c.code, c.params = tcg.TPMCCNVRead, []bytesPair{lit(u16(size)), lit(u16(offset))}
	case k == 6:
		c.code = tcg.TPMCCNVIncrement
	case k == 7:
		c.code, c.params = tcg.TPMCCNVSetBits, []bytesPair{lit(w.bytes(8))}
	case k == 8:
		c.code, c.params = tcg.TPMCCNVExtend, []bytesPair{lit(b2(w.bytes(w.n(40))))}
	case k == 9:
		c.code = pick(w, []tcg.TPMCC{tcg.TPMCCNVReadLock, tcg.TPMCCNVWriteLock})
	default:
		return w.nvReadPublic(x)
	}
	// The command for the type of the index is the most likely one.
	if c.code == tcg.TPMCCNVWrite {
		switch x.nt() {
		case 1:
			c.code, c.params = tcg.TPMCCNVIncrement, nil
		case 2:
			c.code, c.params = tcg.TPMCCNVSetBits, []bytesPair{lit(w.bytes(8))}
		case 4:
			c.code, c.params = tcg.TPMCCNVExtend, []bytesPair{lit(b2(w.bytes(w.n(40))))}
		}
	}
	if x.policy >= 0 && a == &x.entity && w.chance(0.5) {
		if s := w.satisfied(x.policy); s != nil {
			s.nonce = w.bytes(16)
			c.auths = append(c.auths, &auth{session: s, attrs: attrContinue, entity: a})
		}
	}
	if len(c.auths) == 0 {
		w.authorize(c, a)
	}
	w.extraSession(c)
	c.done = func(*pair[response]) {
		if c.code != tcg.TPMCCNVRead {
			w.queue = append(w.queue, func() *command { return w.nvReadPublic(x) })
		}
	}
	return c
}

func (w *world) globalLock() *command {
	h := w.hierarchy(tcg.TPMRHOwner, tcg.TPMRHPlatform)
	c := &command{code: tcg.TPMCCNVGlobalWriteLock, handles: []*entity{h}, exact: true}
	w.authorize(c, h)
	c.done = func(*pair[response]) { w.relearn() }
	return c
}

func (w *world) relearn() {
	for _, x := range w.indices {
		w.queue = append(w.queue, func() *command { return w.nvReadPublic(x) })
	}
}
