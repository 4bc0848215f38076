package evidence

import (
	"encoding/binary"
	"fmt"
)

// A reader takes fields off its input. After the first that is not there, all
// are zero.
type reader struct {
	b   []byte
	bad bool
}

// take returns the next n bytes, without capacity beyond them.
func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, min(n, 64))
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8   { return r.take(1)[0] }
func (r *reader) u16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// sized8 and sized16 read bytes with their length before them.
func (r *reader) sized8() []byte  { return r.sized(int(r.u8())) }
func (r *reader) sized16() []byte { return r.sized(int(r.u16())) }

func (r *reader) sized(n int) []byte {
	v := r.take(n)
	if r.bad {
		return nil
	}
	return v
}

// end returns an error unless all fields were there and nothing is left.
func (r *reader) end(what string) error {
	if r.bad {
		return fmt.Errorf("%w: %s ends too early", ErrFormat, what)
	}
	if len(r.b) != 0 {
		return fmt.Errorf("%w: %d bytes after the %s", ErrFormat, len(r.b), what)
	}
	return nil
}

func appendSized8(b, v []byte) []byte {
	return append(append(b, byte(len(v))), v...)
}

func appendSized16(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(v))), v...)
}
