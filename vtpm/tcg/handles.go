package tcg

// A TPMHandle refers to an object, a session, an NV index, a PCR or something
// permanent (Part 2, Table 32).
type TPMHandle uint32

// A TPMHT is the kind of a handle: its most significant byte.
type TPMHT uint8

// Part 2 v1.85, Table 33 (TPM_HT).
const (
	TPMHTPCR           TPMHT = 0x00
	TPMHTNVIndex       TPMHT = 0x01
	TPMHTHMACSession   TPMHT = 0x02
	TPMHTLoadedSession TPMHT = 0x02 // in TPM2_GetCapability only
	TPMHTPolicySession TPMHT = 0x03
	TPMHTSavedSession  TPMHT = 0x03 // in TPM2_GetCapability only
	TPMHTExternalNV    TPMHT = 0x11
	TPMHTPermanentNV   TPMHT = 0x12
	TPMHTPermanent     TPMHT = 0x40
	TPMHTTransient     TPMHT = 0x80
	TPMHTPersistent    TPMHT = 0x81
	TPMHTAC            TPMHT = 0x90
)

// Part 2 v1.85, Table 34 (TPM_RH).
const (
	TPMRHFirst       TPMHandle = 0x40000000
	TPMRHOwner       TPMHandle = 0x40000001
	TPMRHNull        TPMHandle = 0x40000007
	TPMRHUnassigned  TPMHandle = 0x40000008
	TPMRSPW          TPMHandle = 0x40000009
	TPMRHLockout     TPMHandle = 0x4000000A
	TPMRHEndorsement TPMHandle = 0x4000000B
	TPMRHPlatform    TPMHandle = 0x4000000C
	TPMRHPlatformNV  TPMHandle = 0x4000000D

	TPMRHAuth00 TPMHandle = 0x40000010
	TPMRHAuthFF TPMHandle = 0x4000010F
	TPMRHACT0   TPMHandle = 0x40000110
	TPMRHACTF   TPMHandle = 0x4000011F

	TPMRHFWOwner       TPMHandle = 0x40000140
	TPMRHFWEndorsement TPMHandle = 0x40000141
	TPMRHFWPlatform    TPMHandle = 0x40000142
	TPMRHFWNull        TPMHandle = 0x40000143

	// The low 16 bits are the security version that the hierarchy is bound to.
	TPMRHSVNOwnerBase       TPMHandle = 0x40010000
	TPMRHSVNEndorsementBase TPMHandle = 0x40020000
	TPMRHSVNPlatformBase    TPMHandle = 0x40030000
	TPMRHSVNNullBase        TPMHandle = 0x40040000

	TPMRHLast TPMHandle = 0x4004FFFF
)

// Part 2 v1.85, Table 35 (TPM_HC): where each kind of handle begins and ends.
// The ends that depend on the implementation's limits are not here.
const (
	PCRFirst           TPMHandle = 0x00000000
	HMACSessionFirst   TPMHandle = 0x02000000
	PolicySessionFirst TPMHandle = 0x03000000
	TransientFirst     TPMHandle = 0x80000000
	PersistentFirst    TPMHandle = 0x81000000
	PersistentLast     TPMHandle = 0x81FFFFFF
	PlatformPersistent TPMHandle = 0x81800000
	NVIndexFirst       TPMHandle = 0x01000000
	NVIndexLast        TPMHandle = 0x01FFFFFF
	NVACFirst          TPMHandle = 0x01D00000
	NVACLast           TPMHandle = 0x01D0FFFF
	ExternalNVFirst    TPMHandle = 0x11000000
	ExternalNVLast     TPMHandle = 0x11FFFFFF
	PermanentNVFirst   TPMHandle = 0x12000000
	PermanentNVLast    TPMHandle = 0x12FFFFFF
	PermanentFirst     TPMHandle = TPMRHFirst
	PermanentLast      TPMHandle = TPMRHLast
	ACFirst            TPMHandle = 0x90000000
	ACLast             TPMHandle = 0x9000FFFF
)

// Part 2 v1.85, Table 58 (TPMI_DH_SAVED): what a saved context's handle says
// of objects. Sessions keep their own handle.
const (
	TPMIDHSavedTransient      TPMHandle = 0x80000000
	TPMIDHSavedSequence       TPMHandle = 0x80000001
	TPMIDHSavedTransientClear TPMHandle = 0x80000002
)

// ImplementationPCR is IMPLEMENTATION_PCR, the number of PCRs, and
// PCRSelectMin and PCRSelectMax are the sizes in bytes that a PCR selection
// may have.
const (
	ImplementationPCR = 24
	PCRSelectMin      = 3
	PCRSelectMax      = (ImplementationPCR + 7) / 8
)

// MaxActiveSessions is MAX_ACTIVE_SESSIONS, the number of session handles of
// each kind.
const MaxActiveSessions = 64

// Type returns the handle's most significant byte.
func (h TPMHandle) Type() TPMHT { return TPMHT(h >> 24) }

// IsSVN reports whether h is a hierarchy bound to a security version.
func (h TPMHandle) IsSVN() bool { return h >= TPMRHSVNOwnerBase && h <= TPMRHLast }

// IsFW reports whether h is a hierarchy bound to the firmware.
func (h TPMHandle) IsFW() bool { return h >= TPMRHFWOwner && h <= TPMRHFWNull }

// Marshal appends h.
func (h TPMHandle) Marshal(w *Writer) { w.Uint32(uint32(h)) }

// IsSession reports whether h is of an HMAC or policy session.
func (h TPMHandle) IsSession() bool {
	return h.Type() == TPMHTHMACSession || h.Type() == TPMHTPolicySession
}

// IsACT reports whether h is of an authenticated countdown timer.
func (h TPMHandle) IsACT() bool { return h >= TPMRHACT0 && h <= TPMRHACTF }

// Bytes returns the four bytes of h, which are the Name of an entity that has no
// other (Part 1, "Names").
func (h TPMHandle) Bytes() []byte { return []byte{byte(h >> 24), byte(h >> 16), byte(h >> 8), byte(h)} }
