package tcg

import "strconv"

// A TPMRC is a response code, which is an error except for TPMRCSuccess.
type TPMRC uint32

// Part 2 v1.85, Table 18 (TPM_RC).
const (
	rcVer1 TPMRC = 0x100
	rcFmt1 TPMRC = 0x080
	rcWarn TPMRC = 0x900

	rcP TPMRC = 0x040
	rcS TPMRC = 0x800

	rcNMask TPMRC = 0xF00
)

// Part 2 v1.85, Table 18: codes of neither format.
const (
	TPMRCSuccess TPMRC = 0x000
	TPMRCBadTag  TPMRC = 0x01E
)

// Part 2 v1.85, Table 18: format zero.
const (
	TPMRCInitialize      TPMRC = rcVer1 + 0x000
	TPMRCFailure         TPMRC = rcVer1 + 0x001
	TPMRCSequence        TPMRC = rcVer1 + 0x003
	TPMRCPrivate         TPMRC = rcVer1 + 0x00B
	TPMRCHMAC            TPMRC = rcVer1 + 0x019
	TPMRCDisabled        TPMRC = rcVer1 + 0x020
	TPMRCExclusive       TPMRC = rcVer1 + 0x021
	TPMRCAuthType        TPMRC = rcVer1 + 0x024
	TPMRCAuthMissing     TPMRC = rcVer1 + 0x025
	TPMRCPolicy          TPMRC = rcVer1 + 0x026
	TPMRCPCR             TPMRC = rcVer1 + 0x027
	TPMRCPCRChanged      TPMRC = rcVer1 + 0x028
	TPMRCUpgrade         TPMRC = rcVer1 + 0x02D
	TPMRCTooManyContexts TPMRC = rcVer1 + 0x02E
	TPMRCAuthUnavailable TPMRC = rcVer1 + 0x02F
	TPMRCReboot          TPMRC = rcVer1 + 0x030
	TPMRCUnbalanced      TPMRC = rcVer1 + 0x031
	TPMRCCommandSize     TPMRC = rcVer1 + 0x042
	TPMRCCommandCode     TPMRC = rcVer1 + 0x043
	TPMRCAuthSize        TPMRC = rcVer1 + 0x044
	TPMRCAuthContext     TPMRC = rcVer1 + 0x045
	TPMRCNVRange         TPMRC = rcVer1 + 0x046
	TPMRCNVSize          TPMRC = rcVer1 + 0x047
	TPMRCNVLocked        TPMRC = rcVer1 + 0x048
	TPMRCNVAuthorization TPMRC = rcVer1 + 0x049
	TPMRCNVUninitialized TPMRC = rcVer1 + 0x04A
	TPMRCNVSpace         TPMRC = rcVer1 + 0x04B
	TPMRCNVDefined       TPMRC = rcVer1 + 0x04C
	TPMRCBadContext      TPMRC = rcVer1 + 0x050
	TPMRCCPHash          TPMRC = rcVer1 + 0x051
	TPMRCParent          TPMRC = rcVer1 + 0x052
	TPMRCNeedsTest       TPMRC = rcVer1 + 0x053
	TPMRCNoResult        TPMRC = rcVer1 + 0x054
	TPMRCSensitive       TPMRC = rcVer1 + 0x055
	TPMRCReadOnly        TPMRC = rcVer1 + 0x056
)

// Part 2 v1.85, Table 18: format one, which may carry a position.
const (
	TPMRCAsymmetric       TPMRC = rcFmt1 + 0x001
	TPMRCAttributes       TPMRC = rcFmt1 + 0x002
	TPMRCHash             TPMRC = rcFmt1 + 0x003
	TPMRCValue            TPMRC = rcFmt1 + 0x004
	TPMRCHierarchy        TPMRC = rcFmt1 + 0x005
	TPMRCKeySize          TPMRC = rcFmt1 + 0x007
	TPMRCMGF              TPMRC = rcFmt1 + 0x008
	TPMRCMode             TPMRC = rcFmt1 + 0x009
	TPMRCType             TPMRC = rcFmt1 + 0x00A
	TPMRCHandle           TPMRC = rcFmt1 + 0x00B
	TPMRCKDF              TPMRC = rcFmt1 + 0x00C
	TPMRCRange            TPMRC = rcFmt1 + 0x00D
	TPMRCAuthFail         TPMRC = rcFmt1 + 0x00E
	TPMRCNonce            TPMRC = rcFmt1 + 0x00F
	TPMRCPP               TPMRC = rcFmt1 + 0x010
	TPMRCScheme           TPMRC = rcFmt1 + 0x012
	TPMRCSize             TPMRC = rcFmt1 + 0x015
	TPMRCSymmetric        TPMRC = rcFmt1 + 0x016
	TPMRCTag              TPMRC = rcFmt1 + 0x017
	TPMRCSelector         TPMRC = rcFmt1 + 0x018
	TPMRCInsufficient     TPMRC = rcFmt1 + 0x01A
	TPMRCSignature        TPMRC = rcFmt1 + 0x01B
	TPMRCKey              TPMRC = rcFmt1 + 0x01C
	TPMRCPolicyFail       TPMRC = rcFmt1 + 0x01D
	TPMRCIntegrity        TPMRC = rcFmt1 + 0x01F
	TPMRCTicket           TPMRC = rcFmt1 + 0x020
	TPMRCReservedBits     TPMRC = rcFmt1 + 0x021
	TPMRCBadAuth          TPMRC = rcFmt1 + 0x022
	TPMRCExpired          TPMRC = rcFmt1 + 0x023
	TPMRCPolicyCC         TPMRC = rcFmt1 + 0x024
	TPMRCBinding          TPMRC = rcFmt1 + 0x025
	TPMRCCurve            TPMRC = rcFmt1 + 0x026
	TPMRCECCPoint         TPMRC = rcFmt1 + 0x027
	TPMRCFWLimited        TPMRC = rcFmt1 + 0x028
	TPMRCSVNLimited       TPMRC = rcFmt1 + 0x029
	TPMRCParms            TPMRC = rcFmt1 + 0x02A
	TPMRCExtMu            TPMRC = rcFmt1 + 0x02B
	TPMRCOneShotSignature TPMRC = rcFmt1 + 0x02C
	TPMRCSignContextKey   TPMRC = rcFmt1 + 0x02D
	TPMRCChannel          TPMRC = rcFmt1 + 0x030
	TPMRCChannelKey       TPMRC = rcFmt1 + 0x031
)

// Part 2 v1.85, Table 18: warnings.
const (
	TPMRCContextGap     TPMRC = rcWarn + 0x001
	TPMRCObjectMemory   TPMRC = rcWarn + 0x002
	TPMRCSessionMemory  TPMRC = rcWarn + 0x003
	TPMRCMemory         TPMRC = rcWarn + 0x004
	TPMRCSessionHandles TPMRC = rcWarn + 0x005
	TPMRCObjectHandles  TPMRC = rcWarn + 0x006
	TPMRCLocality       TPMRC = rcWarn + 0x007
	TPMRCYielded        TPMRC = rcWarn + 0x008
	TPMRCCanceled       TPMRC = rcWarn + 0x009
	TPMRCTesting        TPMRC = rcWarn + 0x00A
	TPMRCReferenceH0    TPMRC = rcWarn + 0x010
	TPMRCReferenceH1    TPMRC = rcWarn + 0x011
	TPMRCReferenceH2    TPMRC = rcWarn + 0x012
	TPMRCReferenceH3    TPMRC = rcWarn + 0x013
	TPMRCReferenceH4    TPMRC = rcWarn + 0x014
	TPMRCReferenceH5    TPMRC = rcWarn + 0x015
	TPMRCReferenceH6    TPMRC = rcWarn + 0x016
	TPMRCReferenceS0    TPMRC = rcWarn + 0x018
	TPMRCReferenceS1    TPMRC = rcWarn + 0x019
	TPMRCReferenceS2    TPMRC = rcWarn + 0x01A
	TPMRCReferenceS3    TPMRC = rcWarn + 0x01B
	TPMRCReferenceS4    TPMRC = rcWarn + 0x01C
	TPMRCReferenceS5    TPMRC = rcWarn + 0x01D
	TPMRCReferenceS6    TPMRC = rcWarn + 0x01E
	TPMRCNVRate         TPMRC = rcWarn + 0x020
	TPMRCLockout        TPMRC = rcWarn + 0x021
	TPMRCRetry          TPMRC = rcWarn + 0x022
	TPMRCNVUnavailable  TPMRC = rcWarn + 0x023
)

// format1 reports whether rc may carry a position.
func (rc TPMRC) format1() bool { return rc&rcFmt1 != 0 }

// bare returns rc without its position.
func (rc TPMRC) bare() TPMRC {
	if rc.format1() {
		return rc &^ (rcNMask | rcP)
	}
	return rc
}

// P says that parameter n, from 1, is at fault. A code that cannot carry a
// position is returned as it is, and so is one that has a position already.
func (rc TPMRC) P(n int) TPMRC {
	if !rc.format1() || rc != rc.bare() {
		return rc
	}
	return rc + rcP + TPMRC(n&15)<<8
}

// H says that handle n, from 1, is at fault, under the same rule as P.
func (rc TPMRC) H(n int) TPMRC {
	if !rc.format1() || rc != rc.bare() {
		return rc
	}
	return rc + TPMRC(n&7)<<8
}

// S says that session n, from 1, is at fault, under the same rule as P.
func (rc TPMRC) S(n int) TPMRC {
	if !rc.format1() || rc != rc.bare() {
		return rc
	}
	return rc + rcS + TPMRC(n&7)<<8
}

// IsWarning reports whether rc is a warning: about the state of the TPM, not
// about the command, which may be tried again.
func (rc TPMRC) IsWarning() bool { return !rc.format1() && rc&rcWarn == rcWarn }

// Is reports whether target is the same code, with or without rc's position, so
// that errors.Is finds TPMRCValue in TPMRCValue.P(2).
func (rc TPMRC) Is(target error) bool {
	t, ok := target.(TPMRC)
	return ok && (t == rc || t == rc.bare())
}

// Error returns the specification's name, and the position if there is one:
// "TPM_RC_VALUE (parameter 2)".
func (rc TPMRC) Error() string {
	name, ok := rcName(rc.bare())
	if !ok {
		return "TPM response code 0x" + strconv.FormatUint(uint64(rc), 16)
	}
	if rc == rc.bare() {
		return name
	}
	n := int(rc & rcNMask >> 8)
	what := " (handle "
	switch {
	case rc&rcP != 0:
		what = " (parameter "
	case rc&rcS != 0:
		what = " (session "
		n &= 7
	}
	return name + what + strconv.Itoa(n) + ")"
}
