package command

import (
	"encoding/binary"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Signatures with the scheme of the key alone, and with a context, as the commands of
// version 1.85 make and verify them.

// signByKey signs a digest, or with an ML-DSA key a mu. The context is what
// takesContext allows.
func signByKey(d *engine.Device, o *object.Object, context, v []byte) (tcg.TPMTSignature, tcg.TPMRC) {
	s := o.KeyScheme()
	switch s.Scheme {
	case tcg.TPMAlgMLDSA:
		return signMu(d, o, v)
	case tcg.TPMAlgHashMLDSA:
		return signHashML(d, o, context, v)
	case tcg.TPMAlgECDAA:
		s.Count = binary.BigEndian.Uint16(context)
	}
	return sign(d, o, s, v)
}

// verifyByKey checks a signature over a digest, or with an ML-DSA key over a mu.
//
//	TPM_RC_SCHEME     the signature is not of the key's scheme, or the TPM does not
//	                  verify by it
//	TPM_RC_SIGNATURE  the signature is not the key's over v
func verifyByKey(d *engine.Device, o *object.Object, context, v []byte, sig *tcg.TPMTSignature) tcg.TPMRC {
	s := o.KeyScheme()
	if sig.SigAlg != s.Scheme || sig.Hash != s.HashAlg {
		return tcg.TPMRCScheme
	}
	if !o.IsMLDSA() {
		return verify(d, o, v, sig)
	}
	d.Need(o.Public.Type, s.HashAlg)
	k, err := o.MLDSAPublic()
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	if s.Scheme == tcg.TPMAlgHashMLDSA {
		if v, err = k.HashMu(s.HashAlg, context, v); err != nil {
			return tpmcrypto.ResponseCode(err)
		}
	}
	return tpmcrypto.ResponseCode(k.Verify(v, sig.Sig))
}

// verifyMAC checks that a signature is the HMAC v.
//
//	TPM_RC_SCHEME     the signature is no HMAC, or by another hash algorithm
//	TPM_RC_SIGNATURE  it is another
func verifyMAC(o *object.Object, v []byte, sig *tcg.TPMTSignature) tcg.TPMRC {
	switch {
	case sig.SigAlg != tcg.TPMAlgHMAC || sig.Hash != o.KeyScheme().HashAlg:
		return tcg.TPMRCScheme
	case !tpmcrypto.Equal(sig.HMAC, v):
		return tcg.TPMRCSignature
	}
	return tcg.TPMRCSuccess
}

// verifyMessage checks a signature over a message whose context is empty. A key of
// another kind than ML-DSA may have been given its hash algorithm by the signature.
func verifyMessage(d *engine.Device, o *object.Object, message []byte, sig *tcg.TPMTSignature) tcg.TPMRC {
	if !o.IsMLDSA() {
		if tpmcrypto.DigestSize(sig.Hash) == 0 {
			return tcg.TPMRCScheme // it is over a message, and the key signs digests
		}
		return verify(d, o, tpmcrypto.Digest(sig.Hash, message), sig)
	}
	if o.Public.Type == tcg.TPMAlgHashMLDSA {
		return verifyByKey(d, o, nil, tpmcrypto.Digest(o.Public.MLDSA.HashAlg, message), sig)
	}
	k, err := o.MLDSAPublic()
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	mu := k.NewMu(nil)
	mu.Write(message)
	return verifyByKey(d, o, nil, mu.Sum(nil), sig)
}

// digestTicket is the digest of a TPMT_TK_VERIFIED for a digest of alg, which says
// the algorithm (Part 2, 10.6.5, equation 5).
func digestTicket(d *engine.Device, h tcg.TPMHandle, v, keyName []byte, alg tcg.TPMAlgID) []byte {
	return d.TicketHMAC(h, tcg.TPMSTDigestVerified, v, keyName, []byte{byte(alg >> 8), byte(alg)})
}
