package engine

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"stubtpm/vtpm/internal/clock"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
	"time"
)

func newDevice(cfg Config) (*Device, error) {
	if cfg.Store == nil {
		return nil, errors.New("vtpm: no store")
	}
	if cfg.Rand == nil {
		cfg.Rand = tpmcrypto.NewRNG(rand.Reader)
	}
	if cfg.Now == nil {
		start := time.Now()
		cfg.Now = func() time.Duration { return time.Since(start) }
	}
	if cfg.Profile == nil {
		cfg.Profile = tcg.DefaultProfile()
	}
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	profile := *cfg.Profile
	d := &Device{Cfg: cfg, Profile: &profile}
	d.SetBufferSize(MaxCommandSize)
	return d, nil
}

// Manufacture makes a new TPM with fresh seeds, saves it, and returns it
// powered on: in the state after _TPM_Init (Part 1, "TPM Manufacture").
func Manufacture(cfg Config) (*Device, error) {
	d, err := newDevice(cfg)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(d.Profile.Check(), checkProfile(d.Profile)); err != nil {
		return nil, fmt.Errorf("vtpm: manufacture: %w", err)
	}
	if err := d.manufacture(); err != nil {
		return nil, fmt.Errorf("vtpm: manufacture: %w", err)
	}
	if cfg.Epoch != nil {
		d.setEpoch(*cfg.Epoch)
	}
	d.Dirty = true
	if err := d.Save(); err != nil {
		return nil, fmt.Errorf("vtpm: manufacture: %w", err)
	}
	d.powerOn()
	return d, nil
}

// manufacture sets the permanent state of a new TPM.
func (d *Device) manufacture() error {
	h, err := hierarchy.Manufacture(d.Cfg.Rand)
	if err != nil {
		return err
	}
	d.Perm = permanent{
		Hierarchies: h,
		DA:          lockout.New(),
		Clock:       clock.Saved{Safe: true}, // nobody has read it yet
		Shutdown:    uint16(tcg.TPMSUClear),  // no Clock was reported yet, so it is safe
		PCRBanks:    d.defaultBanks(),
		AuditHash:   tcg.TPMAlgSHA256,
		Audited:     []tcg.TPMCC{tcg.TPMCCSetCommandCodeAuditStatus},
		NV:          nv.NewSpace(),
		Objects:     map[tcg.TPMHandle]*object.Object{},
	}
	return nil
}

// Load returns the TPM whose state a Store was given last, powered on: in the
// state after _TPM_Init. Errors wrap ErrState where the state is at fault.
func Load(cfg Config, state []byte) (*Device, error) {
	d, err := newDevice(cfg)
	if err != nil {
		return nil, err
	}
	if err := d.decodePermanent(state); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	d.raise(cfg.Floors)
	if cfg.Epoch != nil {
		d.setEpoch(*cfg.Epoch)
	} else {
		d.noEpoch()
	}
	d.noPair()
	d.Kept = bytes.Clone(state)
	// A save that fails goes back to this, not below the floors.
	if d.Saved, err = d.checkedState(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	d.powerOn()
	return d, nil
}

// Init is the signal _TPM_Init: everything volatile is lost, and the device
// waits for TPM2_Startup.
func (d *Device) Init() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.powerOn()
}

// powerOn puts the device in the state after _TPM_Init.
func (d *Device) powerOn() {
	if d.Tests.Failed() != nil {
		d.Tests = tpmcrypto.SelfTest{TestingOnlyFail: d.Tests.TestingOnlyFail} // tested again
	}
	d.Vol.Wipe()
	d.Clear = StateClear{}
	d.Reset = StateReset{}
	d.Vol = d.newVolatile()
}

// newVolatile is the state after _TPM_Init.
func (d *Device) newVolatile() volatile {
	v := volatile{Clock: clock.PowerOn(d.Cfg.Now()), PCRs: pcr.New(&d.Reset.PCRUpdateCounter)}
	if d.Cfg.Attest != nil {
		v.Ask, v.Answer = nv.NewAsk(AskIndex, MaxAsk, nil), nv.NewAnswer(AnswerIndex, nil)
	}
	return v
}
