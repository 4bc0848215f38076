package command_test

import (
	"testing"
	"time"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// countdown is what TPM2_GetCapability says of a timer.
type countdown struct {
	left               uint32 // seconds
	signaled, preserve bool
}

func countdownOf(tpm *tpmtest.TPM, h tcg.TPMHandle) countdown {
	r := tpm.Do(tcg.TPMCCGetCapability, nil, nil, tcg.TPMCapACT, h, 1)
	r.Bytes(1 + 4 + 4 + 4) // moreData, capability, count and handle
	left, a := r.Uint32(), tcg.TPMAACT(r.Uint32())
	return countdown{left, a&tcg.TPMAACTSignaled != 0, a&tcg.TPMAACTPreserveSignaled != 0}
}

// TestACTSetTimeout follows the four cases of Part 3, 33.2.1, and the countdown.
func TestACTSetTimeout(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	const h = tcg.TPMRHACT0
	set := func(seconds uint32) { tpm.Do(tcg.TPMCCACTSetTimeout, handles{h}, nil, seconds) }
	want := func(why string, want countdown) {
		t.Helper()
		if got := countdownOf(tpm, h); got != want {
			t.Errorf("%s: %+v, not %+v", why, got, want)
		}
	}
	want("at first", countdown{})
	set(0)
	want("zero on zero", countdown{})
	set(10)
	tpm.Clock.Advance(3500 * time.Millisecond)
	want("after 3.5 s", countdown{left: 7})
	set(5)
	want("set while it counts", countdown{left: 5})
	tpm.Clock.Advance(5 * time.Second)
	want("at its end", countdown{signaled: true})
	set(0)
	want("zero on zero, after the signal", countdown{signaled: true})
	set(2)
	want("set after the signal", countdown{left: 2})
	set(0)
	want("zero while it counts", countdown{signaled: true})
	set(0xFFFFFFFF)
	want("the signal cleared", countdown{})
	set(0xFFFFFFFF)
	want("the longest time", countdown{left: 0xFFFFFFFF})
	if got := countdownOf(tpm, h+1); got != (countdown{}) {
		t.Errorf("the other timer: %+v", got)
	}
	set(100)
	tpm.Do(tcg.TPMCCACTSetTimeout, handles{h + 1}, nil, 1)
	tpm.Clock.Advance(time.Second)
	// A machine that is suspended goes on with its timers.
	f := tpm.Fork()
	f.Clock.Advance(10 * time.Second)
	f.Suspend()
	f.Clock.Advance(9 * time.Second)
	if got := countdownOf(f, h); got != (countdown{left: 80}) {
		t.Errorf("after a suspend: %+v", got)
	}
	f = tpm.Fork()
	f.Resume()
	if got, other := countdownOf(f, h), countdownOf(f, h+1); got != (countdown{left: 99}) || other != (countdown{signaled: true, preserve: true}) {
		t.Errorf("after a resume: %+v, %+v", got, other)
	}
	// What nobody set since the last start loses half of its time.
	f.Resume()
	if got := countdownOf(f, h); got != (countdown{left: 49}) {
		t.Errorf("after another resume: %+v", got)
	}
	f.Do(tcg.TPMCCACTSetTimeout, handles{h + 1}, nil, 0)
	if got := countdownOf(f, h+1); got != (countdown{signaled: true}) {
		t.Errorf("set after a resume: %+v", got)
	}
	for _, goes := range []func(*tpmtest.TPM){(*tpmtest.TPM).Restart, (*tpmtest.TPM).Reset, (*tpmtest.TPM).PowerLoss} {
		f := tpm.Fork()
		goes(f)
		if got, other := countdownOf(f, h), countdownOf(f, h+1); got != (countdown{}) || other != (countdown{}) {
			t.Errorf("after TPM2_Startup(CLEAR): %+v, %+v", got, other)
		}
	}
}

// TestACTAuthorization: platformAuth authorizes while its hierarchy is enabled, the
// timer's own policy always.
func TestACTAuthorization(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	const h = tcg.TPMRHACT0
	code := step(tcg.TPMCCPolicyCommandCode, tcg.TPMCCACTSetTimeout)
	tpm.Do(tcg.TPMCCSetPrimaryPolicy, handles{h}, nil, trial(tpm, code), tcg.TPMAlgSHA256)
	tpm.Do(tcg.TPMCCHierarchyChangeAuth, handles{platform}, nil, "platform")
	password := auths{tpmtest.Password("platform")}
	tpm.Want(tcg.TPMRCBadAuth.S(1), tcg.TPMCCACTSetTimeout, handles{h}, nil, 1)
	tpm.Do(tcg.TPMCCACTSetTimeout, handles{h}, password, 1)
	tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, password, platform, false)
	tpm.Want(tcg.TPMRCAuthUnavailable.S(1), tcg.TPMCCACTSetTimeout, handles{h}, password, 1)
	s := tpm.StartPolicy()
	code(tpm, s)
	tpm.Do(tcg.TPMCCACTSetTimeout, handles{h}, auths{s}, 1)
}

func TestACTSetTimeoutCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCACTSetTimeout)
	c.row(tcg.TPMRCValue.H(1), "no such timer", handles{tcg.TPMRHACT0 + 2}, 1)
	c.row(tcg.TPMRCValue.H(1), "not a timer", handles{platform}, 1)
	c.row(tcg.TPMRCInsufficient.P(1), "half a number", handles{tcg.TPMRHACT0}, tpmtest.Raw{0, 0})
}
