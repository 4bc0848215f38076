package tcg

// The attributes here tell of the TPM and are only ever marshalled.

// A TPMAPermanent is what lasts over power cycles.
type TPMAPermanent uint32

// Part 2 v1.85, Table 40 (TPMA_PERMANENT).
const (
	TPMAPermanentOwnerAuthSet       TPMAPermanent = 1 << 0
	TPMAPermanentEndorsementAuthSet TPMAPermanent = 1 << 1
	TPMAPermanentLockoutAuthSet     TPMAPermanent = 1 << 2
	TPMAPermanentDisableClear       TPMAPermanent = 1 << 8
	TPMAPermanentInLockout          TPMAPermanent = 1 << 9
	TPMAPermanentTPMGeneratedEPS    TPMAPermanent = 1 << 10
)

// A TPMAStartupClear is what Startup(CLEAR) sets.
type TPMAStartupClear uint32

// Part 2 v1.85, Table 41 (TPMA_STARTUP_CLEAR).
const (
	TPMAStartupClearPHEnable   TPMAStartupClear = 1 << 0
	TPMAStartupClearSHEnable   TPMAStartupClear = 1 << 1
	TPMAStartupClearEHEnable   TPMAStartupClear = 1 << 2
	TPMAStartupClearPHEnableNV TPMAStartupClear = 1 << 3
	TPMAStartupClearReadOnly   TPMAStartupClear = 1 << 4
	TPMAStartupClearOrderly    TPMAStartupClear = 1 << 31
)

// A TPMAMemory says what objects and sessions share.
type TPMAMemory uint32

// Part 2 v1.85, Table 42 (TPMA_MEMORY).
const (
	TPMAMemorySharedRAM         TPMAMemory = 1 << 0
	TPMAMemorySharedNV          TPMAMemory = 1 << 1
	TPMAMemoryObjectCopiedToRAM TPMAMemory = 1 << 2
)

// A TPMACC says what a resource manager has to know of a command.
type TPMACC uint32

// Part 2 v1.85, Table 43 (TPMA_CC).
const (
	TPMACCCommandIndex TPMACC = 0xFFFF
	TPMACCNV           TPMACC = 1 << 22
	TPMACCExtensive    TPMACC = 1 << 23
	TPMACCFlushed      TPMACC = 1 << 24
	TPMACCRHandle      TPMACC = 1 << 28
	TPMACCV            TPMACC = 1 << 29

	tpmaCCHandlesShift = 25
)

// CommandIndex returns the low 16 bits of the command code.
func (a TPMACC) CommandIndex() uint16 { return uint16(a) }

// CHandles returns the number of handles of the command.
func (a TPMACC) CHandles() int { return int(a >> tpmaCCHandlesShift & 7) }

// A TPMAModes says which standards the TPM was designed for.
type TPMAModes uint32

// Part 2 v1.85, Table 44 (TPMA_MODES).
const (
	TPMAModesFIPS1402          TPMAModes = 1 << 0
	TPMAModesFIPS1403          TPMAModes = 1 << 1
	TPMAModesFIPS1403Indicator TPMAModes = 3 << 2
)

// A TPMAX509KeyUsage is the KeyUsage extension of RFC 5280, 4.2.1.3.
type TPMAX509KeyUsage uint32

// Part 2 v1.85, Table 45 (TPMA_X509_KEY_USAGE).
const (
	TPMAX509KeyUsageDecipherOnly     TPMAX509KeyUsage = 1 << 23
	TPMAX509KeyUsageEncipherOnly     TPMAX509KeyUsage = 1 << 24
	TPMAX509KeyUsageCRLSign          TPMAX509KeyUsage = 1 << 25
	TPMAX509KeyUsageKeyCertSign      TPMAX509KeyUsage = 1 << 26
	TPMAX509KeyUsageKeyAgreement     TPMAX509KeyUsage = 1 << 27
	TPMAX509KeyUsageDataEncipherment TPMAX509KeyUsage = 1 << 28
	TPMAX509KeyUsageKeyEncipherment  TPMAX509KeyUsage = 1 << 29
	TPMAX509KeyUsageNonrepudiation   TPMAX509KeyUsage = 1 << 30
	TPMAX509KeyUsageDigitalSignature TPMAX509KeyUsage = 1 << 31
)

// A TPMAACT is the state of an authenticated countdown timer.
type TPMAACT uint32

// Part 2 v1.85, Table 46 (TPMA_ACT).
const (
	TPMAACTSignaled         TPMAACT = 1 << 0
	TPMAACTPreserveSignaled TPMAACT = 1 << 1
)

// A TPMAMLParameterSet says which parameter sets of ML-KEM and ML-DSA exist.
type TPMAMLParameterSet uint32

// Part 2 v1.85, Table 47 (TPMA_ML_PARAMETER_SET).
const (
	TPMAMLParameterSetMLKEM512  TPMAMLParameterSet = 1 << 0
	TPMAMLParameterSetMLKEM768  TPMAMLParameterSet = 1 << 1
	TPMAMLParameterSetMLKEM1024 TPMAMLParameterSet = 1 << 2
	TPMAMLParameterSetMLDSA44   TPMAMLParameterSet = 1 << 3
	TPMAMLParameterSetMLDSA65   TPMAMLParameterSet = 1 << 4
	TPMAMLParameterSetMLDSA87   TPMAMLParameterSet = 1 << 5
	TPMAMLParameterSetExtMu     TPMAMLParameterSet = 1 << 6
)
