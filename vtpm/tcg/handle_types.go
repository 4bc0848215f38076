package tcg

// A HandleType is one of Part 2's interface types over handles.
type HandleType uint8

// Part 2 v1.85, section 9. TPMHandleAny is the plain type TPM_HANDLE.
const (
	TPMHandleAny          HandleType = iota // TPM_HANDLE
	TPMIDHObject                            // Table 49
	TPMIDHParent                            // Table 50
	TPMIDHPersistent                        // Table 51
	TPMIDHEntity                            // Table 52
	TPMIDHPCR                               // Table 53
	TPMISHAuthSession                       // Table 54
	TPMISHHMAC                              // Table 55
	TPMISHPolicy                            // Table 56
	TPMIDHContext                           // Table 57
	TPMIDHSaved                             // Table 58
	TPMIRHHierarchy                         // Table 59
	TPMIRHEnables                           // Table 60
	TPMIRHHierarchyAuth                     // Table 61
	TPMIRHHierarchyPolicy                   // Table 62
	TPMIRHBaseHierarchy                     // Table 63
	TPMIRHPlatform                          // Table 64
	TPMIRHOwner                             // Table 65
	TPMIRHEndorsement                       // Table 66
	TPMIRHProvision                         // Table 67
	TPMIRHClear                             // Table 68
	TPMIRHNVAuth                            // Table 69
	TPMIRHLockout                           // Table 70
	TPMIRHNVIndex                           // Table 71
	TPMIRHNVDefinedIndex                    // Table 72
	TPMIRHNVLegacyIndex                     // Table 73
	TPMIRHNVExpIndex                        // Table 74
	TPMIRHAC                                // Table 75
	TPMIRHACT                               // Table 76
)

var handleTypeNames = [...]string{
	"TPM_HANDLE", "TPMI_DH_OBJECT", "TPMI_DH_PARENT", "TPMI_DH_PERSISTENT", "TPMI_DH_ENTITY",
	"TPMI_DH_PCR", "TPMI_SH_AUTH_SESSION", "TPMI_SH_HMAC", "TPMI_SH_POLICY", "TPMI_DH_CONTEXT",
	"TPMI_DH_SAVED", "TPMI_RH_HIERARCHY", "TPMI_RH_ENABLES", "TPMI_RH_HIERARCHY_AUTH",
	"TPMI_RH_HIERARCHY_POLICY", "TPMI_RH_BASE_HIERARCHY", "TPMI_RH_PLATFORM", "TPMI_RH_OWNER",
	"TPMI_RH_ENDORSEMENT", "TPMI_RH_PROVISION", "TPMI_RH_CLEAR", "TPMI_RH_NV_AUTH",
	"TPMI_RH_LOCKOUT", "TPMI_RH_NV_INDEX", "TPMI_RH_NV_DEFINED_INDEX", "TPMI_RH_NV_LEGACY_INDEX",
	"TPMI_RH_NV_EXP_INDEX", "TPMI_RH_AC", "TPMI_RH_ACT",
}

// String returns Part 2's name.
func (t HandleType) String() string {
	if int(t) < len(handleTypeNames) {
		return handleTypeNames[t]
	}
	return "TPMI_?"
}

func isTransient(h TPMHandle) bool  { return h.Type() == TPMHTTransient }
func isPersistent(h TPMHandle) bool { return h.Type() == TPMHTPersistent }
func isPCR(h TPMHandle) bool        { return h < ImplementationPCR }
func isACT(h TPMHandle) bool        { return h >= TPMRHACT0 && h <= TPMRHACTF }

func isHMACSession(h TPMHandle) bool {
	return h >= HMACSessionFirst && h < HMACSessionFirst+MaxActiveSessions
}

func isPolicySession(h TPMHandle) bool {
	return h >= PolicySessionFirst && h < PolicySessionFirst+MaxActiveSessions
}

func isBaseHierarchy(h TPMHandle) bool {
	return h == TPMRHOwner || h == TPMRHPlatform || h == TPMRHEndorsement
}

// isHierarchy reports whether h is in Table 59, which has the null hierarchy.
// Which of the firmware- and SVN-limited ones there are is the device's to say.
func isHierarchy(h TPMHandle) bool {
	return isBaseHierarchy(h) || h == TPMRHNull || h.IsFW() || h.IsSVN()
}

// allows reports whether h is a value of type t; null allows what the table
// marks with "+".
func (t HandleType) allows(h TPMHandle, null bool) bool {
	switch t {
	case TPMHandleAny:
		return true
	case TPMIDHObject:
		return isTransient(h) || isPersistent(h) || null && h == TPMRHNull
	case TPMIDHParent:
		return isTransient(h) || isPersistent(h) || isHierarchy(h)
	case TPMIDHPersistent:
		return isPersistent(h)
	case TPMIDHEntity:
		return isBaseHierarchy(h) || h == TPMRHLockout || isTransient(h) || isPersistent(h) ||
			h.Type() == TPMHTNVIndex || isPCR(h) || null && h == TPMRHNull
	case TPMIDHPCR:
		return isPCR(h) || null && h == TPMRHNull
	case TPMISHAuthSession:
		return isHMACSession(h) || isPolicySession(h) || null && h == TPMRSPW
	case TPMISHHMAC:
		return isHMACSession(h)
	case TPMISHPolicy:
		return isPolicySession(h)
	case TPMIDHContext:
		return isHMACSession(h) || isPolicySession(h) || isTransient(h)
	case TPMIDHSaved:
		return isHMACSession(h) || isPolicySession(h) || h >= TPMIDHSavedTransient && h <= TPMIDHSavedTransientClear
	case TPMIRHHierarchy:
		return isHierarchy(h)
	case TPMIRHEnables:
		return isBaseHierarchy(h) || h == TPMRHPlatformNV || null && h == TPMRHNull
	case TPMIRHHierarchyAuth:
		return isBaseHierarchy(h) || h == TPMRHLockout || null && h == TPMRHNull
	case TPMIRHHierarchyPolicy:
		return isBaseHierarchy(h) || h == TPMRHLockout || isACT(h)
	case TPMIRHBaseHierarchy:
		return isBaseHierarchy(h)
	case TPMIRHPlatform:
		return h == TPMRHPlatform
	case TPMIRHOwner:
		return h == TPMRHOwner || null && h == TPMRHNull
	case TPMIRHEndorsement:
		return h == TPMRHEndorsement || null && h == TPMRHNull
	case TPMIRHProvision:
		return h == TPMRHOwner || h == TPMRHPlatform
	case TPMIRHClear:
		return h == TPMRHLockout || h == TPMRHPlatform
	case TPMIRHNVAuth:
		return h == TPMRHPlatform || h == TPMRHOwner || h.Type() == TPMHTNVIndex
	case TPMIRHLockout:
		return h == TPMRHLockout
	case TPMIRHNVIndex:
		return h.Type() == TPMHTNVIndex || h.Type() == TPMHTExternalNV || h.Type() == TPMHTPermanentNV
	case TPMIRHNVDefinedIndex:
		return h.Type() == TPMHTNVIndex || h.Type() == TPMHTExternalNV
	case TPMIRHNVLegacyIndex:
		return h.Type() == TPMHTNVIndex
	case TPMIRHNVExpIndex:
		return h.Type() == TPMHTExternalNV
	case TPMIRHAC:
		return h >= ACFirst && h <= ACLast
	case TPMIRHACT:
		return isACT(h)
	}
	return false
}

// CheckHandle reports whether h is a value of type t: TPMRCSuccess, or
// TPMRCValue, which is the code that all of these types name. It does not look
// at whether something of that handle exists. What the type marks with "+" is
// refused.
func CheckHandle(t HandleType, h TPMHandle) TPMRC {
	if t.allows(h, false) {
		return TPMRCSuccess
	}
	return TPMRCValue
}

// CheckHandlePlus is CheckHandle for a parameter whose type has a "+": it also
// takes the conditional value, TPM_RH_NULL or for sessions TPM_RS_PW.
func CheckHandlePlus(t HandleType, h TPMHandle) TPMRC {
	if t.allows(h, true) {
		return TPMRCSuccess
	}
	return TPMRCValue
}

// Handle takes a handle of type t, else TPM_RC_VALUE.
func (r *Reader) Handle(t HandleType) TPMHandle {
	h := TPMHandle(r.Uint32())
	if !t.allows(h, false) {
		r.Fail(TPMRCValue)
	}
	return h
}

// HandlePlus takes a handle of type t or the value that the type marks "+",
// else TPM_RC_VALUE.
func (r *Reader) HandlePlus(t HandleType) TPMHandle {
	h := TPMHandle(r.Uint32())
	if !t.allows(h, true) {
		r.Fail(TPMRCValue)
	}
	return h
}

// Handle appends a handle.
func (w *Writer) Handle(h TPMHandle) { w.Uint32(uint32(h)) }
