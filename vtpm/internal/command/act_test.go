package command

import (
	"testing"
	"time"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/timer"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

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

type actData struct {
	timeout  uint32
	signaled bool
	preserve bool
}

// actOf reads a timer by TPM2_GetCapability.
func (x rawTPM) act(h tcg.TPMHandle) actData {
	x.t.Helper()
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCGetCapability, nil, func(w *tcg.Writer) {
		w.Uint32(uint32(tcg.TPMCapACT))
		w.Uint32(uint32(h))
		w.Uint32(1)
	})
	r.Bytes(5)
	if n := r.Uint32(); n != 1 {
		x.t.Fatalf("%d timers", n)
	}
	if got := tcg.TPMHandle(r.Uint32()); got != h {
		x.t.Fatalf("timer %#x, not %#x", got, h)
	}
	a := actData{timeout: r.Uint32()}
	v := tcg.TPMAACT(r.Uint32())
	a.signaled, a.preserve = v&tcg.TPMAACTSignaled != 0, v&tcg.TPMAACTPreserveSignaled != 0
	return a
}

func (x rawTPM) setACT(rc tcg.TPMRC, h tcg.TPMHandle, seconds uint32) {
	x.t.Helper()
	x.want(rc, tcg.TPMCCACTSetTimeout, handles(h), func(w *tcg.Writer) { w.Uint32(seconds) })
}

// TestACT follows the four cases of Part 3, 33.2, and the countdown.
func TestACT(t *testing.T) {
	t.Parallel()
	d, _, _, now := timedDevice(t)
	x := rawTPM{t, d}
	const h = tcg.TPMRHACT0
	check := func(step string, want actData) {
		t.Helper()
		if got := x.act(h); got != want {
			t.Errorf("%s: %+v, want %+v", step, got, want)
		}
	}
	check("at first", actData{})
	x.setACT(tcg.TPMRCSuccess, h, 0)
	check("zero on zero", actData{})
	x.setACT(tcg.TPMRCSuccess, h, 10)
	*now += 3500 * time.Millisecond
	check("after 3.5 s", actData{timeout: 7})
	*now += 500 * time.Millisecond
	check("after 4 s", actData{timeout: 6})
	x.setACT(tcg.TPMRCSuccess, h, 5)
	check("set anew", actData{timeout: 5})
	*now += 5 * time.Second
	check("expired", actData{signaled: true})
	*now += time.Hour
	x.setACT(tcg.TPMRCSuccess, h, 0)
	check("zero on zero, signaled", actData{signaled: true})
	x.setACT(tcg.TPMRCSuccess, h, 2)
	check("set after the signal", actData{timeout: 2})
	x.setACT(tcg.TPMRCSuccess, h, 0)
	check("zero on a count", actData{signaled: true})
	x.setACT(tcg.TPMRCSuccess, h, 0xFFFFFFFF)
	check("stopped", actData{})
	x.setACT(tcg.TPMRCSuccess, h, 0xFFFFFFFF)
	check("longest", actData{timeout: 0xFFFFFFFF})
	if a := x.act(h + 1); a != (actData{}) {
		t.Errorf("the other timer: %+v", a)
	}
	x.setACT(tcg.TPMRCValue.H(1), h+timer.Count, 1)
}

// TestACTAuthorization: by platformAuth while the platform hierarchy is
// enabled, and by the timer's own policy also later.
func TestACTAuthorization(t *testing.T) {
	t.Parallel()
	d, _, _, _ := timedDevice(t)
	x := rawTPM{t, d}
	const h = tcg.TPMRHACT0
	x.want(tcg.TPMRCSuccess, tcg.TPMCCHierarchyChangeAuth, handles(tcg.TPMRHPlatform), func(w *tcg.Writer) { w.Sized([]byte("platform")) })
	x.setACT(tcg.TPMRCBadAuth.S(1), h, 1)
	d.Hierarchies().SetAuth(tcg.TPMRHPlatform, nil)
	policy := make([]byte, 32)
	policy[0] = 1
	x.want(tcg.TPMRCSuccess, tcg.TPMCCSetPrimaryPolicy, handles(h), func(w *tcg.Writer) {
		w.Sized(policy)
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	if p := d.EntityPolicy(h); p.Hash != tcg.TPMAlgSHA256 || !tpmcrypto.Equal(p.Digest, policy) {
		t.Errorf("policy: %+v", p)
	}
	x.setACT(tcg.TPMRCSuccess, h, 1)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCHierarchyControl, handles(tcg.TPMRHPlatform), func(w *tcg.Writer) {
		w.Uint32(uint32(tcg.TPMRHPlatform))
		w.YesNo(false)
	})
	x.setACT(tcg.TPMRCAuthUnavailable, h, 1)
}

// TestACTPower: what is kept over the three kinds of power cycle (Part 1, 40.2;
// Part 3, 9.3).
func TestACTPower(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name              string
		shutdown, startup []byte
		set               bool // the timer was set since the last Startup
		want              actData
	}{
		{"resume", shutdownState, startupState, true, actData{timeout: 100}},
		{"resume, not set since", shutdownState, startupState, false, actData{timeout: 50}},
		{"restart", shutdownState, startupClear, true, actData{}},
		{"reset", shutdownClear, startupClear, true, actData{}},
	} {
		d, s, cfg, now := timedDevice(t)
		x := rawTPM{t, d}
		const h, other = tcg.TPMRHACT0, tcg.TPMRHACT0 + 1
		x.setACT(tcg.TPMRCSuccess, h, 100)
		x.setACT(tcg.TPMRCSuccess, other, 1)
		*now += time.Second
		if !c.set {
			d.Execute(0, shutdownState)
			d.Init()
			d.Execute(0, startupState)
			*now += time.Second
		}
		x.setACT(tcg.TPMRCSuccess, other, 0) // signaled stays
		left := x.act(h).timeout
		d.Execute(0, c.shutdown)
		*now += time.Hour // without power
		d, err := Load(cfg, s.state)
		if err != nil {
			t.Fatal(err)
		}
		if r := d.Execute(0, c.startup); !ok(r) {
			t.Fatalf("%s: startup: %x", c.name, r)
		}
		x = rawTPM{t, d}
		want := c.want
		if want.timeout != 0 {
			want.timeout = left
			if !c.set {
				want.timeout = left / 2
			}
		}
		if got := x.act(h); got != want {
			t.Errorf("%s: %+v, want %+v (%d were left)", c.name, got, want, left)
		}
		resumed := want.timeout != 0
		if got := x.act(other); got != (actData{signaled: resumed, preserve: resumed}) {
			t.Errorf("%s: the one that signaled: %+v", c.name, got)
		}
	}
}

// TestACTVolatile: a machine that was stopped goes on with its timers.
func TestACTVolatile(t *testing.T) {
	t.Parallel()
	d, s, cfg, now := timedDevice(t)
	rawTPM{t, d}.setACT(tcg.TPMRCSuccess, tcg.TPMRHACT0, 100)
	*now += 10 * time.Second
	v, err := d.Volatile()
	if err != nil {
		t.Fatal(err)
	}
	*now += time.Hour
	if d, err = Resume(cfg, s.state, v); err != nil {
		t.Fatal(err)
	}
	if got := (rawTPM{t, d}).act(tcg.TPMRHACT0); got.timeout != 90 {
		t.Errorf("%+v", got)
	}
}
