package tcg

// rcName returns the name in Part 2 v1.85, Table 18, of a code without
// position.
func rcName(rc TPMRC) (string, bool) {
	switch rc {
	case TPMRCSuccess:
		return "TPM_RC_SUCCESS", true
	case TPMRCBadTag:
		return "TPM_RC_BAD_TAG", true
	case TPMRCInitialize:
		return "TPM_RC_INITIALIZE", true
	case TPMRCFailure:
		return "TPM_RC_FAILURE", true
	case TPMRCSequence:
		return "TPM_RC_SEQUENCE", true
	case TPMRCPrivate:
		return "TPM_RC_PRIVATE", true
	case TPMRCHMAC:
		return "TPM_RC_HMAC", true
	case TPMRCDisabled:
		return "TPM_RC_DISABLED", true
	case TPMRCExclusive:
		return "TPM_RC_EXCLUSIVE", true
	case TPMRCAuthType:
		return "TPM_RC_AUTH_TYPE", true
	case TPMRCAuthMissing:
		return "TPM_RC_AUTH_MISSING", true
	case TPMRCPolicy:
		return "TPM_RC_POLICY", true
	case TPMRCPCR:
		return "TPM_RC_PCR", true
	case TPMRCPCRChanged:
		return "TPM_RC_PCR_CHANGED", true
	case TPMRCUpgrade:
		return "TPM_RC_UPGRADE", true
	case TPMRCTooManyContexts:
		return "TPM_RC_TOO_MANY_CONTEXTS", true
	case TPMRCAuthUnavailable:
		return "TPM_RC_AUTH_UNAVAILABLE", true
	case TPMRCReboot:
		return "TPM_RC_REBOOT", true
	case TPMRCUnbalanced:
		return "TPM_RC_UNBALANCED", true
	case TPMRCCommandSize:
		return "TPM_RC_COMMAND_SIZE", true
	case TPMRCCommandCode:
		return "TPM_RC_COMMAND_CODE", true
	case TPMRCAuthSize:
		return "TPM_RC_AUTHSIZE", true
	case TPMRCAuthContext:
		return "TPM_RC_AUTH_CONTEXT", true
	case TPMRCNVRange:
		return "TPM_RC_NV_RANGE", true
	case TPMRCNVSize:
		return "TPM_RC_NV_SIZE", true
	case TPMRCNVLocked:
		return "TPM_RC_NV_LOCKED", true
	case TPMRCNVAuthorization:
		return "TPM_RC_NV_AUTHORIZATION", true
	case TPMRCNVUninitialized:
		return "TPM_RC_NV_UNINITIALIZED", true
	case TPMRCNVSpace:
		return "TPM_RC_NV_SPACE", true
	case TPMRCNVDefined:
		return "TPM_RC_NV_DEFINED", true
	case TPMRCBadContext:
		return "TPM_RC_BAD_CONTEXT", true
	case TPMRCCPHash:
		return "TPM_RC_CPHASH", true
	case TPMRCParent:
		return "TPM_RC_PARENT", true
	case TPMRCNeedsTest:
		return "TPM_RC_NEEDS_TEST", true
	case TPMRCNoResult:
		return "TPM_RC_NO_RESULT", true
	case TPMRCSensitive:
		return "TPM_RC_SENSITIVE", true
	case TPMRCReadOnly:
		return "TPM_RC_READ_ONLY", true
	case TPMRCAsymmetric:
		return "TPM_RC_ASYMMETRIC", true
	case TPMRCAttributes:
		return "TPM_RC_ATTRIBUTES", true
	case TPMRCHash:
		return "TPM_RC_HASH", true
	case TPMRCValue:
		return "TPM_RC_VALUE", true
	case TPMRCHierarchy:
		return "TPM_RC_HIERARCHY", true
	case TPMRCKeySize:
		return "TPM_RC_KEY_SIZE", true
	case TPMRCMGF:
		return "TPM_RC_MGF", true
	case TPMRCMode:
		return "TPM_RC_MODE", true
	case TPMRCType:
		return "TPM_RC_TYPE", true
	case TPMRCHandle:
		return "TPM_RC_HANDLE", true
	case TPMRCKDF:
		return "TPM_RC_KDF", true
	case TPMRCRange:
		return "TPM_RC_RANGE", true
	case TPMRCAuthFail:
		return "TPM_RC_AUTH_FAIL", true
	case TPMRCNonce:
		return "TPM_RC_NONCE", true
	case TPMRCPP:
		return "TPM_RC_PP", true
	case TPMRCScheme:
		return "TPM_RC_SCHEME", true
	case TPMRCSize:
		return "TPM_RC_SIZE", true
	case TPMRCSymmetric:
		return "TPM_RC_SYMMETRIC", true
	case TPMRCTag:
		return "TPM_RC_TAG", true
	case TPMRCSelector:
		return "TPM_RC_SELECTOR", true
	case TPMRCInsufficient:
		return "TPM_RC_INSUFFICIENT", true
	case TPMRCSignature:
		return "TPM_RC_SIGNATURE", true
	case TPMRCKey:
		return "TPM_RC_KEY", true
	case TPMRCPolicyFail:
		return "TPM_RC_POLICY_FAIL", true
	case TPMRCIntegrity:
		return "TPM_RC_INTEGRITY", true
	case TPMRCTicket:
		return "TPM_RC_TICKET", true
	case TPMRCReservedBits:
		return "TPM_RC_RESERVED_BITS", true
	case TPMRCBadAuth:
		return "TPM_RC_BAD_AUTH", true
	case TPMRCExpired:
		return "TPM_RC_EXPIRED", true
	case TPMRCPolicyCC:
		return "TPM_RC_POLICY_CC", true
	case TPMRCBinding:
		return "TPM_RC_BINDING", true
	case TPMRCCurve:
		return "TPM_RC_CURVE", true
	case TPMRCECCPoint:
		return "TPM_RC_ECC_POINT", true
	case TPMRCFWLimited:
		return "TPM_RC_FW_LIMITED", true
	case TPMRCSVNLimited:
		return "TPM_RC_SVN_LIMITED", true
	case TPMRCParms:
		return "TPM_RC_PARMS", true
	case TPMRCExtMu:
		return "TPM_RC_EXT_MU", true
	case TPMRCOneShotSignature:
		return "TPM_RC_ONE_SHOT_SIGNATURE", true
	case TPMRCSignContextKey:
		return "TPM_RC_SIGN_CONTEXT_KEY", true
	case TPMRCChannel:
		return "TPM_RC_CHANNEL", true
	case TPMRCChannelKey:
		return "TPM_RC_CHANNEL_KEY", true
	case TPMRCContextGap:
		return "TPM_RC_CONTEXT_GAP", true
	case TPMRCObjectMemory:
		return "TPM_RC_OBJECT_MEMORY", true
	case TPMRCSessionMemory:
		return "TPM_RC_SESSION_MEMORY", true
	case TPMRCMemory:
		return "TPM_RC_MEMORY", true
	case TPMRCSessionHandles:
		return "TPM_RC_SESSION_HANDLES", true
	case TPMRCObjectHandles:
		return "TPM_RC_OBJECT_HANDLES", true
	case TPMRCLocality:
		return "TPM_RC_LOCALITY", true
	case TPMRCYielded:
		return "TPM_RC_YIELDED", true
	case TPMRCCanceled:
		return "TPM_RC_CANCELED", true
	case TPMRCTesting:
		return "TPM_RC_TESTING", true
	case TPMRCReferenceH0:
		return "TPM_RC_REFERENCE_H0", true
	case TPMRCReferenceH1:
		return "TPM_RC_REFERENCE_H1", true
	case TPMRCReferenceH2:
		return "TPM_RC_REFERENCE_H2", true
	case TPMRCReferenceH3:
		return "TPM_RC_REFERENCE_H3", true
	case TPMRCReferenceH4:
		return "TPM_RC_REFERENCE_H4", true
	case TPMRCReferenceH5:
		return "TPM_RC_REFERENCE_H5", true
	case TPMRCReferenceH6:
		return "TPM_RC_REFERENCE_H6", true
	case TPMRCReferenceS0:
		return "TPM_RC_REFERENCE_S0", true
	case TPMRCReferenceS1:
		return "TPM_RC_REFERENCE_S1", true
	case TPMRCReferenceS2:
		return "TPM_RC_REFERENCE_S2", true
	case TPMRCReferenceS3:
		return "TPM_RC_REFERENCE_S3", true
	case TPMRCReferenceS4:
		return "TPM_RC_REFERENCE_S4", true
	case TPMRCReferenceS5:
		return "TPM_RC_REFERENCE_S5", true
	case TPMRCReferenceS6:
		return "TPM_RC_REFERENCE_S6", true
	case TPMRCNVRate:
		return "TPM_RC_NV_RATE", true
	case TPMRCLockout:
		return "TPM_RC_LOCKOUT", true
	case TPMRCRetry:
		return "TPM_RC_RETRY", true
	case TPMRCNVUnavailable:
		return "TPM_RC_NV_UNAVAILABLE", true
	}
	return "", false
}
