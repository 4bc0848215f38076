package tcg

// A TPMTSymDef selects a symmetric algorithm for a session (Part 2, Table
// 162). KeyBits and Mode belong to block ciphers, XORHash to TPM_ALG_XOR.
type TPMTSymDef struct {
	Algorithm TPMAlgID
	KeyBits   uint16
	Mode      TPMAlgID
	XORHash   TPMAlgID
}

// A TPMTSymDefObject selects the block cipher of an object (Part 2, Table
// 163).
type TPMTSymDefObject struct {
	Algorithm TPMAlgID
	KeyBits   uint16
	Mode      TPMAlgID
}

// keyBitsMode takes the key size (TPM_RC_VALUE) and mode (TPM_RC_MODE) of a
// block cipher.
func (r *Reader) keyBitsMode(a TPMAlgID) (bits uint16, mode TPMAlgID) {
	bits = r.Uint16()
	if !r.Profile.SymBits(a, int(bits)) {
		r.Fail(TPMRCValue)
	}
	return bits, r.SymModePlus()
}

// Unmarshal reads a TPMT_SYM_DEF: TPM_RC_SYMMETRIC for the algorithm,
// TPM_RC_VALUE for the key size, TPM_RC_MODE, TPM_RC_HASH.
func (s *TPMTSymDef) Unmarshal(r *Reader) { s.unmarshal(r, false) }

// UnmarshalPlus reads a TPMT_SYM_DEF+, which may be TPM_ALG_NULL.
func (s *TPMTSymDef) UnmarshalPlus(r *Reader) { s.unmarshal(r, true) }

func (s *TPMTSymDef) unmarshal(r *Reader, null bool) {
	*s = TPMTSymDef{Algorithm: r.Alg()}
	switch a := s.Algorithm; {
	case a == TPMAlgNull && null:
	case a == TPMAlgXOR && r.Profile.HasAlg(a):
		s.XORHash = r.HashAlg()
	case a.BlockSize() != 0 && r.Profile.HasAlg(a):
		s.KeyBits, s.Mode = r.keyBitsMode(a)
	default:
		r.Fail(TPMRCSymmetric)
	}
}

// Marshal appends s.
func (s *TPMTSymDef) Marshal(w *Writer) {
	w.Alg(s.Algorithm)
	switch s.Algorithm {
	case TPMAlgNull:
	case TPMAlgXOR:
		w.Alg(s.XORHash)
	default:
		w.Uint16(s.KeyBits)
		w.Alg(s.Mode)
	}
}

// Unmarshal reads a TPMT_SYM_DEF_OBJECT: TPM_RC_SYMMETRIC for the algorithm,
// TPM_RC_VALUE for the key size, TPM_RC_MODE.
func (s *TPMTSymDefObject) Unmarshal(r *Reader) { s.unmarshal(r, false) }

// UnmarshalPlus reads a TPMT_SYM_DEF_OBJECT+, which may be TPM_ALG_NULL.
func (s *TPMTSymDefObject) UnmarshalPlus(r *Reader) { s.unmarshal(r, true) }

func (s *TPMTSymDefObject) unmarshal(r *Reader, null bool) {
	*s = TPMTSymDefObject{Algorithm: r.Alg()}
	switch a := s.Algorithm; {
	case a == TPMAlgNull && null:
	case a.BlockSize() != 0 && r.Profile.HasAlg(a):
		s.KeyBits, s.Mode = r.keyBitsMode(a)
	default:
		r.Fail(TPMRCSymmetric)
	}
}

// Marshal appends s.
func (s *TPMTSymDefObject) Marshal(w *Writer) {
	w.Alg(s.Algorithm)
	if s.Algorithm != TPMAlgNull {
		w.Uint16(s.KeyBits)
		w.Alg(s.Mode)
	}
}
