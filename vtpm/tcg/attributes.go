package tcg

// Bits that Part 2 reserves have to be zero: where a caller sets one,
// unmarshalling fails with TPM_RC_RESERVED_BITS (Part 2, 8.1).

// A TPMAAlgorithm says what an algorithm is for.
type TPMAAlgorithm uint32

// Part 2 v1.85, Table 36 (TPMA_ALGORITHM).
const (
	TPMAAlgorithmAsymmetric TPMAAlgorithm = 1 << 0
	TPMAAlgorithmSymmetric  TPMAAlgorithm = 1 << 1
	TPMAAlgorithmHash       TPMAAlgorithm = 1 << 2
	TPMAAlgorithmObject     TPMAAlgorithm = 1 << 3
	TPMAAlgorithmSigning    TPMAAlgorithm = 1 << 8
	TPMAAlgorithmEncrypting TPMAAlgorithm = 1 << 9
	TPMAAlgorithmMethod     TPMAAlgorithm = 1 << 10
)

// A TPMAObject is the attributes of an object.
type TPMAObject uint32

// Part 2 v1.85, Table 37 (TPMA_OBJECT).
const (
	TPMAObjectFixedTPM             TPMAObject = 1 << 1
	TPMAObjectSTClear              TPMAObject = 1 << 2
	TPMAObjectFixedParent          TPMAObject = 1 << 4
	TPMAObjectSensitiveDataOrigin  TPMAObject = 1 << 5
	TPMAObjectUserWithAuth         TPMAObject = 1 << 6
	TPMAObjectAdminWithPolicy      TPMAObject = 1 << 7
	TPMAObjectFirmwareLimited      TPMAObject = 1 << 8
	TPMAObjectSVNLimited           TPMAObject = 1 << 9
	TPMAObjectNoDA                 TPMAObject = 1 << 10
	TPMAObjectEncryptedDuplication TPMAObject = 1 << 11
	TPMAObjectRestricted           TPMAObject = 1 << 16
	TPMAObjectDecrypt              TPMAObject = 1 << 17
	TPMAObjectSignEncrypt          TPMAObject = 1 << 18
	TPMAObjectX509Sign             TPMAObject = 1 << 19

	tpmaObjectReserved = ^(TPMAObjectFixedTPM | TPMAObjectSTClear | TPMAObjectFixedParent |
		TPMAObjectSensitiveDataOrigin | TPMAObjectUserWithAuth | TPMAObjectAdminWithPolicy |
		TPMAObjectFirmwareLimited | TPMAObjectSVNLimited | TPMAObjectNoDA |
		TPMAObjectEncryptedDuplication | TPMAObjectRestricted | TPMAObjectDecrypt |
		TPMAObjectSignEncrypt | TPMAObjectX509Sign)
)

// Has reports whether all of bits are set.
func (a TPMAObject) Has(bits TPMAObject) bool { return a&bits == bits }

// FixedTPM reports whether the object may not leave this TPM.
func (a TPMAObject) FixedTPM() bool { return a&TPMAObjectFixedTPM != 0 }

// STClear reports whether a saved context dies at Startup(CLEAR).
func (a TPMAObject) STClear() bool { return a&TPMAObjectSTClear != 0 }

// FixedParent reports whether the object may not be duplicated by itself.
func (a TPMAObject) FixedParent() bool { return a&TPMAObjectFixedParent != 0 }

// SensitiveDataOrigin reports whether the TPM made the secret.
func (a TPMAObject) SensitiveDataOrigin() bool { return a&TPMAObjectSensitiveDataOrigin != 0 }

// UserWithAuth reports whether the USER role takes authValue.
func (a TPMAObject) UserWithAuth() bool { return a&TPMAObjectUserWithAuth != 0 }

// AdminWithPolicy reports whether the ADMIN role demands a policy.
func (a TPMAObject) AdminWithPolicy() bool { return a&TPMAObjectAdminWithPolicy != 0 }

// NoDA reports whether dictionary attack protection does not apply.
func (a TPMAObject) NoDA() bool { return a&TPMAObjectNoDA != 0 }

// EncryptedDuplication reports whether duplication demands an inner wrapper and
// a new parent.
func (a TPMAObject) EncryptedDuplication() bool { return a&TPMAObjectEncryptedDuplication != 0 }

// Restricted reports whether the key works only on structures of known format.
func (a TPMAObject) Restricted() bool { return a&TPMAObjectRestricted != 0 }

// Decrypt reports whether the secret may decrypt.
func (a TPMAObject) Decrypt() bool { return a&TPMAObjectDecrypt != 0 }

// SignEncrypt reports whether the secret may sign, or encrypt for a symmetric
// cipher.
func (a TPMAObject) SignEncrypt() bool { return a&TPMAObjectSignEncrypt != 0 }

// X509Sign reports whether the key signs X.509 certificates only.
func (a TPMAObject) X509Sign() bool { return a&TPMAObjectX509Sign != 0 }

// Marshal appends a.
func (a TPMAObject) Marshal(w *Writer) { w.Uint32(uint32(a)) }

// Unmarshal reads a.
func (a *TPMAObject) Unmarshal(r *Reader) {
	*a = TPMAObject(r.Uint32())
	if *a&tpmaObjectReserved != 0 {
		r.Fail(TPMRCReservedBits)
	}
}

// A TPMASession is the attributes of a session in one command.
type TPMASession uint8

// Part 2 v1.85, Table 38 (TPMA_SESSION).
const (
	TPMASessionContinueSession TPMASession = 1 << 0
	TPMASessionAuditExclusive  TPMASession = 1 << 1
	TPMASessionAuditReset      TPMASession = 1 << 2
	TPMASessionDecrypt         TPMASession = 1 << 5
	TPMASessionEncrypt         TPMASession = 1 << 6
	TPMASessionAudit           TPMASession = 1 << 7

	tpmaSessionReserved TPMASession = 3 << 3
)

// ContinueSession reports whether the session outlives the command.
func (a TPMASession) ContinueSession() bool { return a&TPMASessionContinueSession != 0 }

// AuditExclusive reports whether the audit session has to be, or is, exclusive.
func (a TPMASession) AuditExclusive() bool { return a&TPMASessionAuditExclusive != 0 }

// AuditReset reports whether the audit digest starts again.
func (a TPMASession) AuditReset() bool { return a&TPMASessionAuditReset != 0 }

// Decrypt reports whether the command's first parameter is encrypted.
func (a TPMASession) Decrypt() bool { return a&TPMASessionDecrypt != 0 }

// Encrypt reports whether the response's first parameter is encrypted.
func (a TPMASession) Encrypt() bool { return a&TPMASessionEncrypt != 0 }

// Audit reports whether the session is for audit.
func (a TPMASession) Audit() bool { return a&TPMASessionAudit != 0 }

// Marshal appends a.
func (a TPMASession) Marshal(w *Writer) { w.Uint8(uint8(a)) }

// Unmarshal reads a.
func (a *TPMASession) Unmarshal(r *Reader) {
	*a = TPMASession(r.Uint8())
	if *a&tpmaSessionReserved != 0 {
		r.Fail(TPMRCReservedBits)
	}
}

// A TPMALocality is a set of the localities 0 to 4, or one of 32 to 255.
type TPMALocality uint8

// Part 2 v1.85, Table 39 (TPMA_LOCALITY).
const (
	TPMALocalityZero  TPMALocality = 1 << 0
	TPMALocalityOne   TPMALocality = 1 << 1
	TPMALocalityTwo   TPMALocality = 1 << 2
	TPMALocalityThree TPMALocality = 1 << 3
	TPMALocalityFour  TPMALocality = 1 << 4

	TPMALocalityExtended TPMALocality = 7 << 5
)

// LocalityOf returns the attributes for one locality. Those from 5 to 31 do
// not exist and give 0.
func LocalityOf(n uint8) TPMALocality {
	switch {
	case n < 5:
		return 1 << n
	case n >= 32:
		return TPMALocality(n)
	}
	return 0
}

// Extended reports whether a is one extended locality.
func (a TPMALocality) Extended() bool { return a&TPMALocalityExtended != 0 }

// Marshal appends a.
func (a TPMALocality) Marshal(w *Writer) { w.Uint8(uint8(a)) }

// Unmarshal reads a. No bit is reserved.
func (a *TPMALocality) Unmarshal(r *Reader) { *a = TPMALocality(r.Uint8()) }
