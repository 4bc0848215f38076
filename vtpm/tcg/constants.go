package tcg

// TPMGenerated marks a structure that the TPM made (TPM_GENERATED_VALUE).
type TPMGenerated uint32

// Part 2 v1.85, Table 7 (TPM_CONSTANTS32).
const (
	TPMGeneratedValue TPMGenerated = 0xFF544347

	MaxDerivationBits = 8192 // TPM_MAX_DERIVATION_BITS
)

// Part 2 v1.85, Table 6 (TPM_SPEC).
const (
	TPMSpecFamily  = 0x322E3000 // "2.0" and a zero
	TPMSpecLevel   = 0
	TPMSpecVersion = 185
)

// A TPMClockAdjust changes the rate of the clock.
type TPMClockAdjust int8

// Part 2 v1.85, Table 19 (TPM_CLOCK_ADJUST).
const (
	TPMClockCoarseSlower TPMClockAdjust = -3
	TPMClockMediumSlower TPMClockAdjust = -2
	TPMClockFineSlower   TPMClockAdjust = -1
	TPMClockNoChange     TPMClockAdjust = 0
	TPMClockFineFaster   TPMClockAdjust = 1
	TPMClockMediumFaster TPMClockAdjust = 2
	TPMClockCoarseFaster TPMClockAdjust = 3
)

// A TPMEO is a comparison of enhanced authorization.
type TPMEO uint16

// Part 2 v1.85, Table 20 (TPM_EO).
const (
	TPMEOEq         TPMEO = 0x0000
	TPMEONeq        TPMEO = 0x0001
	TPMEOSignedGT   TPMEO = 0x0002
	TPMEOUnsignedGT TPMEO = 0x0003
	TPMEOSignedLT   TPMEO = 0x0004
	TPMEOUnsignedLT TPMEO = 0x0005
	TPMEOSignedGE   TPMEO = 0x0006
	TPMEOUnsignedGE TPMEO = 0x0007
	TPMEOSignedLE   TPMEO = 0x0008
	TPMEOUnsignedLE TPMEO = 0x0009
	TPMEOBitSet     TPMEO = 0x000A
	TPMEOBitClear   TPMEO = 0x000B
)

// A TPMST is the tag of a structure.
type TPMST uint16

// Part 2 v1.85, Table 21 (TPM_ST).
const (
	TPMSTRspCommand         TPMST = 0x00C4
	TPMSTNull               TPMST = 0x8000
	TPMSTNoSessions         TPMST = 0x8001
	TPMSTSessions           TPMST = 0x8002
	TPMSTAttestNV           TPMST = 0x8014
	TPMSTAttestCommandAudit TPMST = 0x8015
	TPMSTAttestSessionAudit TPMST = 0x8016
	TPMSTAttestCertify      TPMST = 0x8017
	TPMSTAttestQuote        TPMST = 0x8018
	TPMSTAttestTime         TPMST = 0x8019
	TPMSTAttestCreation     TPMST = 0x801A
	TPMSTAttestNVDigest     TPMST = 0x801C
	TPMSTCreation           TPMST = 0x8021
	TPMSTVerified           TPMST = 0x8022
	TPMSTAuthSecret         TPMST = 0x8023
	TPMSTHashCheck          TPMST = 0x8024
	TPMSTAuthSigned         TPMST = 0x8025
	TPMSTFuManifest         TPMST = 0x8029
	TPMSTMessageVerified    TPMST = 0x8026
	TPMSTDigestVerified     TPMST = 0x8027
)

// A TPMSU is a kind of startup or shutdown.
type TPMSU uint16

// Part 2 v1.85, Table 22 (TPM_SU).
const (
	TPMSUClear TPMSU = 0x0000
	TPMSUState TPMSU = 0x0001
)

// A TPMSE is a kind of session.
type TPMSE uint8

// Part 2 v1.85, Table 23 (TPM_SE).
const (
	TPMSEHMAC   TPMSE = 0x00
	TPMSEPolicy TPMSE = 0x01
	TPMSETrial  TPMSE = 0x03
)

// A TPMNT is the kind of an NV index.
type TPMNT uint8

// Part 2 v1.85, Table 247 (TPM_NT).
const (
	TPMNTOrdinary TPMNT = 0x0
	TPMNTCounter  TPMNT = 0x1
	TPMNTBits     TPMNT = 0x2
	TPMNTExtend   TPMNT = 0x4
	TPMNTPinFail  TPMNT = 0x8
	TPMNTPinPass  TPMNT = 0x9
)

// Sizes in bytes that bound what a TPM2B carries. Part 2 leaves them to the
// implementation (Part 4, TpmProfile.h).
const (
	MaxDigestSize      = 64    // largest digest: SHA-512, SHA3-512
	MaxDigestBuffer    = 1024  // MAX_DIGEST_BUFFER, in TPM2B_MAX_BUFFER
	MaxNVBufferSize    = 1024  // MAX_NV_BUFFER_SIZE, in TPM2B_MAX_NV_BUFFER
	MaxNVIndexSize     = 16384 // of any profile, see Profile.NVIndexSize
	MaxSymData         = 128   // MAX_SYM_DATA
	MaxSymKeyBytes     = 32
	MaxSymBlockSize    = 16
	MaxRSAKeyBytes     = 512 // MAX_RSA_KEY_BYTES: 4096 bits
	MaxECCKeyBytes     = 66  // MAX_ECC_KEY_BYTES: P-521
	MaxCapBuffer       = 1024
	LabelMaxBuffer     = 32 // LABEL_MAX_BUFFER
	MaxNameSize        = 2 + MaxDigestSize
	MaxEventSize       = 1024 // TPM2B_EVENT
	MaxSignatureSize   = 4627 // ML-DSA-87, the largest there will be
	MaxContextSize     = 8192 // private to the implementation
	MaxEncryptedSecret = 2 + 1568
	MaxPrivateSize     = 8 + 2*MaxDigestSize + MaxSymBlockSize + maxSensitiveSize
	MaxIDObjectSize    = 4 + 2*MaxDigestSize + MaxSymBlockSize

	maxSensitiveSize = 2 + 2 + 2 + MaxDigestSize + 2 + MaxDigestSize + 2 + MaxRSAKeyBytes/2
)

// Numbers of elements that a list may have.
const (
	MaxAlgListSize  = 128
	MaxCapCC        = 256
	MaxDigestList   = 8 // TPML_DIGEST
	HashCount       = 8 // TPML_DIGEST_VALUES and TPML_PCR_SELECTION: banks
	MaxCapHandles   = (MaxCapBuffer - 8) / 4
	MaxTPMProps     = (MaxCapBuffer - 8) / 8
	MaxECCCurves    = (MaxCapBuffer - 8) / 2
	MaxCapAlgs      = (MaxCapBuffer - 8) / 6
	MaxTaggedPolicy = (MaxCapBuffer - 8) / (4 + 2 + MaxDigestSize)
	MaxACTData      = (MaxCapBuffer - 8) / 12
	MaxPCRProps     = 24
)
