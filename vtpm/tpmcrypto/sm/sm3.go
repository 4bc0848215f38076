package sm

// The kept library, github.com/emmansun/gmsm v0.30.0, was looked at. On amd64
// its SM3 and SM4 are some 8,000 lines of assembly, for speed that a TPM has no
// use for; the tag purego, which leaves them out, would take the standard
// library's own assembly out of the same build, and its generic SM4 then looks
// up tables by key.

import (
	"encoding/binary"
	"errors"
	"hash"
	"math/bits"
)

// Sizes in bytes of SM3.
const (
	Size      = 32
	BlockSize = 64
)

// digest is a running SM3.
type digest struct {
	v    [8]uint32
	rest [BlockSize]byte
	n    int    // bytes in rest
	size uint64 // bytes written
}

// NewSM3 returns a running SM3, whose state encoding.BinaryMarshaler saves.
func NewSM3() hash.Hash {
	d := new(digest)
	d.Reset()
	return d
}

// SumSM3 appends to dst the digest of b.
func SumSM3(dst, b []byte) []byte {
	var d digest
	d.Reset()
	d.Write(b)
	return d.Sum(dst)
}

// Reset sets the initial value (GB/T 32905, 4.1).
func (d *digest) Reset() {
	*d = digest{v: [8]uint32{
		0x7380166F, 0x4914B2B9, 0x172442D7, 0xDA8A0600, 0xA96F30BC, 0x163138AA, 0xE38DEE4D, 0xB0FB0E4E,
	}}
}

func (d *digest) Size() int      { return Size }
func (d *digest) BlockSize() int { return BlockSize }

func (d *digest) Write(b []byte) (int, error) {
	n := len(b)
	d.size += uint64(n)
	if d.n > 0 {
		c := copy(d.rest[d.n:], b)
		b, d.n = b[c:], d.n+c
		if d.n < BlockSize {
			return n, nil
		}
		d.block(d.rest[:])
		d.n = 0
	}
	for ; len(b) >= BlockSize; b = b[BlockSize:] {
		d.block(b)
	}
	d.n = copy(d.rest[:], b)
	return n, nil
}

// Sum pads a copy (5.2) and appends its value.
func (d *digest) Sum(out []byte) []byte {
	c := *d
	var pad [BlockSize + 8]byte
	pad[0] = 0x80
	n := BlockSize - 8 - c.n
	if n <= 0 {
		n += BlockSize
	}
	binary.BigEndian.PutUint64(pad[n:], 8*c.size)
	c.Write(pad[:n+8])
	for _, v := range c.v {
		out = binary.BigEndian.AppendUint32(out, v)
	}
	return out
}

func p0(x uint32) uint32 { return x ^ bits.RotateLeft32(x, 9) ^ bits.RotateLeft32(x, 17) }
func p1(x uint32) uint32 { return x ^ bits.RotateLeft32(x, 15) ^ bits.RotateLeft32(x, 23) }

// block expands a block and compresses it (5.3).
func (d *digest) block(b []byte) {
	var w [68]uint32
	for i := range 16 {
		w[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	for i := 16; i < len(w); i++ {
		w[i] = p1(w[i-16]^w[i-9]^bits.RotateLeft32(w[i-3], 15)) ^ bits.RotateLeft32(w[i-13], 7) ^ w[i-6]
	}
	v := d.v
	for j := range 64 {
		a, b, c, e, f, g := v[0], v[1], v[2], v[4], v[5], v[6]
		t, ff, gg := uint32(0x79CC4519), a^b^c, e^f^g
		if j >= 16 {
			t, ff, gg = 0x7A879D8A, a&b|a&c|b&c, e&f|^e&g
		}
		ss1 := bits.RotateLeft32(bits.RotateLeft32(a, 12)+e+bits.RotateLeft32(t, j), 7)
		tt1 := ff + v[3] + (ss1 ^ bits.RotateLeft32(a, 12)) + (w[j] ^ w[j+4])
		tt2 := gg + v[7] + ss1 + w[j]
		v = [8]uint32{tt1, a, bits.RotateLeft32(b, 9), c, p0(tt2), e, bits.RotateLeft32(f, 19), g}
	}
	for i := range v {
		d.v[i] ^= v[i]
	}
}

// stateMagic begins a saved state and tells its version.
const stateMagic = "sm3\x01"

// stateSize is the size in bytes of a saved state: the magic, the value, the
// bytes of an unfinished block filled up with zeros, and the bytes written.
const stateSize = len(stateMagic) + Size + BlockSize + 8

var errState = errors.New("sm: not the state of an SM3")

// MarshalBinary saves the state.
func (d *digest) MarshalBinary() ([]byte, error) {
	b := append(make([]byte, 0, stateSize), stateMagic...)
	for _, v := range d.v {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = append(b, d.rest[:d.n]...)
	b = append(b, make([]byte, BlockSize-d.n)...)
	return binary.BigEndian.AppendUint64(b, d.size), nil
}

// UnmarshalBinary restores what MarshalBinary saved.
func (d *digest) UnmarshalBinary(b []byte) error {
	if len(b) != stateSize || string(b[:len(stateMagic)]) != stateMagic {
		return errState
	}
	b = b[len(stateMagic):]
	for i := range d.v {
		d.v[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	copy(d.rest[:], b[Size:])
	d.size = binary.BigEndian.Uint64(b[Size+BlockSize:])
	d.n = int(d.size % BlockSize)
	return nil
}
