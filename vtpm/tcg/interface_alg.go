package tcg

// The readers here are Part 2's interface types over algorithms and constants:
// each takes a value and refuses what its table does not list, or the profile
// does not offer, with the response code that the table names. Those ending in
// Plus also take the value that the specification marks "+".

// IsHash reports whether a is one of the hash algorithms of TPMI_ALG_HASH that
// this package knows.
func (a TPMAlgID) IsHash() bool { return a.DigestSize() != 0 }

// HashAlg takes a TPMI_ALG_HASH (Part 2, Table 77), else TPM_RC_HASH.
func (r *Reader) HashAlg() TPMAlgID {
	a := TPMAlgID(r.Uint16())
	if !a.IsHash() || !r.Profile.HasAlg(a) {
		r.Fail(TPMRCHash)
	}
	return a
}

// HashAlgPlus takes a TPMI_ALG_HASH+, else TPM_RC_HASH.
func (r *Reader) HashAlgPlus() TPMAlgID {
	a := TPMAlgID(r.Uint16())
	if a != TPMAlgNull && (!a.IsHash() || !r.Profile.HasAlg(a)) {
		r.Fail(TPMRCHash)
	}
	return a
}

// SymModePlus takes a TPMI_ALG_SYM_MODE+ (Part 2, Table 81), else TPM_RC_MODE.
func (r *Reader) SymModePlus() TPMAlgID {
	a := TPMAlgID(r.Uint16())
	switch a {
	case TPMAlgNull:
		return a
	case TPMAlgCTR, TPMAlgOFB, TPMAlgCBC, TPMAlgCFB, TPMAlgECB, TPMAlgCMAC:
		if r.Profile.HasAlg(a) {
			return a
		}
	}
	r.Fail(TPMRCMode)
	return a
}

// CipherModePlus takes a TPMI_ALG_CIPHER_MODE+ (Part 2, Table 87), else
// TPM_RC_MODE.
func (r *Reader) CipherModePlus() TPMAlgID {
	a := r.SymModePlus()
	if a == TPMAlgCMAC {
		r.Fail(TPMRCMode)
	}
	return a
}

// isKDF reports whether a is in TPMI_ALG_KDF (Part 2, Table 82).
func isKDF(a TPMAlgID) bool {
	switch a {
	case TPMAlgMGF1, TPMAlgKDF2, TPMAlgKDF1SP80056A, TPMAlgKDF1SP800108, TPMAlgHKDF:
		return true
	}
	return false
}

// KDFAlgPlus takes a TPMI_ALG_KDF+, else TPM_RC_KDF.
func (r *Reader) KDFAlgPlus() TPMAlgID {
	a := TPMAlgID(r.Uint16())
	if a != TPMAlgNull && (!isKDF(a) || !r.Profile.HasAlg(a)) {
		r.Fail(TPMRCKDF)
	}
	return a
}

// KDFAlg takes a TPMI_ALG_KDF, else TPM_RC_KDF.
func (r *Reader) KDFAlg() TPMAlgID {
	a := r.KDFAlgPlus()
	if a == TPMAlgNull {
		r.Fail(TPMRCKDF)
	}
	return a
}

// isSigScheme reports whether a is in TPMI_ALG_SIG_SCHEME (Part 2, Table 83).
func isSigScheme(a TPMAlgID) bool {
	switch a {
	case TPMAlgRSASSA, TPMAlgRSAPSS, TPMAlgECDSA, TPMAlgECDAA, TPMAlgSM2, TPMAlgECSchnorr,
		TPMAlgEDDSA, TPMAlgEDDSAPH, TPMAlgHMAC, TPMAlgMLDSA, TPMAlgHashMLDSA:
		return true
	}
	return false
}

// sigScheme takes a TPMI_ALG_SIG_SCHEME, else TPM_RC_SCHEME.
func (r *Reader) sigScheme(null bool) TPMAlgID {
	a := TPMAlgID(r.Uint16())
	if null && a == TPMAlgNull {
		return a
	}
	if !isSigScheme(a) || !r.Profile.HasAlg(a) {
		r.Fail(TPMRCScheme)
	}
	return a
}

// ECCKeyExchange takes a TPMI_ECC_KEY_EXCHANGE (Part 2, Table 84), else
// TPM_RC_SCHEME.
func (r *Reader) ECCKeyExchange() TPMAlgID {
	a := TPMAlgID(r.Uint16())
	switch a {
	case TPMAlgECDH, TPMAlgSM2, TPMAlgECMQV:
		if r.Profile.HasAlg(a) {
			return a
		}
	}
	r.Fail(TPMRCScheme)
	return a
}

// MACSchemePlus takes a TPMI_ALG_MAC_SCHEME+ (Part 2, Table 86), else
// TPM_RC_SYMMETRIC. With a hash algorithm it also is the TPMI_ALG_HASH+ of
// TPM2_HMAC, whose code for a bad one differs.
func (r *Reader) MACSchemePlus() TPMAlgID {
	a := TPMAlgID(r.Uint16())
	if a == TPMAlgNull || (a == TPMAlgCMAC || a.IsHash()) && r.Profile.HasAlg(a) {
		return a
	}
	r.Fail(TPMRCSymmetric)
	return a
}

// PublicType takes a TPMI_ALG_PUBLIC (Part 2, Table 225), else TPM_RC_TYPE.
func (r *Reader) PublicType() TPMAlgID {
	a := TPMAlgID(r.Uint16())
	switch a {
	case TPMAlgRSA, TPMAlgKeyedHash, TPMAlgECC, TPMAlgSymCipher, TPMAlgMLDSA, TPMAlgHashMLDSA, TPMAlgMLKEM:
		if r.Profile.HasAlg(a) {
			return a
		}
	}
	r.Fail(TPMRCType)
	return a
}

// Curve takes a TPMI_ECC_CURVE (Part 2, Table 201), else TPM_RC_CURVE.
func (r *Reader) Curve() TPMECCCurve {
	c := TPMECCCurve(r.Uint16())
	if !r.Profile.HasCurve(c) {
		r.Fail(TPMRCCurve)
	}
	return c
}

// YesNo takes a TPMI_YES_NO (Part 2, Table 48), else TPM_RC_VALUE.
func (r *Reader) YesNo() bool {
	v := r.Uint8()
	if v > 1 {
		r.Fail(TPMRCValue)
	}
	return v == 1
}

// YesNo appends a TPMI_YES_NO.
func (w *Writer) YesNo(v bool) {
	if v {
		w.Uint8(1)
	} else {
		w.Uint8(0)
	}
}

// Alg takes a TPM_ALG_ID of any value.
func (r *Reader) Alg() TPMAlgID { return TPMAlgID(r.Uint16()) }

// Alg appends a TPM_ALG_ID.
func (w *Writer) Alg(a TPMAlgID) { w.Uint16(uint16(a)) }

// CommandTag takes a TPMI_ST_COMMAND_TAG (Part 2, Table 85), else
// TPM_RC_BAD_TAG.
func (r *Reader) CommandTag() TPMST {
	t := TPMST(r.Uint16())
	if t != TPMSTNoSessions && t != TPMSTSessions {
		r.Fail(TPMRCBadTag)
	}
	return t
}

// ClockAdjust takes a TPM_CLOCK_ADJUST (Part 2, Table 19), else TPM_RC_VALUE.
func (r *Reader) ClockAdjust() TPMClockAdjust {
	v := TPMClockAdjust(r.Uint8())
	if v < TPMClockCoarseSlower || v > TPMClockCoarseFaster {
		r.Fail(TPMRCValue)
	}
	return v
}

// EO takes a TPM_EO (Part 2, Table 20), else TPM_RC_VALUE.
func (r *Reader) EO() TPMEO {
	v := TPMEO(r.Uint16())
	if v > TPMEOBitClear {
		r.Fail(TPMRCValue)
	}
	return v
}

// SU takes a TPM_SU (Part 2, Table 22), else TPM_RC_VALUE.
func (r *Reader) SU() TPMSU {
	v := TPMSU(r.Uint16())
	if v > TPMSUState {
		r.Fail(TPMRCValue)
	}
	return v
}

// SE takes a TPM_SE (Part 2, Table 23), else TPM_RC_VALUE.
func (r *Reader) SE() TPMSE {
	v := TPMSE(r.Uint8())
	if v != TPMSEHMAC && v != TPMSEPolicy && v != TPMSETrial {
		r.Fail(TPMRCValue)
	}
	return v
}

// Cap takes a TPM_CAP (Part 2, Table 24), else TPM_RC_VALUE. Settable
// capabilities pass: which of them exist is for the command to say.
func (r *Reader) Cap() TPMCap {
	v := TPMCap(r.Uint32())
	if v > TPMCapSPDMSessionInfo && v != TPMCapVendorProperty && v&TPMCapSettable == 0 {
		r.Fail(TPMRCValue)
	}
	return v
}
