package stream

import "stubtpm/vtpm/tcg"

func (w *world) startup(kind tcg.TPMSU) *command {
	return &command{code: tcg.TPMCCStartup, exact: true, params: []bytesPair{lit(u16(int(kind)))}}
}

func (w *world) manage() *command {
	owners := []tcg.TPMHandle{tcg.TPMRHOwner, tcg.TPMRHEndorsement, tcg.TPMRHPlatform, tcg.TPMRHLockout}
	switch w.n(12) {
	case 0, 1:
		h := w.hierarchy(owners...)
		secret := w.secret()
		c := &command{code: tcg.TPMCCHierarchyChangeAuth, handles: []*entity{h}, loose: true, whole: true, params: []bytesPair{lit(b2(secret))}}
		c.auths = []*auth{{handle: uint32(tcg.TPMRSPW), password: h.auth, entity: h}}
		c.done = func(*pair[response]) { h.auth = secret }
		return c
	case 2:
		h := w.hierarchy(owners...)
		recipe, policy := w.recipeFor()
		c := &command{code: tcg.TPMCCSetPrimaryPolicy, handles: []*entity{h}, exact: true, params: []bytesPair{lit(b2()), lit(alg(tcg.TPMAlgNull))}}
		if recipe >= 0 {
			c.params = []bytesPair{lit(b2(policy)), lit(alg(tcg.TPMAlgSHA256))}
		}
		w.authorize(c, h)
		return c
	case 3:
		h := w.hierarchy(tcg.TPMRHLockout)
		c := &command{code: tcg.TPMCCDictionaryAttackLockReset, handles: []*entity{h}, exact: true}
		w.authorize(c, h)
		return c
	case 4:
		h := w.hierarchy(tcg.TPMRHLockout)
		c := &command{code: tcg.TPMCCDictionaryAttackParameters, handles: []*entity{h}, exact: true, params: []bytesPair{lit(u32(w.n(40)), u32(10000), u32(10000))}}
		w.authorize(c, h)
		return c
	case 5:
		if !w.chance(0.3) {
			return nil
		}
		h := w.hierarchy(tcg.TPMRHPlatform, tcg.TPMRHLockout)
		c := &command{code: tcg.TPMCCClearControl, handles: []*entity{h}, exact: true, params: []bytesPair{lit([]byte{byte(w.n(2))})}}
		w.authorize(c, h)
		return c
	case 6:
		if !w.chance(0.1) {
			return nil
		}
		h := w.hierarchy(tcg.TPMRHPlatform, tcg.TPMRHLockout)
		c := &command{code: tcg.TPMCCClear, handles: []*entity{h}, loose: true, whole: true}
		c.auths = []*auth{{handle: uint32(tcg.TPMRSPW), password: h.auth, entity: h}}
		c.done = func(*pair[response]) { w.cleared() }
		return c
	case 7:
		if !w.chance(0.1) {
			return nil
		}
		h := w.hierarchy(tcg.TPMRHPlatform)
		c := &command{code: pick(w, []tcg.TPMCC{tcg.TPMCCChangeEPS, tcg.TPMCCChangePPS}), handles: []*entity{h}, loose: true, whole: true}
		c.auths = []*auth{{handle: uint32(tcg.TPMRSPW), password: h.auth, entity: h}}
		c.done = func(*pair[response]) { w.cleared() }
		return c
	case 8:
		h := w.hierarchy(tcg.TPMRHOwner, tcg.TPMRHPlatform)
		c := &command{code: tcg.TPMCCClockRateAdjust, handles: []*entity{h}, exact: true, params: []bytesPair{lit([]byte{byte(w.n(9) - 4)})}}
		w.authorize(c, h)
		return c
	case 9:
		h := w.hierarchy(tcg.TPMRHOwner, tcg.TPMRHPlatform)
		to := pick(w, []uint64{0, 1 << 32, 1<<32 + 1<<31, 1 << 63})
		if to == w.clock {
			to = 0 // whether it is less than Clock depends on when that was
		}
		c := &command{code: tcg.TPMCCClockSet, handles: []*entity{h}, exact: true, params: []bytesPair{lit(u64(to))}}
		w.authorize(c, h)
		c.done = func(*pair[response]) { w.clock = to }
		return c
	case 10:
		return w.globalLock()
	}
	if !w.chance(0.3) {
		return nil
	}
	h := w.hierarchy(tcg.TPMRHPlatform)
	c := &command{code: tcg.TPMCCHierarchyControl, handles: []*entity{h}, loose: true, whole: true,
		params: []bytesPair{lit(u32(pick(w, []uint32{0x40000001, 0x4000000B, 0x4000000D})), []byte{byte(min(w.n(4), 1))})}}
	c.auths = []*auth{{handle: uint32(tcg.TPMRSPW), password: h.auth, entity: h}}
	c.done = func(*pair[response]) { w.cleared() }
	return c
}

// cleared marks the model as stale after a command that may remove objects and
// indices.
func (w *world) cleared() {
	w.stale = true
}

// unknown sends a command that one of the TPMs may not implement, with empty or random
// parameters.
func (w *world) unknown() *command {
	code := tcg.TPMCC(0x11F + w.n(0x1AB-0x11F))
	spec := tcg.CommandByCode(code)
	if spec == nil {
		return &command{code: code, params: []bytesPair{lit(w.bytes(w.n(20)))}}
	}
	switch code {
	case tcg.TPMCCStartup, tcg.TPMCCShutdown, tcg.TPMCCContextSave, tcg.TPMCCFlushContext, tcg.TPMCCStartAuthSession, tcg.TPMCCGetRandom:
		return nil
	}
	c := &command{code: code, handleInResponse: spec.ResponseHandle != nil, loose: true}
	for range spec.Handles {
		c.handles = append(c.handles, w.any())
	}
	for i := range spec.AuthCount() {
		w.authorize(c, c.handles[i])
	}
	c.params = []bytesPair{lit(w.bytes(w.n(60)))}
	c.spoiled = "random parameters"
	return c
}
