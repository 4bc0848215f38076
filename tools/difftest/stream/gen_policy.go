package stream

import "stubtpm/vtpm/tcg"

func policyCommand(s *session, code tcg.TPMCC, params ...[]byte) *command {
	return &command{code: code, handles: []*entity{&s.entity}, params: []bytesPair{lit(params...)}}
}

func (w *world) newRecipes() []recipe {
	type step = func(*world, *session) *command
	codeOf := func(code tcg.TPMCC) step {
		return func(w *world, s *session) *command {
			return policyCommand(s, tcg.TPMCCPolicyCommandCode, u32(uint32(code)))
		}
	}
	authValue := func(w *world, s *session) *command {
		c := policyCommand(s, tcg.TPMCCPolicyAuthValue)
		c.done = func(*pair[response]) { s.authValue, s.password = true, false }
		return c
	}
	password := func(w *world, s *session) *command {
		c := policyCommand(s, tcg.TPMCCPolicyPassword)
		c.done = func(*pair[response]) { s.authValue, s.password = false, true }
		return c
	}
	locality := func(w *world, s *session) *command {
		return policyCommand(s, tcg.TPMCCPolicyLocality, []byte{0x1F})
	}
	written := func(w *world, s *session) *command {
		return policyCommand(s, tcg.TPMCCPolicyNvWritten, []byte{0})
	}
	clock := func(w *world, s *session) *command {
		return policyCommand(s, tcg.TPMCCPolicyCounterTimer, b2(u64(0)), u16(0), u16(3))
	}
	secret := func(w *world, s *session) *command {
		h := w.hierarchy(tcg.TPMRHEndorsement)
		c := &command{code: tcg.TPMCCPolicySecret, handles: []*entity{h, &s.entity}, params: []bytesPair{lit(b2(), b2(), b2(), u32(0))}}
		c.auths = []*auth{{handle: uint32(tcg.TPMRSPW), password: h.auth, entity: h}}
		return c
	}
	var l []recipe
	for _, steps := range [][]step{
		{authValue}, {password}, {locality}, {clock, authValue}, {secret}, {secret, codeOf(tcg.TPMCCUnseal)},
		{codeOf(tcg.TPMCCSign)}, {codeOf(tcg.TPMCCNVWrite), written}, {codeOf(tcg.TPMCCUnseal), locality, password}, {codeOf(tcg.TPMCCObjectChangeAuth)}, {codeOf(tcg.TPMCCNVRead)},
	} {
		l = append(l, recipe{steps: steps})
	}
	if w.pool != nil {
		pcr := w.n(16)
		l = append(l, recipe{steps: []step{codeOf(tcg.TPMCCDuplicate)}}, recipe{pcr: pcr, steps: []step{func(w *world, s *session) *command {
			bits := []byte{0, 0, 0}
			bits[pcr/8] = 1 << (pcr % 8)
			return policyCommand(s, tcg.TPMCCPolicyPCR, b2(), u32(1), alg(tcg.TPMAlgSHA256), []byte{3}, bits)
		}}})
	}
	return l
}

// satisfied returns a policy session that satisfies a recipe, or nil, and marks it as
// used.
func (w *world) satisfied(recipe int) *session {
	for _, s := range w.sessions {
		if s.undeclared == recipe+1 && s.kind == 1 {
			s.undeclared = 0
			return s
		}
	}
	return nil
}

// satisfy queues the commands that make a session satisfy a recipe, and then a
// command.
func (w *world) satisfy(recipe int, then func() *command) {
	if len(w.sessions) >= maxSessions {
		return
	}
	var s *session
	w.queue = append(w.queue, func() *command {
		c := w.startSession(1)
		done := c.done
		c.done = func(r *pair[response]) {
			done(r)
			s = w.sessions[len(w.sessions)-1]
		}
		return c
	})
	for i, step := range w.recipes[recipe].steps {
		w.queue = append(w.queue, func() *command {
			if s == nil {
				return nil
			}
			c := step(w, s)
			if i == len(w.recipes[recipe].steps)-1 {
				done := c.done
				c.done = func(r *pair[response]) {
					if done != nil {
						done(r)
					}
					s.undeclared = recipe + 1
				}
			}
			return c
		})
	}
	w.queue = append(w.queue, then)
}

// startRecipe queues a trial session that computes the digest of a recipe.
func (w *world) startRecipe(i int) {
	var s *session
	w.queue = append(w.queue, func() *command {
		c := w.startSession(3)
		done := c.done
		c.done = func(r *pair[response]) { done(r); s = w.sessions[len(w.sessions)-1] }
		return c
	})
	for _, step := range w.recipes[i].steps {
		w.queue = append(w.queue, func() *command {
			if s == nil {
				return nil
			}
			return step(w, s)
		})
	}
	w.queue = append(w.queue, func() *command {
		if s == nil {
			return nil
		}
		c := policyCommand(s, tcg.TPMCCPolicyGetDigest)
		c.exact = true
		c.done = func(r *pair[response]) { w.recipes[i].digest, _, _ = take2B(r[0].params) }
		return c
	}, func() *command {
		if s == nil {
			return nil
		}
		return w.flushEntity(&s.entity, func() { w.sessions = without(w.sessions, s) })
	})
}

// startSession starts a session of a kind (TPM_SE), or of any kind if it is negative.
func (w *world) startSession(kind int) *command {
	s := &session{nonce: w.bytes(16 + w.n(17)), hash: tcg.TPMAlgSHA256}
	random := kind < 0
	if random {
		kind = pick(w, []int{0, 0, 0, 1, 1, 3})
		if w.chance(0.2) {
			s.hash = pick(w, hashes)
		}
		s.sym = pick(w, [][]byte{symNull, symAES, symAES, symAES256, cat(alg(tcg.TPMAlgXOR), alg(tcg.TPMAlgSHA256))})
	} else {
		s.sym = symNull
	}
	s.nonce = s.nonce[:min(len(s.nonce), newHash(s.hash).Size())]
	s.kind = byte(kind)
	bind := w.hierarchy(tcg.TPMRHNull)
	null := bind
	if random && w.chance(0.3) {
		switch w.n(3) {
		case 0:
			bind = w.hierarchy(tcg.TPMRHOwner, tcg.TPMRHEndorsement, tcg.TPMRHPlatform, tcg.TPMRHLockout)
		case 1:
			if o := w.object(func(o *object) bool { return !o.noPrivate }); o != nil {
				bind = &o.entity
			}
		case 2:
			if x := pick(w, w.indices); x != nil {
				bind = &x.entity
			}
		}
	}
	nonce := s.nonce
	return &command{code: tcg.TPMCCStartAuthSession, handles: []*entity{null, bind}, handleInResponse: true,
		params: []bytesPair{lit(b2(s.nonce)), lit(b2()), lit([]byte{s.kind}), lit(s.sym), lit(alg(s.hash))},
		done: func(r *pair[response]) {
			for i := range r {
				s.handle[i] = r[i].handle
				s.nonceTPM[i], _, _ = take2B(r[i].params)
				if bind != null {
					s.key[i] = kdfa(s.hash, trim(bind.auth), "ATH", s.nonceTPM[i], nonce, newHash(s.hash).Size()*8)
				}
			}
			if bind != null {
				s.bound, s.boundAuth = bind, bind.auth
			}
			w.sessions = append(w.sessions, s)
		}}
}

func (w *world) session() *command {
	if len(w.sessions) >= maxSessions {
		return w.flushSession()
	}
	return w.startSession(-1)
}

func (w *world) policy() *command {
	var l []*session
	for _, s := range w.sessions {
		if s.isPolicy() {
			l = append(l, s)
		}
	}
	s := pick(w, l)
	if s == nil {
		return w.session()
	}
	s.undeclared = 0
	size := newHash(s.hash).Size()
	switch w.n(20) {
	case 0:
		c := policyCommand(s, tcg.TPMCCPolicyPCR, b2(), w.pcrSelection(2))
		if w.chance(0.3) {
			c.params[0] = lit(b2(w.bytes(size)), w.pcrSelection(1))
		}
		return c
	case 1:
		return policyCommand(s, tcg.TPMCCPolicyCommandCode, u32(pick(w, []uint32{0x15E, 0x15D, 0x137, 0x999, 0x120})))
	case 2:
		return policyCommand(s, tcg.TPMCCPolicyLocality, []byte{byte(pick(w, []int{1, 0x1F, 0x1E, 0x10, 0, 0x40, 0xFF}))})
	case 3:
		c := policyCommand(s, tcg.TPMCCPolicyAuthValue)
		c.done = func(*pair[response]) { s.authValue, s.password = true, false }
		return c
	case 4:
		c := policyCommand(s, tcg.TPMCCPolicyPassword)
		c.done = func(*pair[response]) { s.authValue, s.password = false, true }
		return c
	case 5:
		return policyCommand(s, tcg.TPMCCPolicyNvWritten, []byte{byte(w.n(2))})
	case 6:
		return policyCommand(s, tcg.TPMCCPolicyCpHash, b2(w.bytes(size)))
	case 7:
		return policyCommand(s, tcg.TPMCCPolicyNameHash, b2(w.bytes(size)))
	case 8:
		return policyCommand(s, tcg.TPMCCPolicyTemplate, b2(w.bytes(size)))
	case 9:
		return policyCommand(s, tcg.TPMCCPolicyDuplicationSelect, b2(w.bytes(34)), b2(w.bytes(34)), []byte{byte(w.n(2))})
	case 10:
		if s.tainted || s.kind != 3 {
			break
		}
		return policyCommand(s, tcg.TPMCCPolicyOR, u32(2), b2(w.bytes(size)), b2(w.bytes(size)))
	case 11:
		c := policyCommand(s, tcg.TPMCCPolicyRestart)
		c.done = func(*pair[response]) { s.authValue, s.password, s.tainted = false, false, false }
		return c
	case 12:
		return policyCommand(s, tcg.TPMCCPolicyCounterTimer, b2(u64(uint64(w.n(3)))), u16(pick(w, []int{16, 20, 24})), u16(w.n(12)))
	case 13:
		x := pick(w, w.indices)
		if x == nil {
			break
		}
		a := w.nvAuth(x)
		c := &command{code: tcg.TPMCCPolicyNV, handles: []*entity{a, &x.entity, &s.entity}, params: []bytesPair{lit(b2(w.bytes(1+w.n(8))), u16(w.n(4)), u16(w.n(13)))}}
		w.authorize(c, a)
		return c
	case 14:
		var e *entity
		if o := w.object(func(o *object) bool { return !o.sequence }); o != nil && w.chance(0.3) {
			e = &o.entity
		} else {
			e = w.hierarchy(tcg.TPMRHOwner, tcg.TPMRHEndorsement, tcg.TPMRHPlatform)
		}
		exp := u32(pick(w, []int{0, 0, 3600, -3600}))
		ref := b2(w.bytes(w.n(5)))
		nonce := same(b2())
		if w.chance(0.5) {
			nonce = own2B(s.nonceTPM)
		}
		c := &command{code: tcg.TPMCCPolicySecret, handles: []*entity{e, &s.entity}, params: []bytesPair{nonce, lit(b2()), lit(ref), lit(exp)}}
		w.authorize(c, e)
		c.done = func(r *pair[response]) {
			if e.name[0] != nil {
				s.tainted = true
			}
		}
		return c
	case 15:
		t := pick(w, w.verified)
		if t == nil {
			break
		}
		// The signed digest is not that of a policy, so this mostly fails.
		s.tainted = true
		return &command{code: tcg.TPMCCPolicyAuthorize, handles: []*entity{&s.entity}, params: []bytesPair{lit(b2()), lit(b2()), own2B(t.key.name), t.body}}
	case 16:
		return policyCommand(s, tcg.TPMCCPolicyPhysicalPresence)
	case 17:
		return w.policySigned(s)
	}
	c := policyCommand(s, tcg.TPMCCPolicyGetDigest)
	c.exact = !s.tainted
	return c
}

// policySigned queues TPM2_PolicySigned with a signature by a key of the TPM itself.
func (w *world) policySigned(s *session) *command {
	k := w.object(func(o *object) bool {
		return isSigner(o) && o.typ != tcg.TPMAlgSymCipher && o.attrs&attrRestricted == 0 && o.typ != tcg.TPMAlgKeyedHash
	})
	if k == nil {
		return nil
	}
	exp := u32(pick(w, []int{0, 0, 3600, -3600}))
	ref := w.bytes(w.n(5))
	digest := digestOf(cat(exp, ref)) // aHash without nonce and cpHash
	c := &command{code: tcg.TPMCCSign, handles: []*entity{&k.entity}}
	scheme := cat(alg(tcg.TPMAlgECDSA), alg(tcg.TPMAlgSHA256))
	if k.typ == tcg.TPMAlgRSA {
		scheme = cat(alg(tcg.TPMAlgRSASSA), alg(tcg.TPMAlgSHA256))
	}
	c.params = []bytesPair{lit(b2(digest)), lit(scheme), same(nullCheck)}
	w.authorize(c, &k.entity)
	c.done = func(r *pair[response]) {
		sig := bytesPair{r[0].params, r[1].params}
		w.queue = append(w.queue, func() *command {
			c := &command{code: tcg.TPMCCPolicySigned, handles: []*entity{&k.entity, &s.entity},
				params: []bytesPair{lit(b2()), lit(b2()), lit(b2(ref)), lit(exp), sig}}
			c.done = func(r *pair[response]) {
				s.tainted = s.tainted || !k.sameKey
				var t bytesPair
				var timeout bytesPair
				for i := range r {
					f := split(c.code, r[i].params)
					if f == nil {
						return
					}
					timeout[i], t[i] = f[0], f[1]
				}
				w.queue = append(w.queue, func() *command {
					return &command{code: tcg.TPMCCPolicyTicket, handles: []*entity{&s.entity},
						params: []bytesPair{timeout, lit(b2()), lit(b2(ref)), own2B(k.name), t}}
				})
			}
			return c
		})
	}
	return c
}
