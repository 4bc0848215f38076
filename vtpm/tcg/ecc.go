package tcg

// A TPMSECCPoint is a point of a curve (Part 2, Table 198). Coordinates are
// big-endian.
type TPMSECCPoint struct {
	X, Y []byte
}

// Unmarshal reads a TPMS_ECC_POINT; its coordinates alias r's bytes.
func (p *TPMSECCPoint) Unmarshal(r *Reader) {
	p.X = r.ECCParameter()
	p.Y = r.ECCParameter()
}

// Marshal appends p.
func (p *TPMSECCPoint) Marshal(w *Writer) {
	w.Sized(p.X)
	w.Sized(p.Y)
}

// Unmarshal2B reads a TPM2B_ECC_POINT (Part 2, Table 199).
func (p *TPMSECCPoint) Unmarshal2B(r *Reader) {
	left := r.begin2B()
	p.Unmarshal(r)
	r.end2B(left)
}

// Marshal2B appends p as a TPM2B_ECC_POINT.
func (p *TPMSECCPoint) Marshal2B(w *Writer) {
	at := w.begin2B()
	p.Marshal(w)
	w.end2B(at)
}

// Clone returns a copy that shares no memory.
func (p *TPMSECCPoint) Clone() TPMSECCPoint { return TPMSECCPoint{clone(p.X), clone(p.Y)} }

// A TPMSAlgorithmDetailECC is the parameters of a curve (Part 2, Table 204).
type TPMSAlgorithmDetailECC struct {
	CurveID TPMECCCurve
	KeySize uint16 // bits
	KDF     TPMTKDFScheme
	Sign    TPMTECCScheme
	P       []byte // the field's prime
	A, B    []byte // coefficients
	GX, GY  []byte // base point
	N       []byte // its order
	H       []byte // cofactor
}

// Marshal appends d.
func (d *TPMSAlgorithmDetailECC) Marshal(w *Writer) {
	w.Uint16(uint16(d.CurveID))
	w.Uint16(d.KeySize)
	d.KDF.Marshal(w)
	d.Sign.Marshal(w)
	for _, b := range [...][]byte{d.P, d.A, d.B, d.GX, d.GY, d.N, d.H} {
		w.Sized(b)
	}
}

// Unmarshal reads a TPMS_ALGORITHM_DETAIL_ECC.
func (d *TPMSAlgorithmDetailECC) Unmarshal(r *Reader) {
	d.CurveID = TPMECCCurve(r.Uint16())
	d.KeySize = r.Uint16()
	d.KDF.UnmarshalKDF(r, true)
	d.Sign.UnmarshalECC(r, true)
	for _, b := range [...]*[]byte{&d.P, &d.A, &d.B, &d.GX, &d.GY, &d.N, &d.H} {
		*b = r.ECCParameter()
	}
}
