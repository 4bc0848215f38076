package tcg

// An Unmarshaler reads itself from r. A failure sticks in r (see Reader.Fail).
type Unmarshaler interface{ Unmarshal(r *Reader) }

// A Marshaler appends its wire form to w.
type Marshaler interface{ Marshal(w *Writer) }

// A Reader takes apart hostile bytes. Its first failure sticks: every later
// call returns zero values, and Err tells the response code.
type Reader struct {
	b   []byte
	err TPMRC

	// Profile decides which algorithms and sizes unmarshalling accepts.
	Profile *Profile
}

// NewReader returns a Reader over b, which is not copied.
func NewReader(b []byte, p *Profile) Reader { return Reader{b: b, Profile: p} }

// Fail makes rc stick unless an earlier failure did.
func (r *Reader) Fail(rc TPMRC) {
	if r.err == 0 {
		r.err = rc
		r.b = nil
	}
}

// Err returns the first failure, or TPMRCSuccess.
func (r *Reader) Err() TPMRC { return r.err }

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.b) }

// Bytes takes the next n bytes, without copying. Too few left is
// TPM_RC_INSUFFICIENT.
func (r *Reader) Bytes(n int) []byte {
	if r.err != 0 {
		return nil
	}
	if n < 0 || n > len(r.b) {
		r.Fail(TPMRCInsufficient)
		return nil
	}
	v := r.b[:n:n] // capacity too, so that append cannot reach the rest
	r.b = r.b[n:]
	return v
}

// Rest takes all bytes that are left.
func (r *Reader) Rest() []byte { return r.Bytes(len(r.b)) }

// Uint8 takes one byte.
func (r *Reader) Uint8() uint8 {
	if len(r.b) < 1 {
		r.Fail(TPMRCInsufficient)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// Uint16 takes a big-endian 16-bit number.
func (r *Reader) Uint16() uint16 {
	b := r.Bytes(2)
	if b == nil {
		return 0
	}
	return uint16(b[0])<<8 | uint16(b[1])
}

// Uint32 takes a big-endian 32-bit number.
func (r *Reader) Uint32() uint32 {
	b := r.Bytes(4)
	if b == nil {
		return 0
	}
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// Uint64 takes a big-endian 64-bit number.
func (r *Reader) Uint64() uint64 {
	hi := r.Uint32()
	return uint64(hi)<<32 | uint64(r.Uint32())
}

// Sized takes a TPM2B: a 16-bit size and that many bytes, without copying. A
// size above limit is TPM_RC_SIZE.
func (r *Reader) Sized(limit int) []byte {
	n := int(r.Uint16())
	if n > limit {
		r.Fail(TPMRCSize)
		return nil
	}
	return r.Bytes(n)
}

// Nested takes a TPM2B that holds a structure and reads it with f. A structure
// that does not fill its size exactly is TPM_RC_SIZE.
func (r *Reader) Nested(f func(r *Reader)) {
	n := int(r.Uint16())
	if r.err == 0 && n > len(r.b) {
		r.Fail(TPMRCInsufficient)
	}
	b := r.Bytes(n)
	if r.err != 0 {
		return
	}
	in := Reader{b: b, Profile: r.Profile}
	f(&in)
	if in.err != 0 {
		r.Fail(in.err)
	} else if len(in.b) != 0 {
		r.Fail(TPMRCSize)
	}
}

// A Writer builds wire bytes by appending.
type Writer struct{ B []byte }

// Uint8 appends one byte.
func (w *Writer) Uint8(v uint8) { w.B = append(w.B, v) }

// Uint16 appends a big-endian 16-bit number.
func (w *Writer) Uint16(v uint16) { w.B = append(w.B, byte(v>>8), byte(v)) }

// Uint32 appends a big-endian 32-bit number.
func (w *Writer) Uint32(v uint32) {
	w.B = append(w.B, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// Uint64 appends a big-endian 64-bit number.
func (w *Writer) Uint64(v uint64) { w.Uint32(uint32(v >> 32)); w.Uint32(uint32(v)) }

// Bytes appends b as it is.
func (w *Writer) Bytes(b []byte) { w.B = append(w.B, b...) }

// Sized appends b as a TPM2B.
func (w *Writer) Sized(b []byte) { w.Uint16(uint16(len(b))); w.Bytes(b) }

// Nested appends what f writes as a TPM2B.
func (w *Writer) Nested(f func(w *Writer)) {
	at := len(w.B)
	w.Uint16(0)
	f(w)
	n := len(w.B) - at - 2
	w.B[at], w.B[at+1] = byte(n>>8), byte(n)
}

// Marshal returns the wire form of m.
func Marshal(m Marshaler) []byte {
	var w Writer
	m.Marshal(&w)
	return w.B
}

// Flags appends up to 16 booleans as two bytes, the first in the lowest bit.
func (w *Writer) Flags(bits ...bool) {
	var v uint16
	for i, b := range bits {
		if b {
			v |= 1 << i
		}
	}
	w.Uint16(v)
}

// Flags takes what Writer.Flags appends; bits beyond the last one are ignored.
func (r *Reader) Flags(bits ...*bool) {
	v := r.Uint16()
	for i, b := range bits {
		*b = v&(1<<i) != 0
	}
}
