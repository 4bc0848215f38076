package command

import (
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// sign signs a digest with a scheme that object.SignScheme chose. No signature leaves
// unless it verifies: one made by a faulty computation may give the key away.
func sign(d *engine.Device, o *object.Object, s tcg.TPMTSigScheme, v []byte) (sig tcg.TPMTSignature, rc tcg.TPMRC) {
	d.Need(o.Public.Type, s.Scheme, s.HashAlg)
	sig.SigAlg, sig.Hash = s.Scheme, s.HashAlg
	if len(v) != tpmcrypto.MustSize(s.HashAlg) {
		return sig, tcg.TPMRCSize
	}
	var err error
	switch o.Public.Type {
	case tcg.TPMAlgRSA:
		var k *tpmcrypto.RSAPrivate
		if k, err = o.RSAPrivate(); err != nil {
			break
		}
		if s.Scheme == tcg.TPMAlgRSAPSS {
			sig.Sig, err = k.SignPSS(d.Cfg.Rand, s.HashAlg, v)
		} else {
			sig.Sig, err = k.SignPKCS1v15(s.HashAlg, v)
		}
	case tcg.TPMAlgECC:
		var k *tpmcrypto.ECCPrivate
		if k, err = o.ECCPrivate(); err != nil {
			break
		}
		var e tpmcrypto.ECCSignature
		switch s.Scheme {
		case tcg.TPMAlgECDSA:
			e, err = k.SignECDSA(d.Cfg.Rand, v)
		case tcg.TPMAlgECSchnorr:
			e, err = k.SignSchnorr(d.Cfg.Rand, s.HashAlg, v)
		case tcg.TPMAlgSM2:
			e, err = k.SignSM2(d.Cfg.Rand, v)
		case tcg.TPMAlgECDAA:
			return signECDAA(d, o, k, s, v)
		}
		sig.R, sig.S = e.R, e.S
	case tcg.TPMAlgKeyedHash:
		sig.HMAC = tpmcrypto.MAC(s.HashAlg, o.Sensitive.Sensitive, v)
	case tcg.TPMAlgHashMLDSA:
		return signHashML(d, o, nil, v)
	}
	return sig, tpmcrypto.ResponseCode(err)
}

// verify checks a signature over a digest (Part 3, 20.1
// "TPM2_VerifySignature").
//
//	TPM_RC_SCHEME     not a scheme of the key's type
//	TPM_RC_SIGNATURE  the signature is not the key's over v
func verify(d *engine.Device, o *object.Object, v []byte, sig *tcg.TPMTSignature) tcg.TPMRC {
	if s := o.KeyScheme(); s.Scheme != tcg.TPMAlgNull && !o.Has(tcg.TPMAObjectDecrypt) {
		if s.Scheme != sig.SigAlg || s.HashAlg != sig.Hash {
			return tcg.TPMRCScheme
		}
	}
	if tpmcrypto.DigestSize(sig.Hash) == 0 {
		return tcg.TPMRCScheme
	}
	d.Need(o.Public.Type, sig.SigAlg, sig.Hash)
	if len(v) != tpmcrypto.MustSize(sig.Hash) {
		return tcg.TPMRCSize
	}
	var err error
	switch o.Public.Type {
	case tcg.TPMAlgRSA:
		k, kerr := o.RSAPublic()
		if kerr != nil {
			return tpmcrypto.ResponseCode(kerr)
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
		k, kerr := o.ECCPublic()
		if kerr != nil {
			return tpmcrypto.ResponseCode(kerr)
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
		if o.PublicOnly {
			return tcg.TPMRCHandle
		}
		if !tpmcrypto.Equal(sig.HMAC, tpmcrypto.MAC(sig.Hash, o.Sensitive.Sensitive, v)) {
			return tcg.TPMRCSignature
		}
	default:
		return tcg.TPMRCScheme
	}
	return tpmcrypto.ResponseCode(err)
}

// verifiedTicket is the digest of a TPMT_TK_VERIFIED.
func verifiedTicket(d *engine.Device, h tcg.TPMHandle, v, keyName []byte) []byte {
	return d.TicketHMAC(h, tcg.TPMSTVerified, v, keyName)
}
