package vtpm

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// signatureHash is the hash algorithm of what was signed.
func signatureHash(sig *tcg.TPMTSignature) tcg.TPMAlgID { return sig.Hash }

// keyScheme is the signing scheme that is part of a key's public area.
func (o *object) keyScheme() tcg.TPMTSigScheme {
	switch o.public.Type {
	case tcg.TPMAlgRSA:
		return o.public.RSA.Scheme
	case tcg.TPMAlgECC:
		return o.public.ECC.Scheme
	case tcg.TPMAlgKeyedHash:
		s := o.public.KeyedHash.Scheme
		return tcg.TPMTSigScheme{Scheme: s.Scheme, HashAlg: s.HashAlg}
	}
	return tcg.TPMTSigScheme{Scheme: tcg.TPMAlgNull}
}

// signScheme chooses the scheme for a signature: the key's, which what is
// asked for may repeat but not change, or, if the key has none, the one asked
// for (Part 3, 20.2 "TPM2_Sign"). TPM_RC_SCHEME if there is none.
func signScheme(o *object, asked tcg.TPMTSigScheme) (tcg.TPMTSigScheme, tcg.TPMRC) {
	s := o.keyScheme()
	if s.Scheme == tcg.TPMAlgNull {
		s = asked
	} else if asked.Scheme != tcg.TPMAlgNull || s.Scheme == tcg.TPMAlgECDAA { // which needs its counter
		if asked.Scheme != s.Scheme || asked.HashAlg != s.HashAlg {
			return s, tcg.TPMRCScheme
		}
		s.Count = asked.Count
	}
	ok := false
	switch o.public.Type {
	case tcg.TPMAlgRSA:
		ok = s.Scheme == tcg.TPMAlgRSASSA || s.Scheme == tcg.TPMAlgRSAPSS
	case tcg.TPMAlgECC:
		switch s.Scheme {
		case tcg.TPMAlgECDSA, tcg.TPMAlgECDAA, tcg.TPMAlgECSchnorr, tcg.TPMAlgSM2:
			ok = true
		}
	case tcg.TPMAlgKeyedHash:
		ok = s.Scheme == tcg.TPMAlgHMAC
	}
	if !ok {
		return s, tcg.TPMRCScheme
	}
	return s, tcg.TPMRCSuccess
}

// sign signs a digest with a scheme that signScheme chose. No signature leaves
// unless it verifies: one made by a faulty computation may give the key away.
func (d *Device) sign(o *object, s tcg.TPMTSigScheme, v []byte) (sig tcg.TPMTSignature, rc tcg.TPMRC) {
	d.need(o.public.Type, s.Scheme, s.HashAlg)
	sig.SigAlg, sig.Hash = s.Scheme, s.HashAlg
	if len(v) != hashSize(s.HashAlg) {
		return sig, tcg.TPMRCSize
	}
	var err error
	switch o.public.Type {
	case tcg.TPMAlgRSA:
		var k *tpmcrypto.RSAPrivate
		if k, err = o.rsaPrivate(); err != nil {
			break
		}
		if s.Scheme == tcg.TPMAlgRSAPSS {
			sig.Sig, err = k.SignPSS(d.cfg.Rand, s.HashAlg, v)
		} else {
			sig.Sig, err = k.SignPKCS1v15(s.HashAlg, v)
		}
	case tcg.TPMAlgECC:
		var k *tpmcrypto.ECCPrivate
		if k, err = o.eccPrivate(); err != nil {
			break
		}
		var e tpmcrypto.ECCSignature
		switch s.Scheme {
		case tcg.TPMAlgECDSA:
			e, err = k.SignECDSA(d.cfg.Rand, v)
		case tcg.TPMAlgECSchnorr:
			e, err = k.SignSchnorr(d.cfg.Rand, s.HashAlg, v)
		case tcg.TPMAlgSM2:
			e, err = k.SignSM2(d.cfg.Rand, v)
		case tcg.TPMAlgECDAA:
			return d.signECDAA(o, k, s, v)
		}
		sig.R, sig.S = e.R, e.S
	case tcg.TPMAlgKeyedHash:
		sig.HMAC = hmacSum(s.HashAlg, o.sensitive.Sensitive, v)
	}
	return sig, rcOf(err)
}

// verify checks a signature over a digest (Part 3, 20.1
// "TPM2_VerifySignature").
//
//	TPM_RC_SCHEME     not a scheme of the key's type
//	TPM_RC_SIGNATURE  the signature is not the key's over v
func (d *Device) verify(o *object, v []byte, sig *tcg.TPMTSignature) tcg.TPMRC {
	if s := o.keyScheme(); s.Scheme != tcg.TPMAlgNull && !o.has(tcg.TPMAObjectDecrypt) {
		if s.Scheme != sig.SigAlg || s.HashAlg != sig.Hash {
			return tcg.TPMRCScheme
		}
	}
	if tpmcrypto.DigestSize(sig.Hash) == 0 {
		return tcg.TPMRCScheme
	}
	d.need(o.public.Type, sig.SigAlg, sig.Hash)
	if len(v) != hashSize(sig.Hash) {
		return tcg.TPMRCSize
	}
	var err error
	switch o.public.Type {
	case tcg.TPMAlgRSA:
		k, kerr := o.rsaPublic()
		if kerr != nil {
			return rcOf(kerr)
		}
		switch sig.SigAlg {
		case tcg.TPMAlgRSASSA:
			err = k.VerifyPKCS1v15(sig.Hash, v, sig.Sig)
		case tcg.TPMAlgRSAPSS:
			err = k.VerifyPSS(sig.Hash, v, sig.Sig)
		default:
			return tcg.TPMRCScheme
		}
	case tcg.TPMAlgECC:
		k, kerr := o.eccPublic()
		if kerr != nil {
			return rcOf(kerr)
		}
		e := tpmcrypto.ECCSignature{R: sig.R, S: sig.S}
		switch sig.SigAlg {
		case tcg.TPMAlgECDSA:
			err = k.VerifyECDSA(v, e)
		case tcg.TPMAlgECSchnorr:
			err = k.VerifySchnorr(sig.Hash, v, e)
		case tcg.TPMAlgSM2:
			err = k.VerifySM2(v, e)
		default:
			return tcg.TPMRCScheme
		}
	case tcg.TPMAlgKeyedHash:
		if sig.SigAlg != tcg.TPMAlgHMAC {
			return tcg.TPMRCScheme
		}
		if o.publicOnly {
			return tcg.TPMRCHandle
		}
		if !tpmcrypto.Equal(sig.HMAC, hmacSum(sig.Hash, o.sensitive.Sensitive, v)) {
			return tcg.TPMRCSignature
		}
	default:
		return tcg.TPMRCScheme
	}
	return rcOf(err)
}

// verifiedTicket is the digest of a TPMT_TK_VERIFIED.
func (d *Device) verifiedTicket(h tcg.TPMHandle, v, keyName []byte) []byte {
	return d.ticketHMAC(h, tcg.TPMSTVerified, v, keyName)
}
