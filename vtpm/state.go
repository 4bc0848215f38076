package vtpm

import (
	"time"

	"stubtpm/vtpm/internal/clock"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/internal/timer"
	"stubtpm/vtpm/tcg"
)

// permanent is what survives loss of power at any moment (Part 1,
// "Persistent data").
type permanent struct {
	hierarchies hierarchy.Permanent

	da lockout.Lockout

	totalResetCount uint64
	resetCount      uint32
	clearCount      uint32

	clock clock.Saved

	// shutdown tells how the last power cycle ended: tcg.TPMSUClear or
	// TPMSUState if in an orderly way, suNone if not.
	shutdown uint16

	// What TPM2_Shutdown(STATE) keeps, if shutdown is not suNone.
	savedClear stateClear
	savedReset stateReset
	savedPCR   [][]byte // by bank and PCR as pcrs.save orders them
	startedBy  startMethod

	// What makes TPM2_Startup(CLEAR) necessary: a TPM2_PCR_Allocate or a
	// TPM2_SetAlgorithmSet since the last one.
	pcrsAllocated, algorithmsSet bool

	pcrBanks []tcg.TPMSPCRSelection // allocation, from the next _TPM_Init on

	physicalPresence []tcg.TPMCC // commands that need physical presence
	audited          []tcg.TPMCC
	auditHash        tcg.TPMAlgID
	auditCounter     uint64
	algorithmSet     uint32

	nv      nvSpace
	objects map[tcg.TPMHandle]*object // persistent objects
}

// suNone says that the last power cycle did not end with TPM2_Shutdown.
const suNone = 0xFFFF

// A startMethod is what a TPM Resume has to be started by again: from locality
// 3, or after an H-CRTM event, or neither (Part 3, 9.3).
type startMethod struct{ locality3, hcrtm bool }

func noACTPolicies() (p [timer.Count]hierarchy.Policy) {
	for i := range p {
		p[i] = hierarchy.NoPolicy()
	}
	return p
}

// stateClear is the data that a TPM Restart and a TPM Reset set anew: it
// survives Shutdown(STATE) with Startup(STATE) only.
type stateClear struct {
	started bool // by a Startup; false in the zero value

	hierarchies hierarchy.Clear

	readOnly bool // TPM2_ReadOnlyControl

	acts        timer.Timers
	actPolicies [timer.Count]hierarchy.Policy
}

// stateReset is the data that only a TPM Reset sets anew.
type stateReset struct {
	null hierarchy.Secrets

	restartCount uint32

	objectContextID  uint64
	contexts         contextArray
	auditDigest      []byte
	pcrUpdateCounter uint32

	commitCounter uint64
	commitNonce   []byte
	commitArray   [commitSlots / 8]byte
}

const commitSlots = 64

// volatile is lost at _TPM_Init.
type volatile struct {
	started bool // TPM2_Startup done
	failed  bool // failure mode (Part 1, "Failure Mode")
	failure failure

	clock   clock.Running
	houseAt time.Duration // Now when keepHouse may try again; 0 if it did not fail
	orderly bool          // the last power cycle ended in an orderly way

	pcrs pcr.State

	objects  transientObjects
	sessions loadedSessions

	exclusive tcg.TPMHandle // exclusive audit session; 0 if none

	daTime lockout.Timers

	physicalPresence bool
	shutdownDone     bool // last command was TPM2_Shutdown

	drtm            *sequence // _TPM_Hash_Start to _TPM_Hash_End
	hcrtm           bool      // an H-CRTM event came before Startup
	startupLocality uint8
}

// failure says why the device is in failure mode, for TPM2_GetTestResult.
type failure struct {
	what string
	code uint32
}

// newVolatile is the state after _TPM_Init.
func (d *Device) newVolatile() volatile {
	return volatile{clock: clock.PowerOn(d.cfg.Now()), pcrs: pcr.New(&d.reset.pcrUpdateCounter)}
}

// wipe overwrites secrets in what _TPM_Init is about to drop, so far as Go
// lets a program say so: copies that the runtime made are not reached.
func (v *volatile) wipe() {
	for _, o := range v.objects {
		if o != nil {
			o.wipe()
		}
	}
	for _, s := range v.sessions {
		if s != nil {
			s.wipe()
		}
	}
}
