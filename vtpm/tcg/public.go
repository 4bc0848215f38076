package tcg

// A TPMSKeyedHashParms is the parameters of a keyed hash object (Part 2, Table
// 227).
type TPMSKeyedHashParms struct {
	Scheme TPMTKeyedHashScheme
}

// A TPMSRSAParms is the parameters of an RSA key (Part 2, Table 228).
type TPMSRSAParms struct {
	Symmetric TPMTSymDefObject
	Scheme    TPMTRSAScheme
	KeyBits   uint16
	Exponent  uint32 // 0 means 65537
}

// A TPMSECCParms is the parameters of an ECC key (Part 2, Table 229).
type TPMSECCParms struct {
	Symmetric TPMTSymDefObject
	Scheme    TPMTECCScheme
	CurveID   TPMECCCurve
	KDF       TPMTKDFScheme
}

// A TPMTPublicParms is a type of object and its parameters (Part 2, Table
// 234). Only the member that belongs to Type has a meaning.
type TPMTPublicParms struct {
	Type      TPMAlgID
	KeyedHash TPMSKeyedHashParms // TPM_ALG_KEYEDHASH
	Sym       TPMTSymDefObject   // TPM_ALG_SYMCIPHER
	RSA       TPMSRSAParms       // TPM_ALG_RSA
	ECC       TPMSECCParms       // TPM_ALG_ECC
	MLDSA     TPMSMLDSAParms     // TPM_ALG_MLDSA, TPM_ALG_HASH_MLDSA
	MLKEM     TPMSMLKEMParms     // TPM_ALG_MLKEM
}

// A TPMTPublic is the public area of an object (Part 2, Table 235). The
// parameters and the unique field are unions in the specification; here only
// the members that belong to Type have a meaning.
type TPMTPublic struct {
	Type             TPMAlgID
	NameAlg          TPMAlgID
	ObjectAttributes TPMAObject
	AuthPolicy       []byte

	KeyedHash TPMSKeyedHashParms // TPM_ALG_KEYEDHASH
	Sym       TPMTSymDefObject   // TPM_ALG_SYMCIPHER
	RSA       TPMSRSAParms       // TPM_ALG_RSA
	ECC       TPMSECCParms       // TPM_ALG_ECC
	MLDSA     TPMSMLDSAParms     // TPM_ALG_MLDSA, TPM_ALG_HASH_MLDSA
	MLKEM     TPMSMLKEMParms     // TPM_ALG_MLKEM

	UniqueDigest []byte       // TPM_ALG_KEYEDHASH, TPM_ALG_SYMCIPHER
	UniqueRSA    []byte       // TPM_ALG_RSA: modulus
	UniqueECC    TPMSECCPoint // TPM_ALG_ECC
	UniqueML     []byte       // TPM_ALG_MLDSA, TPM_ALG_HASH_MLDSA, TPM_ALG_MLKEM
}

// maxPublicSize is the most bytes that a TPMT_PUBLIC takes.
const maxPublicSize = 2 + 2 + 4 + 2 + MaxDigestSize + 32 + 2 + MaxMLDSAPubSize

// unmarshalParms reads the parameters that belong to p.Type.
func (p *TPMTPublic) unmarshalParms(r *Reader) {
	switch p.Type {
	case TPMAlgRSA:
		p.RSA.Symmetric.UnmarshalPlus(r)
		p.RSA.Scheme.UnmarshalRSA(r, true)
		p.RSA.KeyBits = r.Uint16()
		if !r.Profile.RSABits(int(p.RSA.KeyBits)) {
			r.Fail(TPMRCValue)
		}
		p.RSA.Exponent = r.Uint32()
	case TPMAlgECC:
		p.ECC.Symmetric.UnmarshalPlus(r)
		p.ECC.Scheme.UnmarshalECC(r, true)
		p.ECC.CurveID = r.Curve()
		p.ECC.KDF.UnmarshalKDF(r, true)
	case TPMAlgKeyedHash:
		p.KeyedHash.Scheme.Unmarshal(r, true)
	case TPMAlgSymCipher:
		p.Sym.Unmarshal(r)
	case TPMAlgMLDSA:
		p.MLDSA.ParameterSet = r.parameterSet(p.Type)
		p.MLDSA.AllowExternalMu = r.YesNo()
	case TPMAlgHashMLDSA:
		p.MLDSA.ParameterSet = r.parameterSet(p.Type)
		p.MLDSA.HashAlg = r.HashAlg()
	case TPMAlgMLKEM:
		p.MLKEM.Symmetric.UnmarshalPlus(r)
		p.MLKEM.ParameterSet = r.parameterSet(p.Type)
	}
}

// marshalParms appends the parameters that belong to p.Type.
func (p *TPMTPublic) marshalParms(w *Writer) {
	switch p.Type {
	case TPMAlgRSA:
		p.RSA.Symmetric.Marshal(w)
		p.RSA.Scheme.Marshal(w)
		w.Uint16(p.RSA.KeyBits)
		w.Uint32(p.RSA.Exponent)
	case TPMAlgECC:
		p.ECC.Symmetric.Marshal(w)
		p.ECC.Scheme.Marshal(w)
		w.Uint16(uint16(p.ECC.CurveID))
		p.ECC.KDF.Marshal(w)
	case TPMAlgKeyedHash:
		p.KeyedHash.Scheme.Marshal(w)
	case TPMAlgSymCipher:
		p.Sym.Marshal(w)
	case TPMAlgMLDSA:
		w.Uint16(p.MLDSA.ParameterSet)
		w.YesNo(p.MLDSA.AllowExternalMu)
	case TPMAlgHashMLDSA:
		w.Uint16(p.MLDSA.ParameterSet)
		w.Alg(p.MLDSA.HashAlg)
	case TPMAlgMLKEM:
		p.MLKEM.Symmetric.Marshal(w)
		w.Uint16(p.MLKEM.ParameterSet)
	}
}

// Unmarshal reads a TPMT_PUBLIC; its byte strings alias r's bytes, so what is
// kept has to be cloned. Failures: TPM_RC_TYPE, TPM_RC_HASH,
// TPM_RC_RESERVED_BITS, TPM_RC_SIZE, and those of the parameters.
func (p *TPMTPublic) Unmarshal(r *Reader) { p.unmarshal(r, false) }

// UnmarshalPlus reads a TPMT_PUBLIC+, whose nameAlg may be TPM_ALG_NULL.
func (p *TPMTPublic) UnmarshalPlus(r *Reader) { p.unmarshal(r, true) }

func (p *TPMTPublic) unmarshal(r *Reader, null bool) {
	p.unmarshalHead(r, null)
	if r.err != 0 {
		return
	}
	p.unmarshalUnique(r)
}

// unmarshalHead reads all before the unique field.
func (p *TPMTPublic) unmarshalHead(r *Reader, null bool) {
	*p = TPMTPublic{Type: r.PublicType()}
	if null {
		p.NameAlg = r.HashAlgPlus()
	} else {
		p.NameAlg = r.HashAlg()
	}
	p.ObjectAttributes.Unmarshal(r)
	p.AuthPolicy = r.Digest()
	if r.err == 0 {
		p.unmarshalParms(r)
	}
}

func (p *TPMTPublic) unmarshalUnique(r *Reader) {
	switch p.Type {
	case TPMAlgRSA:
		p.UniqueRSA = r.PublicKeyRSA()
	case TPMAlgECC:
		p.UniqueECC.Unmarshal(r)
	case TPMAlgMLDSA, TPMAlgHashMLDSA:
		p.UniqueML = r.Sized(MaxMLDSAPubSize)
	case TPMAlgMLKEM:
		p.UniqueML = r.Sized(MaxMLKEMPubSize)
	default:
		p.UniqueDigest = r.Digest()
	}
}

// Marshal appends p.
func (p *TPMTPublic) Marshal(w *Writer) {
	w.Alg(p.Type)
	w.Alg(p.NameAlg)
	w.Uint32(uint32(p.ObjectAttributes))
	w.Sized(p.AuthPolicy)
	p.marshalParms(w)
	switch p.Type {
	case TPMAlgRSA:
		w.Sized(p.UniqueRSA)
	case TPMAlgECC:
		p.UniqueECC.Marshal(w)
	case TPMAlgMLDSA, TPMAlgHashMLDSA, TPMAlgMLKEM:
		w.Sized(p.UniqueML)
	default:
		w.Sized(p.UniqueDigest)
	}
}

// Unmarshal2B reads a TPM2B_PUBLIC (Part 2, Table 236).
func (p *TPMTPublic) Unmarshal2B(r *Reader) { p.unmarshal2B(r, false) }

// Unmarshal2BPlus reads a TPM2B_PUBLIC+, whose nameAlg may be TPM_ALG_NULL.
func (p *TPMTPublic) Unmarshal2BPlus(r *Reader) { p.unmarshal2B(r, true) }

func (p *TPMTPublic) unmarshal2B(r *Reader, null bool) {
	left := r.begin2B()
	p.unmarshal(r, null)
	r.end2B(left)
}

// Marshal2B appends p as a TPM2B_PUBLIC.
func (p *TPMTPublic) Marshal2B(w *Writer) {
	at := w.begin2B()
	p.Marshal(w)
	w.end2B(at)
}

// UnmarshalTemplate reads the content of a TPM2B_TEMPLATE for
// TPM2_CreateLoaded (Part 2, Table 237): a TPMT_PUBLIC, in which for a
// derivation parent the unique field is a TPMS_DERIVE, returned apart.
func (p *TPMTPublic) UnmarshalTemplate(r *Reader, derive bool) (d TPMSDerive) {
	if !derive {
		p.Unmarshal(r)
		return d
	}
	p.unmarshalHead(r, false)
	d.Unmarshal(r)
	return d
}

// Clone returns a copy that shares no memory.
func (p *TPMTPublic) Clone() TPMTPublic {
	q := *p
	q.AuthPolicy = clone(p.AuthPolicy)
	q.UniqueDigest = clone(p.UniqueDigest)
	q.UniqueRSA = clone(p.UniqueRSA)
	q.UniqueECC = p.UniqueECC.Clone()
	q.UniqueML = clone(p.UniqueML)
	return q
}

// Symmetric returns the cipher that protects the children of a parent, which
// is TPM_ALG_NULL or zero for what can have none.
func (p *TPMTPublic) Symmetric() TPMTSymDefObject {
	switch p.Type {
	case TPMAlgRSA:
		return p.RSA.Symmetric
	case TPMAlgECC:
		return p.ECC.Symmetric
	case TPMAlgSymCipher:
		return p.Sym
	case TPMAlgMLKEM:
		return p.MLKEM.Symmetric
	}
	return TPMTSymDefObject{Algorithm: TPMAlgNull}
}

// Unmarshal reads a TPMT_PUBLIC_PARMS.
func (p *TPMTPublicParms) Unmarshal(r *Reader) {
	q := TPMTPublic{Type: r.PublicType()}
	if r.err == 0 {
		q.unmarshalParms(r)
	}
	*p = TPMTPublicParms{q.Type, q.KeyedHash, q.Sym, q.RSA, q.ECC, q.MLDSA, q.MLKEM}
}

// Marshal appends p.
func (p *TPMTPublicParms) Marshal(w *Writer) {
	w.Alg(p.Type)
	q := TPMTPublic{Type: p.Type, KeyedHash: p.KeyedHash, Sym: p.Sym, RSA: p.RSA, ECC: p.ECC,
		MLDSA: p.MLDSA, MLKEM: p.MLKEM}
	q.marshalParms(w)
}
