package tcg

// A TPMSNVPublic is the public area of an NV index (Part 2, Table 251).
type TPMSNVPublic struct {
	NVIndex    TPMHandle
	NameAlg    TPMAlgID
	Attributes TPMANV
	AuthPolicy []byte
	DataSize   uint16
}

// Unmarshal reads a TPMS_NV_PUBLIC, which aliases r's bytes: TPM_RC_VALUE for
// the index, TPM_RC_HASH, TPM_RC_RESERVED_BITS, TPM_RC_SIZE for the policy or
// the size of the data.
func (p *TPMSNVPublic) Unmarshal(r *Reader) { p.unmarshal(r, TPMIRHNVLegacyIndex) }

func (p *TPMSNVPublic) unmarshal(r *Reader, t HandleType) {
	p.NVIndex = r.Handle(t)
	p.NameAlg = r.HashAlg()
	p.Attributes.Unmarshal(r)
	p.AuthPolicy = r.Digest()
	p.DataSize = r.nvDataSize()
}

func (r *Reader) nvDataSize() uint16 {
	n := r.Uint16()
	if int(n) > r.Profile.NVIndexSize() {
		r.Fail(TPMRCSize)
	}
	return n
}

// Marshal appends p.
func (p *TPMSNVPublic) Marshal(w *Writer) {
	w.Handle(p.NVIndex)
	w.Alg(p.NameAlg)
	w.Uint32(uint32(p.Attributes))
	w.Sized(p.AuthPolicy)
	w.Uint16(p.DataSize)
}

// Unmarshal2B reads a TPM2B_NV_PUBLIC (Part 2, Table 252).
func (p *TPMSNVPublic) Unmarshal2B(r *Reader) {
	left := r.begin2B()
	p.Unmarshal(r)
	r.end2B(left)
}

// Marshal2B appends p as a TPM2B_NV_PUBLIC.
func (p *TPMSNVPublic) Marshal2B(w *Writer) {
	at := w.begin2B()
	p.Marshal(w)
	w.end2B(at)
}

// Clone returns a copy that shares no memory.
func (p *TPMSNVPublic) Clone() TPMSNVPublic {
	q := *p
	q.AuthPolicy = clone(p.AuthPolicy)
	return q
}

// A TPMTNVPublic2 is the public area of an NV index of any kind (Part 2, Table
// 255). The kind is the most significant byte of NVIndex; only an external
// index has more attributes than TPMA_NV.
type TPMTNVPublic2 struct {
	NVIndex    TPMHandle
	NameAlg    TPMAlgID
	Attributes TPMANVExp
	AuthPolicy []byte
	DataSize   uint16
}

// Unmarshal reads a TPMT_NV_PUBLIC_2, which aliases r's bytes: TPM_RC_SELECTOR
// for a type of handle that is none of NV, TPM_RC_VALUE for an index of
// another type, and otherwise as TPMSNVPublic.
func (p *TPMTNVPublic2) Unmarshal(r *Reader) {
	*p = TPMTNVPublic2{}
	t := TPMHT(r.Uint8())
	switch t {
	case TPMHTExternalNV:
		p.NVIndex = r.Handle(TPMIRHNVExpIndex)
		p.NameAlg = r.HashAlg()
		p.Attributes.Unmarshal(r)
		p.AuthPolicy = r.Digest()
		p.DataSize = r.nvDataSize()
	case TPMHTNVIndex, TPMHTPermanentNV:
		var q TPMSNVPublic
		q.unmarshal(r, TPMIRHNVIndex)
		*p = q.Public2()
		if p.NVIndex.Type() != t {
			r.Fail(TPMRCValue)
		}
	default:
		r.Fail(TPMRCSelector)
	}
}

// Marshal appends p.
func (p *TPMTNVPublic2) Marshal(w *Writer) {
	w.Uint8(uint8(p.NVIndex.Type()))
	p.MarshalArea(w)
}

// MarshalArea appends p without its type of handle: what the Name of the index
// is the digest of (Part 3, 31.18.1).
func (p *TPMTNVPublic2) MarshalArea(w *Writer) {
	if p.NVIndex.Type() != TPMHTExternalNV {
		q := p.Public()
		q.Marshal(w)
		return
	}
	w.Handle(p.NVIndex)
	w.Alg(p.NameAlg)
	w.Uint64(uint64(p.Attributes))
	w.Sized(p.AuthPolicy)
	w.Uint16(p.DataSize)
}

// Unmarshal2B reads a TPM2B_NV_PUBLIC_2 (Part 2, Table 256).
func (p *TPMTNVPublic2) Unmarshal2B(r *Reader) {
	left := r.begin2B()
	p.Unmarshal(r)
	r.end2B(left)
}

// Marshal2B appends p as a TPM2B_NV_PUBLIC_2.
func (p *TPMTNVPublic2) Marshal2B(w *Writer) {
	at := w.begin2B()
	p.Marshal(w)
	w.end2B(at)
}

// Public returns the part of p that every NV index has.
func (p *TPMTNVPublic2) Public() TPMSNVPublic {
	return TPMSNVPublic{p.NVIndex, p.NameAlg, p.Attributes.NV(), p.AuthPolicy, p.DataSize}
}

// Public2 returns p in the general form.
func (p *TPMSNVPublic) Public2() TPMTNVPublic2 {
	return TPMTNVPublic2{p.NVIndex, p.NameAlg, TPMANVExp(p.Attributes), p.AuthPolicy, p.DataSize}
}

// A TPMSNVPinCounterParameters is the data of a PIN index (Part 2, Table 248).
type TPMSNVPinCounterParameters struct {
	PinCount, PinLimit uint32
}

// Unmarshal reads a TPMS_NV_PIN_COUNTER_PARAMETERS.
func (p *TPMSNVPinCounterParameters) Unmarshal(r *Reader) {
	p.PinCount = r.Uint32()
	p.PinLimit = r.Uint32()
}

// Marshal appends p.
func (p *TPMSNVPinCounterParameters) Marshal(w *Writer) {
	w.Uint32(p.PinCount)
	w.Uint32(p.PinLimit)
}
