package stream

import "stubtpm/vtpm/tcg"

// duplicable returns the recipe of the policy that allows TPM2_Duplicate, or -1 while its
// digest is unknown.
func (w *world) duplicable() int {
	if i := len(w.recipes) - 2; i >= 0 && w.recipes[i].digest != nil {
		return i
	}
	return -1
}

func isStorage(o *object) bool {
	return o.attrs&(attrRestricted|attrDecryptKey) == attrRestricted|attrDecryptKey && !o.sequence
}

// newParent returns the new parent for a duplication, mostly a storage key.
func (w *world) newParent() *entity {
	if o := w.object(isStorage); o != nil && w.chance(0.9) {
		return &o.entity
	}
	return w.hierarchies[uint32(tcg.TPMRHNull)]
}

// duplicate duplicates an object whose policy allows it.
func (w *world) duplicate() *command {
	i := w.duplicable()
	if i < 0 {
		w.startRecipe(len(w.recipes) - 2)
		return nil
	}
	o := w.object(func(o *object) bool { return o.policy == i && !o.noPrivate })
	if o == nil {
		return w.wildExternal()
	}
	s := w.satisfied(i)
	if s == nil {
		w.satisfy(i, w.duplicate)
		return nil
	}
	c := &command{code: tcg.TPMCCDuplicate, handles: []*entity{&o.entity, w.newParent()}, loose: true}
	c.params = []bytesPair{lit(b2()), lit(pick(w, [][]byte{symNull, symNull, symAES, w.wildSym()}))}
	s.nonce = w.bytes(16)
	c.auths = []*auth{{session: s, attrs: attrContinue, entity: &o.entity}}
	c.done = func(r *pair[response]) {
		f := split(c.code, r[0].params)
		if f == nil {
			return
		}
		w.keepValue("TPM2B_PRIVATE", f[1])
		seed := f[2]
		w.queue = append(w.queue, func() *command {
			p := w.object(isStorage)
			if p == nil {
				return nil
			}
			c := &command{code: tcg.TPMCCImport, handles: []*entity{&p.entity}, loose: true,
				params: []bytesPair{lit(f[0]), lit(b2(o.pub[0])), lit(f[1]), lit(seed), lit(symNull)}}
			w.authorize(c, &p.entity)
			return c
		})
	}
	return c
}

// rewrap rewraps a duplicate from one parent to another, mostly one without an outer
// wrapper.
func (w *world) rewrap() *command {
	old, seed := w.hierarchies[uint32(tcg.TPMRHNull)], b2()
	if w.chance(0.2) {
		old, seed = w.newParent(), w.value("TPM2B_ENCRYPTED_SECRET", "inSymSeed", nil, nil)
	}
	private := b2(w.bytes(60))
	if l := w.pool["TPM2B_PRIVATE"]; len(l) > 0 && w.chance(0.5) {
		private = pick(w, l)
	}
	c := &command{code: tcg.TPMCCRewrap, handles: []*entity{old, w.newParent()}, loose: true}
	c.params = []bytesPair{lit(private), lit(b2(w.someName())), lit(seed)}
	w.authorize(c, old)
	return c
}
