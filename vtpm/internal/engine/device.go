package engine

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A Dispatcher runs commands on a device.
type Dispatcher interface {
	// Implements reports whether it has the command.
	Implements(code tcg.TPMCC) bool

	// Execute runs one command and returns its response. The device is locked by
	// its caller.
	Execute(d *Device, locality uint8, command []byte) []byte
}

// A Device is one TPM. Its methods may be called by several goroutines; each
// call that runs a command or a signal waits for the one before it.
type Device struct {
	Cfg        Config
	cancelled  atomic.Bool
	BufferSize atomic.Uint32 // see SetBufferSize

	Tests tpmcrypto.SelfTest // known answers met so far

	mu      sync.Mutex
	Profile *tcg.Profile

	Perm  permanent  // survives loss of power
	Clear StateClear // survives Shutdown(STATE) only
	Reset StateReset // survives Shutdown(STATE), and Startup(CLEAR) after it
	Vol   volatile   // lost at _TPM_Init

	Saved []byte // perm as last saved, for undoing a command whose save failed
	Kept  []byte // what the store has: saved, or what Load was given until a save

	before  checkpoint            // what undo goes back to besides saved
	Tries   UnsavedTries          // what it does not take back
	Flushed []interface{ Wipe() } // by the present command
	Dirty   bool                  // perm has to be saved before the present command is answered
	encoded permanentEncoding     // of perm, if findChanges made it
}

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
	d.Kept = bytes.Clone(state)
	// A save that fails goes back to this, not below the floors.
	if d.Saved, err = d.checkedState(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	d.powerOn()
	return d, nil
}

// Execute runs one command and returns its response, at any locality and for
// any bytes. It never returns an empty response.
func (d *Device) Execute(locality uint8, command []byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancelled.Store(false)
	resp := d.Cfg.Dispatcher.Execute(d, locality, command)
	d.forget()
	return resp
}

// Implements reports whether a command is implemented and in the profile.
func (d *Device) Implements(code tcg.TPMCC) bool {
	return d.Profile.HasCommand(code) && d.Cfg.Dispatcher.Implements(code)
}

// Init is the signal _TPM_Init: everything volatile is lost, and the device
// waits for TPM2_Startup.
func (d *Device) Init() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.powerOn()
}

// Cancel asks the command in progress, if it is one that takes long, to end
// with TPM_RC_CANCELED. It does not wait.
func (d *Device) Cancel() { d.cancelled.Store(true) }

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

// Save makes the permanent state durable if a command changed it. Where that
// fails all that the command changed is undone, but for what it counted, so that
// memory and disk tell the same story. A state that does not decode is not given
// to the store.
func (d *Device) Save() error { return d.saveBy(d.Cfg.Store.Save) }

func (d *Device) saveBy(store func(state []byte) error) error {
	if !d.Dirty {
		return nil
	}
	d.Dirty = false
	d.Perm.Clock.Clock = d.ClockNow()
	state, err := d.checkedState()
	if err == nil {
		err = store(state)
	}
	if err != nil {
		d.Cfg.Log("vtpm: save of %d bytes failed: %v", len(state), err)
		d.Undo()
		return err
	}
	d.Saved, d.Kept = state, state
	d.before.orderlyKnown = false
	d.Tries = UnsavedTries{}
	return nil
}

// Unsaved returns the response code of a command whose state could not be
// saved.
func Unsaved(err error) tcg.TPMRC {
	if errors.Is(err, ErrRate) {
		return tcg.TPMRCNVRate
	}
	return tcg.TPMRCNVUnavailable
}

// Random returns n bytes from the device's random source.
func (d *Device) Random(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(d.Cfg.Rand, b); err != nil {
		// No command can go on without randomness; the dispatcher turns this
		// into failure mode.
		panic(fmt.Errorf("vtpm: random source: %w", err))
	}
	return b
}

// Fail puts the device in failure mode.
func (d *Device) Fail(what string, code uint32) {
	d.Cfg.Log("vtpm: failure mode: %s", what)
	if !d.Vol.Failed {
		d.Vol.Failed = true
		d.Vol.Failure = failure{what, code}
	}
}

// CommandCount returns the number of commands that the device implements.
func (d *Device) CommandCount() uint32 {
	n := uint32(0)
	for code := FirstCommand; code <= LastCommand; code++ {
		if d.Implements(code) {
			n++
		}
	}
	return n
}

const FirstCommand, LastCommand = tcg.TPMCCNVUndefineSpaceSpecial, tcg.TPMCC(0x1AA)

// SetPhysicalPresence says whether somebody at the machine confirms commands
// that need it.
func (d *Device) SetPhysicalPresence(asserted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Vol.PhysicalPresence = asserted
}

// Stir mixes a caller's data into the random source, if it has a way to take
// it.
func (d *Device) Stir(data []byte) error {
	s, ok := d.Cfg.Rand.(interface{ Stir([]byte) error })
	if !ok {
		return nil
	}
	if err := s.Stir(data); err != nil {
		return fmt.Errorf("vtpm: random source: %w", err)
	}
	return nil
}
