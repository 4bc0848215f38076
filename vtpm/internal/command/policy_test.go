package command

import (
	"encoding/binary"
	"testing"
	"time"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// session starts a policy or trial session.
func (x rawTPM) session(kind tcg.TPMSE) tcg.TPMHandle {
	x.t.Helper()
	rc, h, _ := x.send(tcg.TPMCCStartAuthSession, handles(tcg.TPMRHNull, tcg.TPMRHNull), func(w *tcg.Writer) {
		w.Sized(make([]byte, 16))
		w.Sized(nil)
		w.Uint8(uint8(kind))
		w.Uint16(uint16(tcg.TPMAlgNull))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	if rc != tcg.TPMRCSuccess {
		x.t.Fatalf("TPM2_StartAuthSession: %#x", uint32(rc))
	}
	return h
}

// TestPolicyCheckOrder: of several faults of a policy session the first in the
// order of Part 3, 5.6, item 8, is told.
func TestPolicyCheckOrder(t *testing.T) {
	t.Parallel()
	d, _, _, now := timedDevice(t)
	x := rawTPM{t, d}
	*now = 10 * time.Second
	x.want(tcg.TPMRCSuccess, tcg.TPMCCSetPrimaryPolicy, handles(tcg.TPMRHOwner), func(w *tcg.Writer) {
		w.Sized(make([]byte, 32)) // that of a session to which nothing was added
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	s := x.session(tcg.TPMSEPolicy)
	var w tcg.Writer
	w.Uint16(uint16(tcg.TPMSTSessions))
	w.Uint32(0)
	w.Uint32(uint32(tcg.TPMCCClockRateAdjust))
	w.Uint32(uint32(tcg.TPMRHOwner))
	w.Uint32(9)
	w.Uint32(uint32(s))
	w.Bytes([]byte{0, 0, byte(tcg.TPMASessionContinueSession), 0, 0})
	w.Uint8(0)
	copy(w.B[2:], binary.BigEndian.AppendUint32(nil, uint32(len(w.B))))
	p := d.Session(s).Policy
	// Each fault goes away when its code was told.
	faults := []struct {
		set, mend func()
		want      tcg.TPMRC
	}{
		{func() { p.Timeout, p.Epoch = 1, d.Vol.Clock.Epoch }, func() { p.Timeout = 0 }, tcg.TPMRCExpired.S(1)},
		{func() { p.CPHash = make([]byte, 32) }, func() { p.CPHash = nil }, tcg.TPMRCPolicyFail.S(1)},
		{func() { p.CommandCode = tcg.TPMCCClear }, func() { p.CommandCode = 0 }, tcg.TPMRCPolicyCC.S(1)},
		{func() { p.Digest[0] = 1 }, func() { p.Digest[0] = 0 }, tcg.TPMRCPolicyFail.S(1)},
		{func() { p.PCRChecked, p.PCRCounter = true, d.Reset.PCRUpdateCounter+1 }, func() { p.PCRChecked = false }, tcg.TPMRCPCRChanged},
		{func() { p.Locality = 2 }, func() { p.Locality = 0 }, tcg.TPMRCLocality},
		{func() { p.PresenceNeeded = true }, func() { p.PresenceNeeded = false }, tcg.TPMRCPP.S(1)},
	}
	for _, c := range faults {
		c.set()
	}
	for _, c := range faults {
		if got := tcg.TPMRC(binary.BigEndian.Uint32(d.Execute(0, w.B)[6:])); got != c.want {
			t.Errorf("%#x, not %#x", uint32(got), uint32(c.want))
		}
		c.mend()
	}
	if r := d.Execute(0, w.B); !ok(r) {
		t.Errorf("without a fault: %x", r)
	}
}

// A timed device has a clock that the test sets.
func timedDevice(t *testing.T) (d *engine.Device, s *memStore, cfg engine.Config, now *time.Duration) {
	t.Helper()
	now = new(time.Duration)
	s = new(memStore)
	cfg = engine.Config{Store: s, Now: func() time.Duration { return *now }, Log: t.Logf}
	d, err := Manufacture(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	return d, s, cfg, now
}
