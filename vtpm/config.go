package vtpm

import (
	"io"
	"time"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/tcg"
)

// MaxCommandSize and MaxResponseSize are the sizes in bytes of the largest
// command and response (TPM_PT_MAX_COMMAND_SIZE, TPM_PT_MAX_RESPONSE_SIZE) of a
// new Device. 4088 bytes is what a tpmif ring page carries; hosted interfaces carry
// 4096. LargestBuffer is the largest size that SetBufferSize takes.
const (
	MaxCommandSize  = engine.MaxCommandSize
	MaxResponseSize = engine.MaxResponseSize
	LargestBuffer   = engine.LargestBuffer
)

// MinBufferSize is the smallest size in bytes that SetBufferSize takes. Every
// response fits: of a key whose signatures would not, the parameter set is refused.
const MinBufferSize = engine.MinBufferSize

// EpochIndex is an NV index, of the range of the TPM's manufacturer, in which a
// verifier sees whether an old state was restored: TPM2_NV_Certify vouches for it.
// It is 8 bytes: Epoch's Ledger and Restores, big-endian. No command defines,
// writes or deletes it.
const EpochIndex = engine.EpochIndex

// AskIndex and AnswerIndex are NV indices, of the range of the TPM's manufacturer, by
// which a guest asks for evidence of what this TPM is: see Config.Attest.
const (
	AskIndex    = engine.AskIndex
	AnswerIndex = engine.AnswerIndex
)

// MaxAnswer is the number of bytes that AnswerIndex holds at most.
const MaxAnswer = engine.MaxAnswer

// ErrState is wrapped by the errors that Load and Resume return for a state that
// they cannot use.
var ErrState = engine.ErrState

// ErrRate says, where an error of a Store wraps it, that states are saved too
// often: the command is answered with TPM_RC_NV_RATE.
var ErrRate = engine.ErrRate

// A Store keeps the device's permanent state.
type Store interface {
	// Save replaces the state. When it returns nil the new state survives a
	// loss of power; when it returns an error, either the old state or the new
	// one does. It must not keep state after it returns.
	Save(state []byte) error
}

// An IdleStore is a Store that distinguishes states whose loss nobody would notice:
// in which only Clock changed, or failed authorizations were forgiven.
type IdleStore interface {
	Store

	// SaveIdle is Save of such a state.
	SaveIdle(state []byte) error
}

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

	// Floors are lower bounds that Load applies to the state: for one that is older
	// than another that was in use.
	Floors Floors

	// Epoch, if set, is what EpochIndex holds; without it there is no such index.
	Epoch *Epoch

	// Firmware, if set, gives the device its limited hierarchies.
	Firmware *Firmware

	// Attest, if set, gives the device AskIndex and AnswerIndex. TPM2_NV_Write of
	// AskIndex, from offset 0, by the owner or with the empty authorization value of
	// the index, writes a question. One for evidence is 1 (1 byte), a nonce of 16 to 64
	// bytes and the Name of an attestation key; one for a certificate of the key is 2
	// and the Name. Nonce and Name have their length (1 byte) before them. A question is
	// handed to Attest, with the TPMT_PUBLIC of the key, only if a key with that Name is
	// loaded here that is restricted, signs, and has fixedTPM, fixedParent and
	// sensitiveDataOrigin. What Attest returns, 1 to MaxAnswer bytes, is then read from
	// AnswerIndex, by everybody.
	//
	// Attest is called while no other command runs, and must not call the Device. Where
	// it returns an error the earlier answer is dropped, and the command is answered
	// with TPM_RC_NV_RATE if the error wraps ErrRate, else with TPM_RC_NV_UNAVAILABLE.
	// A panic ends in failure mode. Question and answer are no part of any state, and
	// are lost at _TPM_Init, Load and Resume: asking does not have the state saved.
	Attest func(ask, key []byte) ([]byte, error)

	// Log, if set, receives events worth a line: never secrets, never bodies of
	// commands.
	Log func(format string, args ...any)
}

// engine returns what package engine is given.
func (c Config) engine() engine.Config {
	e := engine.Config{
		Rand: c.Rand, Now: c.Now, Profile: c.Profile, Floors: engine.Floors(c.Floors),
		Epoch: (*engine.Epoch)(c.Epoch), Firmware: (*hierarchy.Firmware)(c.Firmware), Attest: c.Attest, Log: c.Log,
	}
	if c.Store != nil {
		e.Store = c.Store
	}
	return e
}

// Floors are the values of a TPM that must never be seen to go back, even when
// its owner has an old state restored (Part 1, "Timing Components" and
// "Dictionary Attack Protection").
type Floors struct {
	Clock       uint64 // milliseconds
	ResetCount  uint32 // raising it also restarts restartCount from zero
	FailedTries uint32 // towards lockout; more than its limit stands for the limit
}

// ReadFloors returns the values that are in a saved state.
func ReadFloors(state []byte) (Floors, error) {
	f, err := engine.ReadFloors(state)
	return Floors(f), err
}

// An Epoch counts restores of old states, as the keeper of the state counts them.
type Epoch struct {
	Ledger   uint32 // of all TPMs that are kept together; another after each restore
	Restores uint32 // of this TPM
}

// A Firmware is what hierarchies that are limited to the present firmware, or to
// a security version of it, depend on (Part 1, clause 41). The program that starts
// the device derives the secrets, so that no other firmware can have them.
type Firmware struct {
	// Secret is of this firmware image on this TPM: 32 bytes or more.
	Secret []byte

	// SVN is the security version of the firmware, and SVNSecret its place in the
	// chain in which the secret of each version is the hash of the next one's.
	SVN       uint16
	SVNSecret []byte
}
