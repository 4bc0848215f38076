package tcg

// A TPMSPCRSelect is a set of PCRs (Part 2, Table 106). Size is how many bytes
// of PCRSelect were sent, or are to be: from PCRSelectMin to PCRSelectMax.
type TPMSPCRSelect struct {
	Size      uint8
	PCRSelect [PCRSelectMax]byte
}

// SelectPCRs returns the set of the given PCRs, as large as can be.
func SelectPCRs(pcrs ...int) TPMSPCRSelect {
	s := TPMSPCRSelect{Size: PCRSelectMax}
	for _, n := range pcrs {
		s.Set(n)
	}
	return s
}

// Has reports whether PCR n is in s.
func (s *TPMSPCRSelect) Has(n int) bool {
	return uint(n) < 8*uint(s.Size) && uint(n) < ImplementationPCR && s.PCRSelect[n/8]>>(n%8)&1 != 0
}

// Set adds PCR n. One that does not exist is left out.
func (s *TPMSPCRSelect) Set(n int) {
	if uint(n) < ImplementationPCR {
		s.PCRSelect[n/8] |= 1 << (n % 8)
	}
}

// Clear takes PCR n away.
func (s *TPMSPCRSelect) Clear(n int) {
	if uint(n) < ImplementationPCR {
		s.PCRSelect[n/8] &^= 1 << (n % 8)
	}
}

// Empty reports whether s has no PCR.
func (s *TPMSPCRSelect) Empty() bool { return s.PCRSelect == [PCRSelectMax]byte{} }

// Unmarshal reads a TPMS_PCR_SELECT: TPM_RC_VALUE for its size.
func (s *TPMSPCRSelect) Unmarshal(r *Reader) {
	*s = TPMSPCRSelect{Size: r.Uint8()}
	if s.Size < PCRSelectMin || s.Size > PCRSelectMax {
		r.Fail(TPMRCValue)
		s.Size = PCRSelectMin
		return
	}
	copy(s.PCRSelect[:], r.Bytes(int(s.Size)))
}

// Marshal appends s.
func (s *TPMSPCRSelect) Marshal(w *Writer) {
	w.Uint8(s.Size)
	w.Bytes(s.PCRSelect[:s.Size])
}

// A TPMSPCRSelection is a set of PCRs of one bank (Part 2, Table 107).
type TPMSPCRSelection struct {
	Hash TPMAlgID
	TPMSPCRSelect
}

// Unmarshal reads a TPMS_PCR_SELECTION: TPM_RC_HASH, TPM_RC_VALUE.
func (s *TPMSPCRSelection) Unmarshal(r *Reader) {
	s.Hash = r.HashAlg()
	s.TPMSPCRSelect.Unmarshal(r)
}

// Marshal appends s.
func (s *TPMSPCRSelection) Marshal(w *Writer) {
	w.Alg(s.Hash)
	s.TPMSPCRSelect.Marshal(w)
}

// A TPMLPCRSelection is a set of PCRs of several banks (Part 2, Table 128). It
// is a plain value.
type TPMLPCRSelection struct{ List[TPMSPCRSelection] }

// Unmarshal reads a TPML_PCR_SELECTION: TPM_RC_SIZE for more selections than
// hash algorithms, TPM_RC_HASH, TPM_RC_VALUE.
func (l *TPMLPCRSelection) Unmarshal(r *Reader) {
	*l = TPMLPCRSelection{}
	for n := r.count(0, r.Profile.HashCount()); n > 0 && r.err == 0; n-- {
		var s TPMSPCRSelection
		s.Unmarshal(r)
		l.Append(s)
	}
}

// Marshal appends l.
func (l *TPMLPCRSelection) Marshal(w *Writer) {
	w.Uint32(uint32(l.n))
	for i := range l.All() {
		l.items[i].Marshal(w)
	}
}
