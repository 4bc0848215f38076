package stream

import "stubtpm/vtpm/tcg"

// sync checks which entities of the model still exist, and removes the others from
// the model.
func (x *runner) sync() error {
	x.stale = false
	x.rebootSoon = false
	kept := x.keptContexts()
	x.queue, x.contexts, x.hashChecks, x.verified, x.blobs = nil, kept, nil, nil, nil
	for _, c := range kept {
		x.queue = append(x.queue, func() *command { return x.contextLoadOf(c) })
	}
	if len(kept) > 0 {
		x.queue = append(x.queue, x.pcrPolicy)
	}
	gone := func(c *command) (bool, error) {
		ok := false
		done := c.done
		c.done = func(r *pair[response]) {
			ok = true
			if done != nil {
				done(r)
			}
		}
		err := x.run(c)
		return !ok, err
	}
	for _, o := range x.objects {
		c := &command{code: tcg.TPMCCReadPublic, handles: []*entity{&o.entity}, exact: o.sameKey}
		if o.sequence {
			c = x.flushEntity(&o.entity, func() {})
		}
		g, err := gone(c)
		if err != nil {
			return err
		}
		if g || o.sequence {
			x.objects = without(x.objects, o)
		}
	}
	for _, i := range x.indices {
		g, err := gone(x.nvReadPublic(i))
		if err != nil {
			return err
		}
		if g {
			x.indices = without(x.indices, i)
		}
	}
	for _, s := range x.sessions {
		if _, err := gone(x.flushEntity(&s.entity, func() {})); err != nil {
			return err
		}
	}
	x.sessions = nil
	// TPM2_Clear empties the authorizations of owner, endorsement and lockout. A
	// wrong one counts as a failed authorization, so try the empty one first.
	for _, h := range []tcg.TPMHandle{tcg.TPMRHOwner, tcg.TPMRHEndorsement, tcg.TPMRHLockout, tcg.TPMRHPlatform} {
		e := x.hierarchies[uint32(h)]
		if len(e.auth) == 0 {
			continue
		}
		c := &command{code: tcg.TPMCCSetPrimaryPolicy, handles: []*entity{e}, params: []bytesPair{lit(b2()), lit(alg(tcg.TPMAlgNull))}}
		c.auths = []*auth{{handle: uint32(tcg.TPMRSPW), entity: e}}
		g, err := gone(c)
		if err != nil {
			return err
		}
		if !g {
			e.auth = nil
		}
	}
	return x.run(x.attempts())
}

// attempts sets the parameters of dictionary attack protection so that lockout is
// reached at times, but not permanently. After TPM2_Clear each TPM has its own.
func (x *runner) attempts() *command {
	h := x.hierarchy(tcg.TPMRHLockout)
	c := &command{code: tcg.TPMCCDictionaryAttackParameters, handles: []*entity{h}, params: []bytesPair{lit(u32(60), u32(10000), u32(10000))}}
	c.auths = []*auth{{handle: uint32(tcg.TPMRSPW), password: h.auth, entity: h}}
	return c
}

// reboot sends TPM2_Shutdown, or does not, then _TPM_Init and TPM2_Startup.
func (x *runner) reboot() error {
	kind := pick(x.world, []tcg.TPMSU{tcg.TPMSUClear, tcg.TPMSUState})
	if err := x.saveSessions(); err != nil {
		return err
	}
	if x.chance(0.8) {
		if err := x.run(&command{code: tcg.TPMCCShutdown, exact: true, params: []bytesPair{lit(u16(int(kind)))}}); err != nil {
			return err
		}
	}
	if err := x.afterShutdown(); err != nil {
		return err
	}
	x.restarted = true
	for _, t := range x.tpms {
		if err := t.Reset(); err != nil {
			return err
		}
	}
	if x.chance(0.3) || x.pool != nil && x.chance(0.7) {
		kind = pick(x.world, []tcg.TPMSU{tcg.TPMSUClear, tcg.TPMSUState})
	}
	ok := false
	c := x.startup(kind)
	c.done = func(*pair[response]) { ok = true }
	if err := x.run(c); err != nil {
		return err
	}
	if !ok && !x.lost {
		if err := x.run(x.startup(tcg.TPMSUClear)); err != nil {
			return err
		}
	}
	if err := x.lookAtPINs(); err != nil {
		return err
	}
	return x.sync()
}

// keptContexts returns the saved contexts of sessions, which may survive a restart.
func (w *world) keptContexts() (l []*savedContext) {
	if w.pool == nil {
		return nil
	}
	for _, x := range w.contexts {
		if x.session != nil {
			l = append(l, x)
		}
	}
	return l
}

// saveSessions saves the contexts of all sessions before a shutdown, as a resource
// manager does.
func (x *runner) saveSessions() error {
	if x.pool == nil || !x.rebootSoon && x.chance(0.4) {
		return nil
	}
	for _, s := range x.sessions {
		v := &savedContext{session: s}
		err := x.run(&command{code: tcg.TPMCCContextSave, loose: true, params: []bytesPair{{u32(s.handle[0]), u32(s.handle[1])}},
			done: func(r *pair[response]) {
				v.blob = bytesPair{r[0].params, r[1].params}
				x.contexts = append(x.contexts, v)
				x.sessions = without(x.sessions, s)
			}})
		if err != nil {
			return err
		}
	}
	return nil
}

// afterShutdown sends some commands between TPM2_Shutdown and the loss of power.
func (x *runner) afterShutdown() error {
	if x.pool == nil || x.chance(0.3) {
		return nil
	}
	if err := x.lookAtPINs(); err != nil {
		return err
	}
	for range 1 + x.n(4) {
		c := x.pinTry()
		if x.chance(0.15) {
			c = x.typedAny()
		}
		if c != nil {
			if err := x.run(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookAtPINs reads the pinCount of each PIN index.
func (x *runner) lookAtPINs() error {
	for _, i := range x.indices {
		if x.look != nil && isPIN(i) {
			if err := x.look(x.pinLook(i)); err != nil {
				return err
			}
		}
	}
	return nil
}
