package engine

import (
	"time"

	"stubtpm/vtpm/internal/clock"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/internal/timer"
	"stubtpm/vtpm/tcg"
)

// permanent is what survives loss of power at any moment (Part 1,
// "Persistent data").
type permanent struct {
	Hierarchies hierarchy.Permanent

	DA lockout.Lockout

	TotalResetCount uint64
	ResetCount      uint32
	ClearCount      uint32

	Clock clock.Saved

	// Shutdown tells how the last power cycle ended: tcg.TPMSUClear or
	// TPMSUState if in an orderly way, DisorderlyShutdown if not.
	Shutdown uint16

	// What TPM2_Shutdown(STATE) keeps, if shutdown is not DisorderlyShutdown.
	SavedClear StateClear
	SavedReset StateReset
	SavedPCR   [][]byte // by bank and PCR as pcrs.save orders them
	StartedBy  StartMethod

	// What makes TPM2_Startup(CLEAR) necessary: a TPM2_PCR_Allocate or a
	// TPM2_SetAlgorithmSet since the last one.
	PCRsAllocated, AlgorithmsSet bool

	PCRBanks []tcg.TPMSPCRSelection // allocation, from the next _TPM_Init on

	PhysicalPresence []tcg.TPMCC // commands that need physical presence
	Audited          []tcg.TPMCC
	AuditHash        tcg.TPMAlgID
	AuditCounter     uint64
	AlgorithmSet     uint32

	NV      nv.Space
	Objects map[tcg.TPMHandle]*object.Object // persistent objects
}

// DisorderlyShutdown says that the last power cycle did not end with TPM2_Shutdown.
const DisorderlyShutdown = 0xFFFF

// A StartMethod is what a TPM Resume has to be started by again: from locality
// 3, or after an H-CRTM event, or neither (Part 3, 9.3).
type StartMethod struct{ Locality3, HCRTM bool }

// NoACTPolicies returns the policies of the countdown timers after a TPM Reset.
func NoACTPolicies() (p [timer.Count]hierarchy.Policy) {
	for i := range p {
		p[i] = hierarchy.NoPolicy()
	}
	return p
}

// StateClear is the data that a TPM Restart and a TPM Reset initialize: it
// survives Shutdown(STATE) with Startup(STATE) only.
type StateClear struct {
	Started bool // by a Startup; false in the zero value

	Hierarchies hierarchy.Clear

	ReadOnly bool // TPM2_ReadOnlyControl

	ACTs        timer.Timers
	ACTPolicies [timer.Count]hierarchy.Policy
}

// StateReset is the data that only a TPM Reset initializes.
type StateReset struct {
	Null hierarchy.Secrets

	RestartCount uint32

	ObjectContextID  uint64
	Contexts         session.Contexts
	AuditDigest      []byte
	PCRUpdateCounter uint32

	CommitCounter uint64
	CommitNonce   []byte
	CommitArray   [CommitSlots / 8]byte
}

// CommitSlots is the number of TPM2_Commit whose values may be unused at a time.
const CommitSlots = 64

// volatile is lost at _TPM_Init.
type volatile struct {
	Started bool // TPM2_Startup done
	Failed  bool // failure mode (Part 1, "Failure Mode")
	Failure failure

	Clock   clock.Running
	retryAt time.Duration // Now when Housekeeping may try again; 0 if it did not fail
	Orderly bool          // the last power cycle ended in an orderly way

	PCRs pcr.State

	Objects  object.Slots
	Sessions session.Loaded

	Exclusive tcg.TPMHandle // exclusive audit session; 0 if none

	DATime lockout.Timers

	PhysicalPresence bool
	ShutdownDone     bool // last command was TPM2_Shutdown

	Ask, Answer *nv.Index // see evidence.go; replaced as a whole, and nil without Config.Attest

	HashSequence    *object.Sequence // _TPM_Hash_Start to _TPM_Hash_End
	HCRTM           bool             // an H-CRTM event came before Startup
	StartupLocality uint8
}

// failure says why the device is in failure mode, for TPM2_GetTestResult.
type failure struct {
	What string
	code uint32
}

// Wipe overwrites secrets in what _TPM_Init is about to drop, so far as Go
// lets a program say so: copies that the runtime made are not reached.
func (v *volatile) Wipe() {
	for _, o := range v.Objects {
		if o != nil {
			o.Wipe()
		}
	}
	for _, s := range v.Sessions {
		if s != nil {
			s.Wipe()
		}
	}
}
