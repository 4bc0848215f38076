package drive

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

const handlePW = 0x40000009 // TPM_RS_PW

// daState is TPM_PT_LOCKOUT_COUNTER and the three properties after it.
type daState struct{ counter, max, interval, recovery uint32 }

func readDA(m *machine) (s daState, ok bool) {
	r := m.Execute(0, command(tcg.TPMCCGetCapability, u32(6), u32(0x20E), u32(4)))
	if rcOf(r) != 0 || len(r) < 10+9+4*8 {
		return s, false
	}
	for i, p := range []*uint32{&s.counter, &s.max, &s.interval, &s.recovery} {
		*p = be32(r[10+9+8*i+4:])
	}
	return s, true
}

func daOf(mk *Maker, s *snapshot) (daState, bool) {
	t, err := s.resume(mk)
	if err != nil {
		return daState{}, false
	}
	return readDA(t)
}

// triesCount checks that a failed authorization under dictionary attack protection,
// TPM_RC_AUTH_FAIL, was counted (Part 1, 16.8).
func (c *Checker) triesCount(before *snapshot, e Event, w *wire, answer []byte) error {
	rc := rcOf(answer)
	if !of(rc, tcg.TPMRCAuthFail) || rc&0x800 == 0 {
		return nil
	}
	i := int(rc>>8&7) - 1
	if h, ok := w.authorizes(i); ok && c.pins[h] != nil {
		return nil // counted in the index
	}
	was, ok1 := daOf(c.mk, before)
	is, ok2 := daOf(c.mk, &c.last)
	if !ok1 || !ok2 {
		return nil
	}
	c.Stats.Tries++
	if is.counter > was.counter || is.interval == 0 || is.counter >= is.max {
		return nil
	}
	// lockoutAuth is not counted but locked at once.
	if t, err := c.last.resume(c.mk); err == nil {
		if r := rcOf(t.Execute(e.Locality, e.Command)); of(r, tcg.TPMRCLockout) {
			return nil
		}
	}
	return violated(Counted, "answered 0x%03X, counter %d before and %d after", uint32(rc), was.counter, is.counter)
}

// guess checks that a response reveals whether a password is correct only if a wrong
// one is counted, whether the state can be saved or not. It applies to passwords under
// dictionary attack protection, whose failure is TPM_RC_AUTH_FAIL.
func (c *Checker) guess(before *snapshot, e Event, w *wire, answer []byte) error {
	if rcOf(answer) != 0 || len(w.auths) == 0 || w.auths[0].handle != handlePW || !c.sometimes(e, 3, 6) {
		return nil
	}
	wrong := bytes.Clone(e.Command)
	if n := len(w.auths[0].value); n > 0 {
		wrong[w.auths[0].at+n-1] ^= 0x55
	} else if wrong = lengthen(wrong, w.auths[0].at); wrong == nil {
		return nil
	}
	try := func(cmd []byte, fails bool) (tcg.TPMRC, *machine) {
		t, err := before.resume(c.mk)
		if err != nil {
			return tcg.TPMRCFailure, nil
		}
		if fails {
			t.store.fails = -1
		}
		t.rand.Seed(seedOf(c.seed, e.ID))
		return rcOf(t.Execute(e.Locality, cmd)), t
	}
	if rc, _ := try(wrong, false); !of(rc, tcg.TPMRCAuthFail) {
		return nil
	}
	c.Stats.Oracles++
	right, _ := try(e.Command, true)
	fails, t := try(wrong, true)
	if right == fails || t == nil {
		return nil
	}
	// They differ: then no second try may tell anything.
	again := rcOf(t.Execute(e.Locality, e.Command))
	if again == right {
		return violated(NoOracle,
			"store fails: right answers 0x%03X, wrong 0x%03X, and right after wrong 0x%03X", uint32(right), uint32(fails), uint32(again))
	}
	return nil
}

// lengthen adds a byte to an empty password, whose value would be at.
func lengthen(c []byte, at int) []byte {
	area := 10
	for ; area < at-13; area += 4 { // the handles before the authorization area
	}
	if area+4 > len(c) || area+13 != at {
		return nil
	}
	out := append(bytes.Clone(c[:at]), 0x55)
	out = append(out, c[at:]...)
	out[at-1]++
	for i, add := range map[int]int{2: 1, area: 1} {
		v := be32(out[i:]) + uint32(add)
		copy(out[i:], u32(v))
	}
	return out
}
