package tcg

import "math/bits"

// maxList is the most elements that a List holds.
const maxList = 8

// A List is a short list of Part 2 that needs no memory of its own.
type List[T any] struct {
	n     int
	items [maxList]T
}

// Len returns the number of elements.
func (l *List[T]) Len() int { return l.n }

// At returns element i, which is below Len.
func (l *List[T]) At(i int) *T { return &l.items[:l.n][i] }

// All returns the elements: not a copy.
func (l *List[T]) All() []T { return l.items[:l.n] }

// Append adds an element, and reports whether there was room.
func (l *List[T]) Append(v T) bool {
	if l.n == maxList {
		return false
	}
	l.items[l.n] = v
	l.n++
	return true
}

// hashBits has a bit for each hash algorithm that this package knows.
const hashBits = 1<<TPMAlgSHA1 | 1<<TPMAlgSHA256 | 1<<TPMAlgSHA384 | 1<<TPMAlgSHA512 | 1<<TPMAlgSM3256 |
	1<<TPMAlgSHA3256 | 1<<TPMAlgSHA3384 | 1<<TPMAlgSHA3512

// HashCount is Part 2's HASH_COUNT: the number of hash algorithms that the TPM
// offers.
func (p *Profile) HashCount() int {
	if p == nil {
		return HashCount
	}
	return bits.OnesCount64(p.algs[0] & hashBits)
}

// count takes the count of a list of at least lo and at most hi elements, else
// TPM_RC_SIZE.
func (r *Reader) count(lo, hi int) int {
	n := r.Uint32()
	if r.err == 0 && (uint64(n) < uint64(lo) || uint64(n) > uint64(hi)) {
		r.Fail(TPMRCSize)
	}
	if r.err != 0 {
		return 0
	}
	return int(n)
}

// A TPMLDigest is a list of digests (Part 2, Table 126).
type TPMLDigest struct{ List[[]byte] }

// Unmarshal reads a TPML_DIGEST for TPM2_PolicyOR: two to eight digests, else
// TPM_RC_SIZE. They alias r's bytes.
func (l *TPMLDigest) Unmarshal(r *Reader) { l.unmarshal(r, 2) }

// UnmarshalAny is Unmarshal without the lower limit.
func (l *TPMLDigest) UnmarshalAny(r *Reader) { l.unmarshal(r, 0) }

func (l *TPMLDigest) unmarshal(r *Reader, lo int) {
	l.n = 0
	for n := r.count(lo, MaxDigestList); n > 0 && r.err == 0; n-- {
		l.Append(r.Digest())
	}
}

// Marshal appends l.
func (l *TPMLDigest) Marshal(w *Writer) {
	w.Uint32(uint32(l.n))
	for _, d := range l.All() {
		w.Sized(d)
	}
}

// A TPMLDigestValues is a list of digests of several algorithms (Part 2, Table
// 127).
type TPMLDigestValues struct{ List[TPMTHA] }

// Unmarshal reads a TPML_DIGEST_VALUES, which aliases r's bytes: TPM_RC_SIZE
// for more digests than hash algorithms, TPM_RC_HASH.
func (l *TPMLDigestValues) Unmarshal(r *Reader) {
	l.n = 0
	for n := r.count(0, r.Profile.HashCount()); n > 0 && r.err == 0; n-- {
		var h TPMTHA
		h.Unmarshal(r)
		l.Append(h)
	}
}

// Marshal appends l.
func (l *TPMLDigestValues) Marshal(w *Writer) {
	w.Uint32(uint32(l.n))
	for i := range l.All() {
		l.items[i].Marshal(w)
	}
}

// A TPMLCC is a list of command codes (Part 2, Table 122).
type TPMLCC []TPMCC

// Unmarshal reads a TPML_CC: TPM_RC_SIZE for more than MaxCapCC.
func (l *TPMLCC) Unmarshal(r *Reader) {
	n := r.count(0, MaxCapCC)
	*l = make(TPMLCC, 0, min(n, r.Len()/4))
	for ; n > 0 && r.err == 0; n-- {
		*l = append(*l, TPMCC(r.Uint32()))
	}
}

// Marshal appends l.
func (l TPMLCC) Marshal(w *Writer) {
	w.Uint32(uint32(len(l)))
	for _, cc := range l {
		w.Uint32(uint32(cc))
	}
}

// A TPMLAlg is a list of algorithms (Part 2, Table 124).
type TPMLAlg []TPMAlgID

// Unmarshal reads a TPML_ALG: TPM_RC_SIZE for more than MaxAlgListSize.
func (l *TPMLAlg) Unmarshal(r *Reader) {
	n := r.count(0, MaxAlgListSize)
	*l = make(TPMLAlg, 0, min(n, r.Len()/2))
	for ; n > 0 && r.err == 0; n-- {
		*l = append(*l, r.Alg())
	}
}

// Marshal appends l.
func (l TPMLAlg) Marshal(w *Writer) {
	w.Uint32(uint32(len(l)))
	for _, a := range l {
		w.Alg(a)
	}
}
