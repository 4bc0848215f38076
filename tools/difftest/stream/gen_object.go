package stream

import (
	"crypto/sha256"
	"slices"

	"stubtpm/vtpm/tcg"
)

// pcrSelection returns a random TPML_PCR_SELECTION.
func (w *world) pcrSelection(most int) []byte {
	n := w.n(most + 1)
	b := u32(n)
	for range n {
		b = append(b, cat(alg(pick(w, hashes)), []byte{3}, w.bytes(1), w.bytes(1), []byte{byte(w.n(2))})...)
	}
	return b
}

func (w *world) recipeFor() (int, []byte) {
	if len(w.recipes) == 0 || w.chance(0.6) {
		return -1, nil
	}
	i := w.n(len(w.recipes))
	if w.recipes[i].digest == nil {
		return -1, nil
	}
	return i, w.recipes[i].digest
}

func (w *world) nameAlg() tcg.TPMAlgID {
	if w.chance(0.2) {
		return pick(w, hashes)
	}
	return tcg.TPMAlgSHA256
}

// keep adds a loaded object to the model.
func (w *world) keep(o *object, r *pair[response]) {
	o.handle = pair[uint32]{r[0].handle, r[1].handle}
	o.da = o.attrs&attrNoDA == 0
	w.objects = append(w.objects, o)
}

func publicOf(b []byte) (typ tcg.TPMAlgID, attrs uint32) {
	if len(b) < 8 {
		return 0, 0
	}
	return tcg.TPMAlgID(uint16(b[0])<<8 | uint16(b[1])), uint32(b[4])<<24 | uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7])
}

func (w *world) createPrimary() *command {
	if w.transient() >= maxObjects {
		return w.flush()
	}
	t := w.template()
	if t.slow && w.chance(0.7) {
		return nil
	}
	return w.primaryOf(t)
}

func (w *world) primaryOf(t template) *command {
	h := w.hierarchy()
	c := &command{code: tcg.TPMCCCreatePrimary, handles: []*entity{h}, handleInResponse: true}
	return w.create(c, &t, func(r *pair[response], f *pair[[][]byte], secret []byte, policy int) {
		o := &object{hierarchy: h.handle[0], policy: policy}
		o.auth = secret
		for s := range r {
			o.pub[s] = f[s][0][2:]
			o.name[s] = f[s][4][2:]
		}
		o.typ, o.attrs = publicOf(o.pub[0])
		w.keep(o, r)
	})
}

func (w *world) create(c *command, t *template, done func(*pair[response], *pair[[][]byte], []byte, int)) *command {
	recipe, policy := w.recipeFor()
	name := w.nameAlg()
	if recipe >= 0 {
		name = tcg.TPMAlgSHA256
	}
	secret := w.secret()
	var data []byte
	if t.sealed {
		data = w.bytes(1 + w.n(100))
	}
	w.authorize(c, c.handles[0])
	w.extraSession(c)
	c.params = []bytesPair{
		lit(b2(b2(secret), b2(data))), lit(b2(t.public(name, policy))), lit(b2(w.bytes(w.n(10)))), lit(w.pcrSelection(2))}
	c.done = func(r *pair[response]) {
		var f pair[[][]byte]
		for s := range r {
			f[s] = split(c.code, r[s].params)
		}
		if f[0] != nil && f[1] != nil {
			done(r, &f, secret, recipe)
		}
	}
	return c
}

func (w *world) createChild() *command {
	p := w.object((*object).isParent)
	if p == nil {
		return w.createPrimary()
	}
	t := w.template()
	if t.slow && w.chance(0.9) {
		return nil
	}
	c := &command{code: tcg.TPMCCCreate, handles: []*entity{&p.entity}}
	return w.create(c, &t, func(r *pair[response], f *pair[[][]byte], secret []byte, policy int) {
		b := &blob{parent: p, auth: secret, policy: policy}
		for s := range r {
			b.priv[s], b.pub[s] = f[s][0][2:], f[s][1][2:]
			b.creationHash[s], b.ticket[s] = f[s][3], f[s][4]
		}
		w.blobs = append(w.blobs, b)
		if len(w.blobs) > 12 {
			w.blobs = w.blobs[1:]
		}
		if w.transient() < maxObjects && w.chance(0.7) {
			w.queue = append(w.queue, func() *command { return w.loadBlob(b) })
		}
	})
}

func (w *world) load() *command {
	if w.transient() >= maxObjects {
		return w.flush()
	}
	if b := pick(w, w.blobs); b != nil {
		return w.loadBlob(b)
	}
	return nil
}

func (w *world) loadBlob(b *blob) *command {
	parent := b.parent
	if w.chance(0.03) {
		if o := pick(w, w.objects); o != nil {
			parent = o
		}
	}
	if !slices.Contains(w.objects, parent) {
		return nil // on one side the handle may belong to another object by now
	}
	c := &command{code: tcg.TPMCCLoad, handles: []*entity{&parent.entity}, handleInResponse: true,
		params: []bytesPair{own2B(b.priv), own2B(b.pub)}}
	w.authorize(c, &parent.entity)
	w.extraSession(c)
	c.done = func(r *pair[response]) {
		o := &object{pub: b.pub, hierarchy: parent.hierarchy, policy: b.policy, parent: parent}
		o.auth = b.auth
		o.typ, o.attrs = publicOf(b.pub[0])
		for s := range r {
			o.name[s], _, _ = take2B(r[s].params)
		}
		w.keep(o, r)
		if w.chance(0.4) {
			w.queue = append(w.queue, func() *command {
				c := &command{code: tcg.TPMCCCertifyCreation, handles: []*entity{w.hierarchy(tcg.TPMRHNull), &o.entity}}
				if k := w.object(func(k *object) bool { return k.attrs&attrSignKey != 0 && !k.noPrivate }); k != nil {
					c.handles[0] = &k.entity
				}
				w.authorize(c, c.handles[0])
				c.params = []bytesPair{lit(b2(w.bytes(8))), b.creationHash, lit(w.scheme(c.handles[0])), b.ticket}
				return c
			})
		}
	}
	return c
}

func (w *world) loadExternal(ext []external) *command {
	if w.transient() >= maxObjects {
		return w.flush()
	}
	e := pick(w, ext)
	name := w.nameAlg()
	unique := e.unique
	if name != tcg.TPMAlgSHA256 && len(e.seed) > 0 {
		name = tcg.TPMAlgSHA256
	}
	recipe, policy := w.recipeFor()
	if recipe >= 0 {
		name = tcg.TPMAlgSHA256
	}
	attrs := e.attrs | attrUserAuth | pick(w, []uint32{0, attrNoDA})
	secret := w.secret()
	var sensitive []byte
	o := &object{typ: e.typ, attrs: attrs, sameKey: true, policy: recipe}
	if e.typ == tcg.TPMAlgRSA || e.typ == tcg.TPMAlgECC {
		o.noPrivate = w.chance(0.3)
	}
	h := uint32(tcg.TPMRHNull)
	if o.noPrivate {
		h = w.hierarchy().handle[0]
	} else {
		sensitive = cat(alg(e.typ), b2(secret), b2(e.seed), e.sensitive)
		o.auth = secret
	}
	pub := public(e.typ, name, attrs, policy, e.params, unique)
	c := &command{code: tcg.TPMCCLoadExternal, handleInResponse: true, exact: true,
		params: []bytesPair{lit(b2(sensitive)), lit(b2(pub)), lit(u32(h))}}
	o.hierarchy = h
	o.pub = same(pub)
	w.extraSession(c)
	c.done = func(r *pair[response]) {
		_, o.attrs = publicOf(pub)
		for s := range r {
			o.name[s], _, _ = take2B(r[s].params)
		}
		w.keep(o, r)
	}
	return c
}

func (w *world) flush() *command {
	o := w.object(func(o *object) bool { return !o.persistent })
	if o == nil {
		return nil
	}
	return w.flushEntity(&o.entity, func() { w.objects = without(w.objects, o) })
}

func (w *world) flushEntity(e *entity, gone func()) *command {
	return &command{code: tcg.TPMCCFlushContext, params: []bytesPair{{u32(e.handle[0]), u32(e.handle[1])}},
		done: func(*pair[response]) { gone() }}
}

func (w *world) flushSession() *command {
	s := pick(w, w.sessions)
	if s == nil {
		return nil
	}
	return w.flushEntity(&s.entity, func() { w.sessions = without(w.sessions, s) })
}

func (w *world) readPublic() *command {
	o := pick(w, w.objects)
	if o == nil {
		return nil
	}
	c := &command{code: tcg.TPMCCReadPublic, handles: []*entity{&o.entity}, exact: o.sameKey}
	w.extraSession(c)
	return c
}

func (w *world) unseal() *command {
	o := w.object(func(o *object) bool {
		return o.typ == tcg.TPMAlgKeyedHash && o.attrs&(attrSignKey|attrDecryptKey) == 0 && !o.sequence
	})
	if o == nil {
		return nil
	}
	c := &command{code: tcg.TPMCCUnseal, handles: []*entity{&o.entity}, exact: o.attrs&attrOrigin == 0}
	w.authorizeObject(c, o)
	w.extraSession(c)
	return c
}

// authorizeObject authorizes the use of an object, by its policy if a session satisfies
// that.
func (w *world) authorizeObject(c *command, o *object) {
	if o.policy >= 0 && w.chance(0.7) {
		if s := w.satisfied(o.policy); s != nil {
			s.nonce = w.bytes(16)
			c.auths = append(c.auths, &auth{session: s, attrs: attrContinue, entity: &o.entity})
			return
		}
		if w.chance(0.5) {
			p := o.policy
			w.satisfy(p, func() *command {
				for _, x := range w.objects {
					if x == o {
						return w.use(o)
					}
				}
				return nil
			})
		}
	}
	w.authorize(c, &o.entity)
}

func (w *world) changeAuth() *command {
	o := w.object(func(o *object) bool { return !o.sequence && !o.persistent })
	p := w.object((*object).isParent)
	if o == nil || p == nil {
		return nil
	}
	if slices.Contains(w.objects, o.parent) && w.chance(0.8) {
		p = o.parent
	}
	secret := w.secret()
	c := &command{code: tcg.TPMCCObjectChangeAuth, handles: []*entity{&o.entity, &p.entity}, params: []bytesPair{lit(b2(secret))}}
	w.authorizeObject(c, o)
	c.done = func(r *pair[response]) {
		b := &blob{parent: p, pub: o.pub, auth: secret, policy: o.policy}
		for s := range r {
			b.priv[s], _, _ = take2B(r[s].params)
		}
		w.blobs = append(w.blobs, b)
	}
	return c
}

func (w *world) evict() *command {
	h := fixedEntity(pick(w, []uint32{0x40000001, 0x40000001, 0x4000000C}))
	at := uint32(0x81000000) + uint32(w.n(2))
	if h.handle[0] == 0x4000000C {
		at = 0x81800000 + uint32(w.n(2))
	}
	h = w.hierarchies[h.handle[0]]
	o := pick(w, w.objects)
	if o == nil || o.sequence {
		return nil
	}
	if o.persistent {
		at = o.handle[0]
	}
	c := &command{code: tcg.TPMCCEvictControl, handles: []*entity{h, &o.entity}, params: []bytesPair{lit(u32(at))}}
	w.authorize(c, h)
	c.done = func(*pair[response]) {
		if o.persistent {
			w.objects = without(w.objects, o)
			return
		}
		p := *o
		p.persistent, p.handle = true, same(at)
		w.objects = append(w.objects, &p)
	}
	return c
}

func (w *world) contextSave() *command {
	x := &savedContext{}
	var e *entity
	if o := w.object(func(o *object) bool { return !o.persistent }); o != nil && w.chance(0.7) {
		x.object, e = o, &o.entity
	} else if s := pick(w, w.sessions); s != nil {
		x.session, e = s, &s.entity
	} else {
		return nil
	}
	return &command{code: tcg.TPMCCContextSave, loose: true, params: []bytesPair{{u32(e.handle[0]), u32(e.handle[1])}},
		done: func(r *pair[response]) {
			x.blob = bytesPair{r[0].params, r[1].params}
			w.contexts = append(w.contexts, x)
			if len(w.contexts) > 4 && w.contexts[0].session == nil {
				w.contexts = w.contexts[1:]
			}
			if x.session != nil {
				w.sessions = without(w.sessions, x.session)
				w.queue = append(w.queue, func() *command { return w.contextLoadOf(x) })
			}
		}}
}

func (w *world) contextLoad() *command {
	if x := pick(w, w.contexts); x != nil {
		return w.contextLoadOf(x)
	}
	return nil
}

func (w *world) contextLoadOf(x *savedContext) *command {
	if x.object != nil && w.transient() >= maxObjects {
		return w.flush()
	}
	return &command{code: tcg.TPMCCContextLoad, handleInResponse: true, params: []bytesPair{x.blob},
		done: func(r *pair[response]) {
			if x.session != nil {
				w.contexts = without(w.contexts, x)
				w.sessions = append(without(w.sessions, x.session), x.session)
				return
			}
			o := *x.object
			w.keep(&o, r)
		}}
}

func (w *world) testParms() *command {
	t := w.template()
	return &command{code: tcg.TPMCCTestParms, exact: true, params: []bytesPair{lit(alg(t.typ), t.params)}}
}

func (w *world) makeCredential() *command {
	o := w.object(func(o *object) bool { return o.attrs&attrDecryptKey != 0 })
	// In libtpms, a sequence has the name of the object that used its slot before.
	k := w.object(func(o *object) bool { return !o.sequence })
	if o == nil {
		return nil
	}
	c := &command{code: tcg.TPMCCMakeCredential, handles: []*entity{&o.entity}, params: []bytesPair{lit(b2(w.bytes(1 + w.n(32)))), own2B(k.name)}}
	c.done = func(r *pair[response]) {
		c := &command{code: tcg.TPMCCActivateCredential, handles: []*entity{&k.entity, &o.entity}, exact: true,
			params: []bytesPair{{r[0].params, r[1].params}}}
		w.authorize(c, &k.entity)
		w.authorize(c, &o.entity)
		w.queue = append(w.queue, func() *command { return c })
	}
	return c
}

func digestOf(b []byte) []byte { d := sha256.Sum256(b); return d[:] }
