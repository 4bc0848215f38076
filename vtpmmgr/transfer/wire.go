package transfer

import (
	"crypto/sha256"
	"encoding/binary"
)

// A reader takes fields off its input. After the first that is not there, all are zero.
type reader struct {
	b   []byte
	bad bool
}

// take returns the next n bytes, at most 65,535, without capacity beyond them.
func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8   { return r.take(1)[0] }
func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
func (r *reader) id() ID      { return ID(r.take(16)) }
func (r *reader) hash() Hash  { return Hash(r.take(32)) }

// sized reads bytes with their length, 2 bytes, before them. It is nil for no bytes.
func (r *reader) sized(most int) []byte {
	n := int(binary.BigEndian.Uint16(r.take(2)))
	if n > most || n > len(r.b) {
		r.bad = true
	}
	if r.bad || n == 0 {
		return nil
	}
	return r.take(n)
}

func appendSized(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(v))), v...)
}

// flag reads a byte that is 0 or 1.
func (r *reader) flag() bool {
	v := r.u8()
	r.bad = r.bad || v > 1
	return v == 1
}

func appendFlag(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// start reads the first two bytes of a message.
func (r *reader) start(kind byte) error {
	if len(r.b) < 2 {
		return Malformed
	}
	if r.u8() != kind {
		return WrongKind
	}
	if r.u8() != version {
		return WrongVersion
	}
	return nil
}

func (r *reader) end() error {
	if r.bad || len(r.b) != 0 {
		return Malformed
	}
	return nil
}

// sum is the hash of what a message says, by which other messages, evidence and signatures
// name it. The kind is in the first byte of b.
func sum(b []byte) Hash {
	return sha256.Sum256(append([]byte("stubtpm move 1\x00"), b...))
}
