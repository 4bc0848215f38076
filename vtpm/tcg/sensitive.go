package tcg

// A TPMSDerive is the label and context of a derived object (Part 2, Table
// 167).
type TPMSDerive struct {
	Label, Context []byte
}

// Unmarshal reads a TPMS_DERIVE.
func (d *TPMSDerive) Unmarshal(r *Reader) {
	d.Label = r.Label()
	d.Context = r.Label()
}

// Marshal appends d.
func (d *TPMSDerive) Marshal(w *Writer) {
	w.Sized(d.Label)
	w.Sized(d.Context)
}

// A TPMSSensitiveCreate is the secrets that a caller gives for a new object
// (Part 2, Table 171). For a derived object Data holds a TPMS_DERIVE.
type TPMSSensitiveCreate struct {
	UserAuth []byte
	Data     []byte
}

// Unmarshal reads a TPMS_SENSITIVE_CREATE, which aliases r's bytes.
func (s *TPMSSensitiveCreate) Unmarshal(r *Reader) {
	s.UserAuth = r.Digest()
	s.Data = r.SensitiveData()
}

// Marshal appends s.
func (s *TPMSSensitiveCreate) Marshal(w *Writer) {
	w.Sized(s.UserAuth)
	w.Sized(s.Data)
}

// Unmarshal2B reads a TPM2B_SENSITIVE_CREATE (Part 2, Table 172).
func (s *TPMSSensitiveCreate) Unmarshal2B(r *Reader) {
	left := r.begin2B()
	s.Unmarshal(r)
	r.end2B(left)
}

// Marshal2B appends s as a TPM2B_SENSITIVE_CREATE.
func (s *TPMSSensitiveCreate) Marshal2B(w *Writer) {
	at := w.begin2B()
	s.Marshal(w)
	w.end2B(at)
}

// A TPMTSensitive is the secret area of an object (Part 2, Table 240).
// Sensitive is, by SensitiveType, a prime of an RSA key, an ECC scalar, the
// data of a keyed hash object, a symmetric key, or the seed of an ML key.
type TPMTSensitive struct {
	SensitiveType TPMAlgID
	AuthValue     []byte
	SeedValue     []byte
	Sensitive     []byte
}

// sensitiveLimit is the most bytes of secret for a type of object (Part 2,
// Table 239).
func sensitiveLimit(t TPMAlgID) int {
	switch t {
	case TPMAlgRSA:
		return MaxRSAKeyBytes / 2
	case TPMAlgECC:
		return MaxECCKeyBytes
	case TPMAlgKeyedHash:
		return MaxSymData
	case TPMAlgSymCipher:
		return MaxDigestSize // MAX_SYM_KEY_BYTES
	case TPMAlgMLKEM:
		return MLKEMPrivateSize
	case TPMAlgMLDSA, TPMAlgHashMLDSA:
		return MLDSAPrivateSize
	}
	return 0
}

// Unmarshal reads a TPMT_SENSITIVE, which aliases r's bytes: TPM_RC_TYPE,
// TPM_RC_SIZE.
func (s *TPMTSensitive) Unmarshal(r *Reader) {
	s.SensitiveType = r.PublicType()
	s.AuthValue = r.Digest()
	s.SeedValue = r.Digest()
	s.Sensitive = r.Sized(sensitiveLimit(s.SensitiveType))
	if (s.SensitiveType == TPMAlgMLKEM || s.SensitiveType == TPMAlgMLDSA || s.SensitiveType == TPMAlgHashMLDSA) &&
		len(s.Sensitive) != sensitiveLimit(s.SensitiveType) {
		r.Fail(TPMRCSize)
	}
}

// Marshal appends s.
func (s *TPMTSensitive) Marshal(w *Writer) {
	w.Alg(s.SensitiveType)
	w.Sized(s.AuthValue)
	w.Sized(s.SeedValue)
	w.Sized(s.Sensitive)
}

// Unmarshal2B reads a TPM2B_SENSITIVE (Part 2, Table 241) and reports whether
// there was one: its size may be zero.
func (s *TPMTSensitive) Unmarshal2B(r *Reader) (present bool) {
	*s = TPMTSensitive{}
	if len(r.b) >= 2 && r.b[0]|r.b[1] == 0 {
		r.Uint16()
		return false
	}
	left := r.begin2B()
	s.Unmarshal(r)
	r.end2B(left)
	return r.err == 0
}

// Marshal2B appends s as a TPM2B_SENSITIVE.
func (s *TPMTSensitive) Marshal2B(w *Writer) {
	at := w.begin2B()
	s.Marshal(w)
	w.end2B(at)
}

// Clone returns a copy that shares no memory.
func (s *TPMTSensitive) Clone() TPMTSensitive {
	return TPMTSensitive{s.SensitiveType, clone(s.AuthValue), clone(s.SeedValue), clone(s.Sensitive)}
}

// Wipe overwrites the secrets and forgets them. It must not be called on what
// still aliases a command.
func (s *TPMTSensitive) Wipe() {
	clear(s.AuthValue)
	clear(s.SeedValue)
	clear(s.Sensitive)
	*s = TPMTSensitive{}
}
