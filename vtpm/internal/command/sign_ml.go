package command

import (
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// signMLMessage signs a message with an ML-DSA key, whose context is empty.
func signMLMessage(d *engine.Device, o *object.Object, message []byte) (sig tcg.TPMTSignature, rc tcg.TPMRC) {
	d.Need(tcg.TPMAlgMLDSA)
	k, err := o.MLDSAPublic()
	if err != nil {
		return sig, tpmcrypto.ResponseCode(err)
	}
	mu := k.NewMu(nil)
	mu.Write(message)
	return signMu(d, o, mu.Sum(nil))
}

// signHashML signs a digest of the key's hash algorithm with a HashML-DSA key.
func signHashML(d *engine.Device, o *object.Object, context, digest []byte) (sig tcg.TPMTSignature, rc tcg.TPMRC) {
	d.Need(tcg.TPMAlgHashMLDSA, o.Public.MLDSA.HashAlg)
	k, err := o.MLDSAPublic()
	if err != nil {
		return sig, tpmcrypto.ResponseCode(err)
	}
	mu, err := k.HashMu(o.Public.MLDSA.HashAlg, context, digest)
	if err != nil {
		return sig, tpmcrypto.ResponseCode(err)
	}
	return signMu(d, o, mu)
}

// signMu signs mu with an ML-DSA or HashML-DSA key.
//
//	TPM_RC_NO_RESULT  too many attempts were rejected (errata of version 1.85, 2.4)
//	TPM_RC_PARMS      the signature does not fit the interface's buffer
func signMu(d *engine.Device, o *object.Object, mu []byte) (sig tcg.TPMTSignature, rc tcg.TPMRC) {
	if !d.FitsMLDSA(o.Public.MLDSA.ParameterSet) {
		return sig, tcg.TPMRCParms
	}
	d.Need(o.Public.Type)
	k, err := o.MLDSAPrivate()
	if err != nil {
		return sig, tpmcrypto.ResponseCode(err)
	}
	sig.SigAlg = o.Public.Type
	if sig.SigAlg == tcg.TPMAlgHashMLDSA {
		sig.Hash = o.Public.MLDSA.HashAlg
	}
	sig.Sig, err = k.Sign(d.Cfg.Rand, mu)
	return sig, tpmcrypto.ResponseCode(err)
}

// mlCertified is how many bytes of an NV index TPM2_NV_Certify returns at most with
// a signature of key: what the buffer has room for besides three sessions, the
// structure with the longest names, and the signature. The smallest interface of 4,096
// bytes carries 4,088, a page of the ring.
func mlCertified(d *engine.Device, key *object.Object) int {
	const (
		frame    = 8
		header   = 10 + 4
		sessions = 3 * (2 + tcg.MaxDigestSize + 1 + 2 + tcg.MaxDigestSize)
		attest   = 2 + 4 + 2 + 2 + tcg.MaxNameSize + 2 + 2 + tcg.MaxDigestSize + 17 + 8 + 2 + tcg.MaxNameSize + 2 + 2
	)
	return int(d.BufferSize.Load()) - frame - header - sessions - attest - (2 + 2 + 2 + tcg.MLDSASignatureSize(key.Public.MLDSA.ParameterSet))
}
