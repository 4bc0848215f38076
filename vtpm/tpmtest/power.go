package tpmtest

import (
	"time"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

// The ways of going off and on are those of Part 1, "Startup Modes". The device
// that goes on is another one, made from what the store has; objects and sessions
// that were loaded are gone.

// PowerCycle takes the power away and gives it back. The TPM is not started.
func (t *TPM) PowerCycle() {
	t.tb.Helper()
	d, err := vtpm.Load(t.cfg, t.Store.State())
	if err != nil {
		t.tb.Fatalf("tpmtest: %v", err)
	}
	t.Device = d
}

// PowerLoss is a TPM Reset without TPM2_Shutdown.
func (t *TPM) PowerLoss() {
	t.tb.Helper()
	t.PowerCycle()
	t.Do(tcg.TPMCCStartup, nil, nil, tcg.TPMSUClear)
}

// Reset is a TPM Reset: TPM2_Shutdown(CLEAR) and TPM2_Startup(CLEAR).
func (t *TPM) Reset() {
	t.tb.Helper()
	t.cycle(tcg.TPMSUClear, tcg.TPMSUClear)
}

// Restart is a TPM Restart: TPM2_Shutdown(STATE) and TPM2_Startup(CLEAR).
func (t *TPM) Restart() {
	t.tb.Helper()
	t.cycle(tcg.TPMSUState, tcg.TPMSUClear)
}

// Resume is a TPM Resume: TPM2_Shutdown(STATE) and TPM2_Startup(STATE).
func (t *TPM) Resume() {
	t.tb.Helper()
	t.cycle(tcg.TPMSUState, tcg.TPMSUState)
}

func (t *TPM) cycle(shutdown, startup tcg.TPMSU) {
	t.tb.Helper()
	t.Do(tcg.TPMCCShutdown, nil, nil, shutdown)
	t.PowerCycle()
	t.Do(tcg.TPMCCStartup, nil, nil, startup)
}

// Suspend saves the TPM with all that is volatile and has another device go on
// with it, as a machine does that is suspended or migrated.
func (t *TPM) Suspend() {
	t.tb.Helper()
	t.Device = t.resumed(t.cfg)
}

// Fork returns a second TPM that is in the same state in all, objects and
// sessions included. What the one does later the other does not see.
func (t *TPM) Fork() *TPM {
	t.tb.Helper()
	f := &TPM{Store: &Store{state: t.Store.State()}, Clock: &Clock{now: t.Clock.Now()}, Locality: t.Locality, tb: t.tb, cfg: t.cfg}
	f.cfg.Store, f.cfg.Now = f.Store, f.Clock.Now
	f.Device = t.resumed(f.cfg)
	return f
}

func (t *TPM) resumed(cfg vtpm.Config) *vtpm.Device {
	t.tb.Helper()
	volatile, err := t.Volatile()
	if err != nil {
		t.tb.Fatalf("tpmtest: %v", err)
	}
	d, err := vtpm.Resume(cfg, t.Store.State(), volatile)
	if err != nil {
		t.tb.Fatalf("tpmtest: %v", err)
	}
	return d
}

// Wait lets d pass, and the TPM notice: what a lapse of time makes due is done
// when a command comes.
func (t *TPM) Wait(d time.Duration) {
	t.tb.Helper()
	t.Clock.Advance(d)
	t.Do(tcg.TPMCCReadClock, nil, nil)
}
