package tcg

// A TPMTAsymScheme is a scheme and what it needs to know: a hash algorithm,
// and for ECDAA the counter of TPM2_Commit. Part 2 has one structure for each
// place where a scheme may stand; they differ in what they accept, so here
// they are one type with several ways to read it.
type TPMTAsymScheme struct {
	Scheme  TPMAlgID
	HashAlg TPMAlgID // not of TPM_ALG_NULL, TPM_ALG_RSAES and EdDSA
	Count   uint16   // of TPM_ALG_ECDAA
}

// Part 2's names for where a scheme stands.
type (
	TPMTRSAScheme  = TPMTAsymScheme // Table 191
	TPMTRSADecrypt = TPMTAsymScheme // Table 193
	TPMTECCScheme  = TPMTAsymScheme // Table 203
	TPMTSigScheme  = TPMTAsymScheme // Table 183
	TPMTKDFScheme  = TPMTAsymScheme // Table 188
)

// details takes what belongs to s.Scheme.
func (s *TPMTAsymScheme) details(r *Reader) {
	switch s.Scheme {
	case TPMAlgNull, TPMAlgRSAES, TPMAlgEDDSA, TPMAlgEDDSAPH, TPMAlgMLDSA, TPMAlgHashMLDSA:
	case TPMAlgECDAA:
		s.HashAlg = r.HashAlg()
		s.Count = r.Uint16()
	default:
		s.HashAlg = r.HashAlg()
	}
}

// Marshal appends s.
func (s *TPMTAsymScheme) Marshal(w *Writer) {
	w.Alg(s.Scheme)
	switch s.Scheme {
	case TPMAlgNull, TPMAlgRSAES, TPMAlgEDDSA, TPMAlgEDDSAPH, TPMAlgMLDSA, TPMAlgHashMLDSA:
	case TPMAlgECDAA:
		w.Alg(s.HashAlg)
		w.Uint16(s.Count)
	default:
		w.Alg(s.HashAlg)
	}
}

// UnmarshalRSA reads a TPMT_RSA_SCHEME, with null a TPMT_RSA_SCHEME+:
// TPM_RC_VALUE for the scheme, TPM_RC_HASH.
func (s *TPMTAsymScheme) UnmarshalRSA(r *Reader, null bool) {
	*s = TPMTAsymScheme{Scheme: r.Alg()}
	switch s.Scheme {
	case TPMAlgNull:
		if null {
			return
		}
	case TPMAlgRSASSA, TPMAlgRSAES, TPMAlgRSAPSS, TPMAlgOAEP:
		if r.Profile.HasAlg(s.Scheme) {
			s.details(r)
			return
		}
	}
	r.Fail(TPMRCValue)
}

// UnmarshalRSADecrypt reads a TPMT_RSA_DECRYPT, with null a
// TPMT_RSA_DECRYPT+: TPM_RC_VALUE for the scheme, TPM_RC_HASH.
func (s *TPMTAsymScheme) UnmarshalRSADecrypt(r *Reader, null bool) {
	*s = TPMTAsymScheme{Scheme: r.Alg()}
	switch s.Scheme {
	case TPMAlgNull:
		if null {
			return
		}
	case TPMAlgRSAES, TPMAlgOAEP:
		if r.Profile.HasAlg(s.Scheme) {
			s.details(r)
			return
		}
	}
	r.Fail(TPMRCValue)
}

// UnmarshalECC reads a TPMT_ECC_SCHEME, with null a TPMT_ECC_SCHEME+:
// TPM_RC_SCHEME for the scheme, TPM_RC_HASH.
func (s *TPMTAsymScheme) UnmarshalECC(r *Reader, null bool) {
	*s = TPMTAsymScheme{Scheme: r.Alg()}
	switch s.Scheme {
	case TPMAlgNull:
		if null {
			return
		}
	case TPMAlgECDSA, TPMAlgECDAA, TPMAlgSM2, TPMAlgECSchnorr, TPMAlgEDDSA, TPMAlgEDDSAPH,
		TPMAlgECDH, TPMAlgECMQV:
		if r.Profile.HasAlg(s.Scheme) {
			s.details(r)
			return
		}
	}
	r.Fail(TPMRCScheme)
}

// UnmarshalSig reads a TPMT_SIG_SCHEME, with null a TPMT_SIG_SCHEME+:
// TPM_RC_SCHEME for the scheme, TPM_RC_HASH.
func (s *TPMTAsymScheme) UnmarshalSig(r *Reader, null bool) {
	*s = TPMTAsymScheme{Scheme: r.sigScheme(null)}
	if r.err == 0 {
		s.details(r)
	}
}

// UnmarshalKDF reads a TPMT_KDF_SCHEME, with null a TPMT_KDF_SCHEME+:
// TPM_RC_KDF for the scheme, TPM_RC_HASH.
func (s *TPMTAsymScheme) UnmarshalKDF(r *Reader, null bool) {
	*s = TPMTAsymScheme{Scheme: r.KDFAlgPlus()}
	if s.Scheme == TPMAlgNull {
		if !null {
			r.Fail(TPMRCKDF)
		}
		return
	}
	if r.err == 0 {
		s.details(r)
	}
}

// A TPMTKeyedHashScheme is the scheme of a keyed hash object (Part 2, Table
// 179).
type TPMTKeyedHashScheme struct {
	Scheme  TPMAlgID // TPM_ALG_HMAC, TPM_ALG_XOR or TPM_ALG_NULL
	HashAlg TPMAlgID
	KDF     TPMAlgID // of TPM_ALG_XOR
}

// Unmarshal reads a TPMT_KEYEDHASH_SCHEME, with null a
// TPMT_KEYEDHASH_SCHEME+: TPM_RC_VALUE for the scheme, TPM_RC_HASH, TPM_RC_KDF.
func (s *TPMTKeyedHashScheme) Unmarshal(r *Reader, null bool) {
	*s = TPMTKeyedHashScheme{Scheme: r.Alg()}
	switch a := s.Scheme; {
	case a == TPMAlgNull && null:
	case a == TPMAlgHMAC && r.Profile.HasAlg(a):
		s.HashAlg = r.HashAlg()
	case a == TPMAlgXOR && r.Profile.HasAlg(a):
		s.HashAlg = r.HashAlg()
		s.KDF = r.KDFAlgPlus()
	default:
		r.Fail(TPMRCValue)
	}
}

// Marshal appends s.
func (s *TPMTKeyedHashScheme) Marshal(w *Writer) {
	w.Alg(s.Scheme)
	switch s.Scheme {
	case TPMAlgNull:
	case TPMAlgXOR:
		w.Alg(s.HashAlg)
		w.Alg(s.KDF)
	default:
		w.Alg(s.HashAlg)
	}
}
