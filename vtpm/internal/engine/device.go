package engine

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Config is what a Device is built from: vtpm.Config, which documents its fields,
// and the Dispatcher. Store and Dispatcher are required.
type Config struct {
	Store      Store
	Rand       io.Reader
	Now        func() time.Duration
	Profile    *tcg.Profile
	Floors     Floors
	Epoch      *Epoch
	Firmware   *hierarchy.Firmware
	Attest     func(ask, key []byte) ([]byte, error)
	Log        func(format string, args ...any)
	Dispatcher Dispatcher
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
	encoded permanentEncoding     // of perm, if FindChanges made it
}

// Implements reports whether a command is implemented and in the profile.
func (d *Device) Implements(code tcg.TPMCC) bool {
	return d.Profile.HasCommand(code) && d.Cfg.Dispatcher.Implements(code)
}

// Cancel asks the command in progress, if it is one that takes long, to end
// with TPM_RC_CANCELED. It does not wait.
func (d *Device) Cancel() { d.cancelled.Store(true) }

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

// FirstCommand and LastCommand bound the codes of commands.
const FirstCommand, LastCommand = tcg.TPMCCNVUndefineSpaceSpecial, tcg.TPMCCLast

// SetPhysicalPresence reports whether somebody at the machine confirms commands
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

// MinBufferSize is the smallest size in bytes that SetBufferSize takes. Every
// response fits that Offered allows.
const MinBufferSize = 2808

// SetBufferSize tells the device that its interface carries commands and
// responses of at most n bytes: TPM_PT_MAX_COMMAND_SIZE and
// TPM_PT_MAX_RESPONSE_SIZE are n, and a longer command is answered with
// TPM_RC_COMMAND_SIZE. It is no part of the state; a new Device has
// MaxCommandSize. A size beyond MinBufferSize and LargestBuffer is set to the
// nearest of them. Parameter sets of ML-DSA whose signatures do not fit are not
// offered.
func (d *Device) SetBufferSize(n uint32) {
	d.BufferSize.Store(min(max(n, MinBufferSize), LargestBuffer))
}

// SignatureRoom is how many bytes a response has at most besides an ML-DSA signature,
// and some to spare: header, three sessions with SHA-512, and the structure of
// TPM2_GetCommandAuditDigest, which is the longest. TPM2_NV_Certify returns no more
// contents than fit.
const SignatureRoom = 744

// FitsMLDSA reports whether a response has room for signatures of a parameter set of
// ML-DSA.
func (d *Device) FitsMLDSA(set uint16) bool {
	return int(d.BufferSize.Load()) >= tcg.MLDSASignatureSize(set)+SignatureRoom
}

// Offered is the profile without the parameter sets of ML-DSA whose signatures do not
// fit the interface's buffer: they are refused where they are unmarshalled.
func (d *Device) Offered() *tcg.Profile {
	p := d.Profile
	for set := tcg.TPMMLDSA44; set <= tcg.TPMMLDSA87; set++ {
		if p.MLSet(tcg.TPMAlgMLDSA, set) && !d.FitsMLDSA(set) {
			if p == d.Profile {
				c := *p
				p = &c
			}
			p.SetMLSet(tcg.TPMAlgMLDSA, set, false)
		}
	}
	return p
}
