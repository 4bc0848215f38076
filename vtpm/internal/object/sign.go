package object

import (
	"stubtpm/vtpm/tcg"
)

// KeyScheme is the signing scheme that is part of a key's public area.
func (o *Object) KeyScheme() tcg.TPMTSigScheme {
	switch o.Public.Type {
	case tcg.TPMAlgRSA:
		return o.Public.RSA.Scheme
	case tcg.TPMAlgECC:
		return o.Public.ECC.Scheme
	case tcg.TPMAlgKeyedHash:
		s := o.Public.KeyedHash.Scheme
		return tcg.TPMTSigScheme{Scheme: s.Scheme, HashAlg: s.HashAlg}
	case tcg.TPMAlgMLDSA:
		return tcg.TPMTSigScheme{Scheme: tcg.TPMAlgMLDSA}
	case tcg.TPMAlgHashMLDSA:
		return tcg.TPMTSigScheme{Scheme: tcg.TPMAlgHashMLDSA, HashAlg: o.Public.MLDSA.HashAlg}
	}
	return tcg.TPMTSigScheme{Scheme: tcg.TPMAlgNull}
}

// IsMLDSA reports whether o is a key of ML-DSA or HashML-DSA.
func (o *Object) IsMLDSA() bool {
	return o.Public.Type == tcg.TPMAlgMLDSA || o.Public.Type == tcg.TPMAlgHashMLDSA
}

// SignScheme chooses the scheme for a signature: the key's, which what is
// asked for may repeat but not change, or, if the key has none, the one asked
// for (Part 3, 20.2 "TPM2_Sign"). TPM_RC_SCHEME if neither names one.
func SignScheme(o *Object, asked tcg.TPMTSigScheme) (tcg.TPMTSigScheme, tcg.TPMRC) {
	s := o.KeyScheme()
	if s.Scheme == tcg.TPMAlgNull {
		s = asked
	} else if asked.Scheme != tcg.TPMAlgNull || s.Scheme == tcg.TPMAlgECDAA { // which needs its counter
		if s.Scheme == tcg.TPMAlgHashMLDSA {
			asked.HashAlg = s.HashAlg // a TPMT_SIG_SCHEME has none there
		}
		if asked.Scheme != s.Scheme || asked.HashAlg != s.HashAlg {
			return s, tcg.TPMRCScheme
		}
		s.Count = asked.Count
	}
	ok := false
	switch o.Public.Type {
	case tcg.TPMAlgRSA:
		ok = s.Scheme == tcg.TPMAlgRSASSA || s.Scheme == tcg.TPMAlgRSAPSS
	case tcg.TPMAlgECC:
		switch s.Scheme {
		case tcg.TPMAlgECDSA, tcg.TPMAlgECDAA, tcg.TPMAlgECSchnorr, tcg.TPMAlgSM2:
			ok = true
		}
	case tcg.TPMAlgKeyedHash:
		ok = s.Scheme == tcg.TPMAlgHMAC
	case tcg.TPMAlgMLDSA, tcg.TPMAlgHashMLDSA:
		ok = true
	}
	if !ok {
		return s, tcg.TPMRCScheme
	}
	return s, tcg.TPMRCSuccess
}
