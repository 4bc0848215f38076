package drive

import "stubtpm/vtpm/tcg"

// A pin is what the checker knows about a PIN index.
type pin struct {
	fail  bool // PIN Fail, or PIN Pass
	known bool // count was read, and nothing since then may have lowered it
	count uint32
	limit uint32
}

// pinsCount tracks the effects of commands on PIN indices (Part 1, 34.2.6.6).
func (c *Checker) pinsCount(_ *snapshot, e Event, w *wire, answer []byte) error {
	rc := rcOf(answer)
	if rc == 0 && (w.code == tcg.TPMCCNVDefineSpace || w.code == tcg.TPMCCNVDefineSpace2) {
		c.definePin(w)
		return nil
	}
	if err := c.pinsLimit(w, rc); err != nil {
		return err
	}
	failed := of(rc, tcg.TPMRCAuthFail) || of(rc, tcg.TPMRCBadAuth)
	for i, h := range w.handles {
		p := c.pins[h]
		if p == nil {
			continue
		}
		switch {
		case failed && int(rc>>8&7) == i+1 && p.fail && p.known && c.usesValue(w, i):
			p.count++
		case failed || of(rc, tcg.TPMRCAuthUnavailable) || of(rc, tcg.TPMRCLockout):
		default:
			p.known = false // a success, a write, or one that may have been either
		}
	}
	switch w.code {
	case tcg.TPMCCClear, tcg.TPMCCChangePPS, tcg.TPMCCNVUndefineSpace, tcg.TPMCCNVUndefineSpaceSpecial, tcg.TPMCCHierarchyControl:
		for _, p := range c.pins {
			p.known = false
		}
	}
	return nil
}

// usesValue reports whether the i-th handle is authorized with its authValue: by a
// password, an HMAC session, or a policy session that requires it.
func (c *Checker) usesValue(w *wire, i int) bool {
	if _, ok := w.authorizes(i); !ok || i >= len(w.auths) {
		return false // a session without a handle, or no session
	}
	h := w.auths[i].handle
	return h == handlePW || h>>24 == 2 || c.valued[h]
}

// pinsLimit checks that nothing was authorized with the authValue of an index whose
// pinCount is at its limit, and tracks which policy sessions require an authValue.
func (c *Checker) pinsLimit(w *wire, rc tcg.TPMRC) error {
	if rc != 0 {
		return nil
	}
	for i, h := range w.handles {
		p := c.pins[h]
		if _, ok := w.authorizes(i); ok && p != nil && p.known && p.count >= p.limit && c.usesValue(w, i) {
			return violated(PINLimit, "%s of index %08x, count %d, limit %d", w.code, h, p.count, p.limit)
		}
	}
	for _, a := range w.auths {
		delete(c.valued, a.handle) // it was used up
	}
	switch w.code {
	case tcg.TPMCCPolicyAuthValue, tcg.TPMCCPolicyPassword:
		c.valued[w.handles[0]] = true
	case tcg.TPMCCPolicyRestart:
		delete(c.valued, w.handles[0])
	}
	return nil
}

func (c *Checker) definePin(w *wire) {
	_, rest := take2B(w.params)
	public, _ := take2B(rest)
	if len(public) < 10 || w.code != tcg.TPMCCNVDefineSpace {
		return
	}
	h := be32(public)
	delete(c.pins, h)
	if nt := be32(public[6:]) >> 4 & 15; nt == 8 || nt == 9 {
		c.pins[h] = &pin{fail: nt == 8}
	}
}

// look sends a TPM2_NV_Read to a copy of the device, and checks that the count of
// a PIN Fail index did not go down.
func (c *Checker) look(e Event) ([]byte, error) {
	w := parse(e.Command)
	if w.code != tcg.TPMCCNVRead || len(w.handles) != 2 || c.pins[w.handles[1]] == nil {
		return nil, nil
	}
	p := c.pins[w.handles[1]]
	t, err := c.last.resume(c.mk)
	if err != nil {
		return nil, nil // resumes says so
	}
	answer := t.Execute(e.Locality, e.Command)
	_, params := respond(w.code, answer)
	data, _ := take2B(params)
	if len(data) != 8 {
		p.known = false
		return nil, nil
	}
	c.Stats.Looks++
	count := be32(data)
	if p.known && p.fail && count < p.count {
		return nil, violated(PINCount, "index %08x: %d, was %d", w.handles[1], count, p.count)
	}
	p.known, p.count, p.limit = true, count, be32(data[4:])
	return nil, nil
}
