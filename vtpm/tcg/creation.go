package tcg

// A TPMSCreationData is the circumstances in which an object was made (Part 2,
// TPMS_CREATION_DATA).
type TPMSCreationData struct {
	PCRSelect           TPMLPCRSelection
	PCRDigest           []byte
	Locality            TPMALocality
	ParentNameAlg       TPMAlgID // TPM_ALG_NULL for a hierarchy
	ParentName          []byte
	ParentQualifiedName []byte
	OutsideInfo         []byte
}

// Marshal appends c.
func (c *TPMSCreationData) Marshal(w *Writer) {
	c.PCRSelect.Marshal(w)
	w.Sized(c.PCRDigest)
	c.Locality.Marshal(w)
	w.Alg(c.ParentNameAlg)
	w.Sized(c.ParentName)
	w.Sized(c.ParentQualifiedName)
	w.Sized(c.OutsideInfo)
}

// Unmarshal reads a TPMS_CREATION_DATA, which aliases r's bytes.
func (c *TPMSCreationData) Unmarshal(r *Reader) {
	c.PCRSelect.Unmarshal(r)
	c.PCRDigest = r.Digest()
	c.Locality.Unmarshal(r)
	c.ParentNameAlg = r.Alg()
	c.ParentName = r.Name()
	c.ParentQualifiedName = r.Name()
	c.OutsideInfo = r.Data()
}

// Marshal2B appends c as a TPM2B_CREATION_DATA.
func (c *TPMSCreationData) Marshal2B(w *Writer) {
	at := w.begin2B()
	c.Marshal(w)
	w.end2B(at)
}
