package vtpm

import (
	"stubtpm/vtpm/internal/command"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// A Device is one TPM. Its methods may be called by several goroutines; each
// call that runs a command or a signal waits for the one before it.
type Device struct{ d *engine.Device }

func wrap(d *engine.Device, err error) (*Device, error) {
	if err != nil {
		return nil, err
	}
	return &Device{d}, nil
}

// Manufacture makes a new TPM with fresh seeds, saves it, and returns it
// powered on: in the state after _TPM_Init (Part 1, "TPM Manufacture").
func Manufacture(cfg Config) (*Device, error) { return wrap(command.Manufacture(cfg.engine())) }

// Load returns the TPM whose state a Store was given last, powered on: in the
// state after _TPM_Init. Errors wrap ErrState where the state is at fault.
func Load(cfg Config, state []byte) (*Device, error) {
	return wrap(command.Load(cfg.engine(), state))
}

// Resume returns the TPM of a permanent state as it was when Volatile was
// called. Errors wrap ErrState.
func Resume(cfg Config, state, volatile []byte) (*Device, error) {
	return wrap(command.Resume(cfg.engine(), state, volatile))
}

// Execute runs one command and returns its response, at any locality and for
// any bytes. It never returns an empty response.
func (d *Device) Execute(locality uint8, command []byte) []byte {
	return d.d.Execute(locality, command)
}

// Cancel asks the command in progress, if it is one that takes long, to end
// with TPM_RC_CANCELED. It does not wait.
func (d *Device) Cancel() { d.d.Cancel() }

// Init is the signal _TPM_Init: everything volatile is lost, and the device
// waits for TPM2_Startup.
func (d *Device) Init() { d.d.Init() }

// HashStart is the signal _TPM_Hash_Start: a measured launch begins, from
// locality 4 (Part 3, 22.9).
func (d *Device) HashStart() { d.d.HashStart() }

// HashData is the signal _TPM_Hash_Data. Without a _TPM_Hash_Start it does
// nothing.
func (d *Device) HashData(data []byte) { d.d.HashData(data) }

// HashEnd is the signal _TPM_Hash_End: what was measured is extended. Without
// a _TPM_Hash_Start it does nothing.
func (d *Device) HashEnd() { d.d.HashEnd() }

// Volatile returns what Resume needs besides the permanent state, to go on
// where the device is now. It holds secrets and has to be protected as the
// permanent state is. A device in failure mode has none. It is an error if
// Resume would not take it: the device goes on.
func (d *Device) Volatile() ([]byte, error) { return d.d.Volatile() }

// Snapshot calls save with the permanent state that a Store was given last and what Volatile
// returns for it, while no command runs, and returns its error. save must not keep the
// states, nor call the Device.
func (d *Device) Snapshot(save func(state, volatile []byte) error) error { return d.d.Snapshot(save) }

// Profile returns a copy of what the device was made with.
func (d *Device) Profile() tcg.Profile { return d.d.CopyProfile() }

// SetBufferSize tells the device that its interface carries commands and
// responses of at most n bytes: TPM_PT_MAX_COMMAND_SIZE and
// TPM_PT_MAX_RESPONSE_SIZE are n, and a longer command is answered with
// TPM_RC_COMMAND_SIZE. It is no part of the state; a new Device has
// MaxCommandSize. A size beyond MinBufferSize and LargestBuffer is set to the
// nearest of them. Parameter sets of ML-DSA whose signatures do not fit are not
// offered: ML-DSA-87 needs 5,371 bytes.
func (d *Device) SetBufferSize(n uint32) { d.d.SetBufferSize(n) }

// SetPhysicalPresence sets whether somebody at the machine confirms commands
// that need it.
func (d *Device) SetPhysicalPresence(asserted bool) { d.d.SetPhysicalPresence(asserted) }

// SelfTestStep runs the known-answer test of one algorithm that has not passed
// yet, and reports whether others are left. A program that calls it until then,
// with pauses, lets TPM2_GetTestResult succeed without TPM2_SelfTest (Part 1,
// "Self-Test Modes"). No command waits for the lock meanwhile; on one processor
// it may wait for the test, which takes some milliseconds at most. A known answer
// that is not met ends in failure mode.
func (d *Device) SelfTestStep() bool { return d.d.SelfTestStep() }

// TestingOnlyFailSelfTest makes the known-answer test of an algorithm fail
// from now on, to test failure mode. It is for tests only.
func (d *Device) TestingOnlyFailSelfTest(alg tcg.TPMAlgID) { d.d.TestingOnlyFailSelfTest(alg) }
