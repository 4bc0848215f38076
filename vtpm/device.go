// Package vtpm is a TPM 2.0: a locality and the bytes of a command go in, the
// bytes of a response come out.
//
// It implements the Trusted Platform Module 2.0 Library, version 1.85, Parts
// 1 to 3. It does no I/O of its own, has no package state and uses no unsafe,
// so it runs anywhere: in a domain of its own, in a process, in a test.
package vtpm

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

// MaxCommandSize and MaxResponseSize are the sizes in bytes of the largest
// command and response (TPM_PT_MAX_COMMAND_SIZE, TPM_PT_MAX_RESPONSE_SIZE).
// 4088 bytes is what a tpmif ring page carries; hosted interfaces carry 4096.
const (
	MaxCommandSize  = 4096
	MaxResponseSize = 4096
)

// A Store keeps the device's permanent state.
type Store interface {
	// Save replaces the state. When it returns nil the new state survives a
	// loss of power; when it returns an error, either the old state or the new
	// one does. It must not keep state after it returns.
	Save(state []byte) error
}

// An IdleStore is a Store that is told of states which nobody would miss: in
// which only Clock changed, or failed authorizations were forgiven.
type IdleStore interface {
	Store

	// SaveIdle is Save of such a state.
	SaveIdle(state []byte) error
}

// ErrRate says, where an error of a Store wraps it, that states are saved too
// often: the command is answered with TPM_RC_NV_RATE.
var ErrRate = errors.New("vtpm: the state is saved too often")

// Config is what a Device is built from. Store is required; each other zero
// field has a working default.
type Config struct {
	Store Store

	// Rand is the source of randomness. If nil, it is a generator of the
	// device's own over crypto/rand.Reader. TPM2_StirRandom adds to a source
	// with the method Stir([]byte) error, and leaves another as it is.
	Rand io.Reader

	// Now returns the time elapsed since some fixed start; it never goes
	// back. The default is the monotonic clock of package time.
	Now func() time.Duration

	// Profile is used by Manufacture and stored; Load reads it from the
	// state. tcg.DefaultProfile() if nil. Manufacture refuses one that is
	// contradictory or has what this build has not.
	Profile *tcg.Profile

	// Floors lift what Load finds in the state: for one that is older than
	// another that was in use.
	Floors Floors

	// Epoch, if set, is what EpochIndex tells; without it there is no such
	// index.
	Epoch *Epoch

	// Firmware, if set, gives the device its limited hierarchies.
	Firmware *Firmware

	// Dispatcher runs the commands.
	Dispatcher Dispatcher

	// Log, if set, is told of events worth a line: never secrets, never
	// bodies of commands.
	Log func(format string, args ...any)
}

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
	cfg        Config
	cancelled  atomic.Bool
	bufferSize atomic.Uint32 // see SetBufferSize

	tests tpmcrypto.SelfTest // known answers met so far

	mu      sync.Mutex
	profile *tcg.Profile

	perm  permanent  // survives loss of power
	clear stateClear // survives Shutdown(STATE) only
	reset stateReset // survives Shutdown(STATE), and Startup(CLEAR) after it
	vol   volatile   // lost at _TPM_Init

	saved []byte // perm as last saved, for undoing a command whose save failed
	kept  []byte // what the store has: saved, or what Load was given until a save

	before  checkpoint            // what undo goes back to besides saved
	tries   unsavedTries          // what it does not take back
	flushed []interface{ wipe() } // by the present command
	dirty   bool                  // perm has to be saved before the present command is answered
	encoded permanentEncoding     // of perm, if findChanges made it
}

// ErrState is wrapped by the errors that Load returns for a state it cannot
// use.
var ErrState = errors.New("vtpm: state is not usable")

func newDevice(cfg Config) (*Device, error) {
	if cfg.Dispatcher == nil {
		cfg.Dispatcher = newHandlerTable()
	}
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
	d := &Device{cfg: cfg, profile: &profile}
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
	if err := errors.Join(d.profile.Check(), checkProfile(d.profile)); err != nil {
		return nil, fmt.Errorf("vtpm: manufacture: %w", err)
	}
	if err := d.manufacture(); err != nil {
		return nil, fmt.Errorf("vtpm: manufacture: %w", err)
	}
	if cfg.Epoch != nil {
		d.setEpoch(*cfg.Epoch)
	}
	d.dirty = true
	if err := d.save(); err != nil {
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
	d.kept = bytes.Clone(state)
	// A save that fails goes back to this, not below the floors.
	if d.saved, err = d.checkedState(); err != nil {
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
	resp := d.cfg.Dispatcher.Execute(d, locality, command)
	d.forget()
	return resp
}

// Implements reports whether a command is implemented and in the profile.
func (d *Device) Implements(code tcg.TPMCC) bool {
	return d.profile.HasCommand(code) && d.cfg.Dispatcher.Implements(code)
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
	if d.tests.Failed() != nil {
		d.tests = tpmcrypto.SelfTest{TestingOnlyFail: d.tests.TestingOnlyFail} // tested again
	}
	d.vol.wipe()
	d.clear = stateClear{}
	d.reset = stateReset{}
	d.vol = d.newVolatile()
}

// save makes the permanent state durable if a command changed it. Where that
// fails all that the command changed is undone, but for what it counted, so that
// memory and disk tell the same story. A state that does not decode is not given
// to the store.
func (d *Device) save() error { return d.saveBy(d.cfg.Store.Save) }

func (d *Device) saveBy(store func(state []byte) error) error {
	if !d.dirty {
		return nil
	}
	d.dirty = false
	d.perm.clock.Clock = d.clockNow()
	state, err := d.checkedState()
	if err == nil {
		err = store(state)
	}
	if err != nil {
		d.cfg.Log("vtpm: save of %d bytes failed: %v", len(state), err)
		d.undo()
		return err
	}
	d.saved, d.kept = state, state
	d.before.orderlyKnown = false
	d.tries = unsavedTries{}
	return nil
}

// unsaved returns the response code of a command whose state could not be
// saved.
func unsaved(err error) tcg.TPMRC {
	if errors.Is(err, ErrRate) {
		return tcg.TPMRCNVRate
	}
	return tcg.TPMRCNVUnavailable
}

// random returns n bytes from the device's random source.
func (d *Device) random(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(d.cfg.Rand, b); err != nil {
		// No command can go on without randomness; the dispatcher turns this
		// into failure mode.
		panic(fmt.Errorf("vtpm: random source: %w", err))
	}
	return b
}

// fail puts the device in failure mode.
func (d *Device) fail(what string, code uint32) {
	d.cfg.Log("vtpm: failure mode: %s", what)
	if !d.vol.failed {
		d.vol.failed = true
		d.vol.failure = failure{what, code}
	}
}

// commandCount returns the number of commands that the device implements.
func (d *Device) commandCount() uint32 {
	n := uint32(0)
	for code := firstCommand; code <= lastCommand; code++ {
		if d.Implements(code) {
			n++
		}
	}
	return n
}
