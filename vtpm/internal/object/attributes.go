package object

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Checks of a public area that is to become an object (Part 1, "Object
// Structure Elements"; Part 2, "TPMA_OBJECT"; Part 3, 12.1 "TPM2_Create").

// CheckCreation checks a template for TPM2_Create and its relatives. dataSize
// is that of the sensitive data which the caller gives. parent is nil for a
// primary object, whose parent is its hierarchy.
func CheckCreation(p *tcg.TPMTPublic, parent *Object, limits tcg.TPMAObject, dataSize int) tcg.TPMRC {
	attrs := p.ObjectAttributes
	origin := attrs&tcg.TPMAObjectSensitiveDataOrigin != 0
	if !origin && dataSize == 0 {
		return tcg.TPMRCAttributes
	}
	if parent != nil && origin && dataSize != 0 {
		return tcg.TPMRCAttributes
	}
	switch p.Type {
	case tcg.TPMAlgKeyedHash:
		if attrs&(tcg.TPMAObjectSignEncrypt|tcg.TPMAObjectDecrypt) == 0 && origin {
			return tcg.TPMRCAttributes // the TPM does not make up sealed data
		}
	case tcg.TPMAlgSymCipher:
		if attrs&tcg.TPMAObjectRestricted != 0 && !origin &&
			attrs&(tcg.TPMAObjectFixedParent|tcg.TPMAObjectFixedTPM) != 0 {
			return tcg.TPMRCAttributes
		}
	default:
		if !origin {
			return tcg.TPMRCAttributes
		}
	}
	if parent == nil {
		return CheckAttributes(p, nil, tcg.TPMAObjectFixedTPM|limits)
	}
	return CheckAttributes(p, parent, parent.Public.ObjectAttributes)
}

// CheckAttributes checks the attributes against each other and the parent's,
// and the algorithms against the attributes. A storage parent is compared with
// besides its attributes; parent is nil for an object without one.
func CheckAttributes(p *tcg.TPMTPublic, parent *Object, of tcg.TPMAObject) tcg.TPMRC {
	parentFixed, parentEncDup := of&tcg.TPMAObjectFixedTPM != 0, of&tcg.TPMAObjectEncryptedDuplication != 0
	attrs := p.ObjectAttributes
	has := func(a tcg.TPMAObject) bool { return attrs&a != 0 }
	if p.NameAlg == tcg.TPMAlgNull {
		return tcg.TPMRCHash
	}
	if n := len(p.AuthPolicy); n != 0 && n != tpmcrypto.MustSize(p.NameAlg) {
		return tcg.TPMRCSize
	}
	// An object is fixed to the TPM exactly if it is fixed to a parent that is.
	if has(tcg.TPMAObjectFixedTPM) != (has(tcg.TPMAObjectFixedParent) && parentFixed) {
		return tcg.TPMRCAttributes
	}
	if has(tcg.TPMAObjectFixedTPM) && has(tcg.TPMAObjectEncryptedDuplication) {
		return tcg.TPMRCAttributes
	}
	if !parentFixed && has(tcg.TPMAObjectEncryptedDuplication) != parentEncDup {
		return tcg.TPMRCAttributes
	}
	// A limit begins with a limited hierarchy and is handed down.
	if limit := attrs & Limited; limit&^of != 0 || limit != 0 && !has(tcg.TPMAObjectFixedTPM) {
		return tcg.TPMRCAttributes
	}
	if rc := CheckUse(p); rc != tcg.TPMRCSuccess {
		return rc
	}
	if rc := CheckScheme(p); rc != tcg.TPMRCSuccess {
		return rc
	}
	// A storage key that cannot leave its parent protects its children as its
	// parent protects it.
	if parent != nil && parent.IsStorageParent() && IsStorageTemplate(p) && has(tcg.TPMAObjectFixedParent) {
		o := Object{Public: *p}
		if p.NameAlg != parent.Public.NameAlg {
			return tcg.TPMRCHash
		}
		if o.Symmetric() != parent.Symmetric() {
			return tcg.TPMRCSymmetric
		}
	}
	return tcg.TPMRCSuccess
}

// IsStorageTemplate reports whether p is of a parent: a restricted decryption key
// (Part 1, "Storage Keys").
func IsStorageTemplate(p *tcg.TPMTPublic) bool {
	a := p.ObjectAttributes
	return a&tcg.TPMAObjectRestricted != 0 && a&tcg.TPMAObjectDecrypt != 0 && p.Type != tcg.TPMAlgKeyedHash
}

// CheckUse checks sign, decrypt, restricted and x509sign against the type.
func CheckUse(p *tcg.TPMTPublic) tcg.TPMRC {
	attrs := p.ObjectAttributes
	sign := attrs&tcg.TPMAObjectSignEncrypt != 0
	decrypt := attrs&tcg.TPMAObjectDecrypt != 0
	restricted := attrs&tcg.TPMAObjectRestricted != 0
	if restricted && sign == decrypt {
		return tcg.TPMRCAttributes
	}
	if attrs&tcg.TPMAObjectX509Sign != 0 && (!sign || p.Type == tcg.TPMAlgSymCipher || p.Type == tcg.TPMAlgKeyedHash) {
		return tcg.TPMRCAttributes
	}
	switch p.Type {
	case tcg.TPMAlgKeyedHash:
	case tcg.TPMAlgSymCipher:
		if restricted && sign || !sign && !decrypt {
			return tcg.TPMRCAttributes
		}
	case tcg.TPMAlgMLDSA, tcg.TPMAlgHashMLDSA: // sign only (Part 2, Table 233)
		if !sign || decrypt {
			return tcg.TPMRCAttributes
		}
	case tcg.TPMAlgMLKEM: // decrypt only
		if sign || !decrypt {
			return tcg.TPMRCAttributes
		}
	default:
		if !sign && !decrypt {
			return tcg.TPMRCAttributes
		}
	}
	return tcg.TPMRCSuccess
}

// CheckScheme checks the algorithms of a public area against its attributes.
func CheckScheme(p *tcg.TPMTPublic) tcg.TPMRC {
	attrs := p.ObjectAttributes
	sign := attrs&tcg.TPMAObjectSignEncrypt != 0
	decrypt := attrs&tcg.TPMAObjectDecrypt != 0
	restricted := attrs&tcg.TPMAObjectRestricted != 0
	switch p.Type {
	case tcg.TPMAlgSymCipher:
		if restricted && p.Sym.Mode == tcg.TPMAlgCMAC {
			return tcg.TPMRCMode
		}
		return tcg.TPMRCSuccess
	case tcg.TPMAlgKeyedHash:
		return checkKeyedHashScheme(p, sign, decrypt, restricted)
	case tcg.TPMAlgMLKEM:
		s := p.MLKEM.Symmetric
		if restricted != (s.Algorithm != tcg.TPMAlgNull) || restricted && s.Mode == tcg.TPMAlgCMAC {
			return tcg.TPMRCSymmetric
		}
		return tcg.TPMRCSuccess
	case tcg.TPMAlgMLDSA:
		// An external mu may be that of anything, a structure of the TPM's own too
		// (Part 3, 20.1: allowExternalMu implies that restricted is CLEAR).
		if restricted && p.MLDSA.AllowExternalMu {
			return tcg.TPMRCAttributes
		}
		return tcg.TPMRCSuccess
	case tcg.TPMAlgHashMLDSA:
		if !tpmcrypto.HasHashMLDSA(p.MLDSA.HashAlg) {
			return tcg.TPMRCHash
		}
		return tcg.TPMRCSuccess
	}
	var sym tcg.TPMTSymDefObject
	var scheme tcg.TPMAlgID
	if p.Type == tcg.TPMAlgRSA {
		sym, scheme = p.RSA.Symmetric, p.RSA.Scheme.Scheme
	} else {
		sym, scheme = p.ECC.Symmetric, p.ECC.Scheme.Scheme
		if k := p.ECC.KDF; k.Scheme != tcg.TPMAlgNull && (k.Scheme != tcg.TPMAlgHKDF || scheme != tcg.TPMAlgECDH ||
			!decrypt || sign || restricted || !tpmcrypto.HasDHKEM(p.ECC.CurveID, k.HashAlg)) {
			return tcg.TPMRCKDF // Part 2, TPMS_ECC_PARMS: only for keys that encapsulate
		}
	}
	if restricted && decrypt {
		// Children are protected with CFB, whatever mode is said here (Part 3,
		// 12.1.1).
		if sym.Algorithm == tcg.TPMAlgNull || sym.Mode == tcg.TPMAlgCMAC {
			return tcg.TPMRCSymmetric
		}
		if scheme != tcg.TPMAlgNull {
			return tcg.TPMRCScheme
		}
		return tcg.TPMRCSuccess
	}
	if sym.Algorithm != tcg.TPMAlgNull {
		return tcg.TPMRCSymmetric
	}
	switch {
	case scheme == tcg.TPMAlgNull:
		if restricted {
			return tcg.TPMRCScheme // a restricted signing key has to say how it signs
		}
	case sign && decrypt:
		return tcg.TPMRCScheme // one scheme cannot be for both
	case sign && !isSigningScheme(scheme), decrypt && !isDecryptionScheme(scheme):
		return tcg.TPMRCScheme
	}
	return tcg.TPMRCSuccess
}

func checkKeyedHashScheme(p *tcg.TPMTPublic, sign, decrypt, restricted bool) tcg.TPMRC {
	s := p.KeyedHash.Scheme.Scheme
	switch {
	case sign == decrypt: // data, or for both
		if s != tcg.TPMAlgNull {
			return tcg.TPMRCScheme
		}
	case s == tcg.TPMAlgNull:
		if restricted {
			return tcg.TPMRCScheme
		}
	case sign && s != tcg.TPMAlgHMAC, decrypt && s != tcg.TPMAlgXOR:
		return tcg.TPMRCScheme
	case decrypt && restricted && p.KeyedHash.Scheme.KDF == tcg.TPMAlgNull:
		return tcg.TPMRCScheme // a derivation parent needs its KDF
	}
	return tcg.TPMRCSuccess
}

func isSigningScheme(a tcg.TPMAlgID) bool {
	switch a {
	case tcg.TPMAlgRSASSA, tcg.TPMAlgRSAPSS, tcg.TPMAlgECDSA, tcg.TPMAlgECDAA, tcg.TPMAlgSM2, tcg.TPMAlgECSchnorr:
		return true
	}
	return false
}

func isDecryptionScheme(a tcg.TPMAlgID) bool {
	switch a {
	case tcg.TPMAlgRSAES, tcg.TPMAlgOAEP, tcg.TPMAlgECDH, tcg.TPMAlgECMQV:
		return true
	}
	return false
}

// Limited are the attributes of objects that exist in limited hierarchies only.
const Limited = tcg.TPMAObjectFirmwareLimited | tcg.TPMAObjectSVNLimited
