package tcg

// A TPMTHA is a digest with its hash algorithm (Part 2, Table 89). Digest has
// as many bytes as HashAlg says, and none for TPM_ALG_NULL.
type TPMTHA struct {
	HashAlg TPMAlgID
	Digest  []byte
}

// Unmarshal reads a TPMT_HA, which aliases r's bytes: TPM_RC_HASH.
func (h *TPMTHA) Unmarshal(r *Reader) {
	h.HashAlg = r.HashAlg()
	h.Digest = r.Bytes(h.HashAlg.DigestSize())
}

// UnmarshalPlus reads a TPMT_HA+, whose algorithm may be TPM_ALG_NULL.
func (h *TPMTHA) UnmarshalPlus(r *Reader) {
	h.HashAlg = r.HashAlgPlus()
	h.Digest = r.Bytes(h.HashAlg.DigestSize())
}

// Marshal appends h.
func (h *TPMTHA) Marshal(w *Writer) {
	w.Alg(h.HashAlg)
	w.Bytes(h.Digest)
}

// Clone returns a copy that shares no memory.
func (h *TPMTHA) Clone() TPMTHA { return TPMTHA{h.HashAlg, clone(h.Digest)} }

// A TPMTSignature is a signature (Part 2, Table 219). Which members have a
// meaning depends on SigAlg.
type TPMTSignature struct {
	SigAlg TPMAlgID
	Hash   TPMAlgID // all but EdDSA and ML-DSA
	Sig    []byte   // RSASSA, RSAPSS, EdDSA, ML-DSA
	R, S   []byte   // ECDSA, ECDAA, SM2, ECSchnorr
	HMAC   []byte   // HMAC: a digest of Hash
}

// Unmarshal reads a TPMT_SIGNATURE, which aliases r's bytes: TPM_RC_SCHEME for
// the algorithm, TPM_RC_HASH, TPM_RC_SIZE.
func (s *TPMTSignature) Unmarshal(r *Reader) { s.unmarshal(r, false) }

// UnmarshalPlus reads a TPMT_SIGNATURE+, which may be TPM_ALG_NULL.
func (s *TPMTSignature) UnmarshalPlus(r *Reader) { s.unmarshal(r, true) }

func (s *TPMTSignature) unmarshal(r *Reader, null bool) {
	*s = TPMTSignature{SigAlg: r.sigScheme(null)}
	if r.err != 0 {
		return
	}
	switch s.SigAlg {
	case TPMAlgRSASSA, TPMAlgRSAPSS:
		s.Hash = r.HashAlg()
		s.Sig = r.PublicKeyRSA()
	case TPMAlgECDSA, TPMAlgECDAA, TPMAlgSM2, TPMAlgECSchnorr:
		s.Hash = r.HashAlg()
		s.R = r.ECCParameter()
		s.S = r.ECCParameter()
	case TPMAlgEDDSA, TPMAlgEDDSAPH:
		s.Sig = r.Sized(2 * MaxECCKeyBytes)
	case TPMAlgMLDSA:
		s.Sig = r.Sized(MaxSignatureSize)
	case TPMAlgHashMLDSA:
		s.Hash = r.HashAlg()
		s.Sig = r.Sized(MaxSignatureSize)
	case TPMAlgHMAC:
		s.Hash = r.HashAlg()
		s.HMAC = r.Bytes(s.Hash.DigestSize())
	}
}

// Marshal appends s.
func (s *TPMTSignature) Marshal(w *Writer) {
	w.Alg(s.SigAlg)
	switch s.SigAlg {
	case TPMAlgRSASSA, TPMAlgRSAPSS, TPMAlgHashMLDSA:
		w.Alg(s.Hash)
		w.Sized(s.Sig)
	case TPMAlgECDSA, TPMAlgECDAA, TPMAlgSM2, TPMAlgECSchnorr:
		w.Alg(s.Hash)
		w.Sized(s.R)
		w.Sized(s.S)
	case TPMAlgEDDSA, TPMAlgEDDSAPH, TPMAlgMLDSA:
		w.Sized(s.Sig)
	case TPMAlgHMAC:
		w.Alg(s.Hash)
		w.Bytes(s.HMAC)
	}
}
