package proto

import "encoding/binary"

// A reader decodes the fields of a message. After the first field that is missing, all are
// zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8 { return r.take(1)[0] }

func (r *reader) u16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }

func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }

func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// text reads a string after its length, one byte.
func (r *reader) text() string {
	n := int(r.u8())
	if n > len(r.b) {
		r.bad = true
		return ""
	}
	return string(r.take(n))
}

// done returns an error unless all fields were present and nothing is left.
func (r *reader) done() error {
	if r.bad || len(r.b) != 0 {
		return errMessage
	}
	return nil
}

// appendText appends a string of at most 255 bytes after its length.
func appendText(b []byte, s string) []byte {
	if len(s) > 255 {
		s = s[:255]
	}
	return append(append(b, byte(len(s))), s...)
}

// flagBits returns flags as a byte, the first as bit 0.
func flagBits(all ...bool) (v byte) {
	for i, b := range all {
		if b {
			v |= 1 << i
		}
	}
	return v
}
