package sm

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"math/bits"
)

// KeySize is the size in bytes of a key and of a block of SM4.
const KeySize = 16

// errKey is returned for a key of another size.
var errKey = errors.New("sm: an SM4 key has 16 bytes")

// block holds the round keys.
type block [32]uint32

// NewSM4 returns the cipher under a key of 16 bytes.
func NewSM4(key []byte) (cipher.Block, error) {
	if len(key) != KeySize {
		return nil, errKey
	}
	// GB/T 32907, 7.3: FK, and CK of bytes (4i+j)*7 modulo 256.
	k := [4]uint32{0xA3B1BAC6, 0x56AA3350, 0x677D9197, 0xB27022DC}
	for i := range k {
		k[i] ^= binary.BigEndian.Uint32(key[4*i:])
	}
	b := new(block)
	for i := range b {
		n := uint32(4 * i * 7)
		ck := n&255<<24 | (n+7)&255<<16 | (n+14)&255<<8 | (n+21)&255
		t := substitute(k[1] ^ k[2] ^ k[3] ^ ck)
		b[i] = k[0] ^ t ^ bits.RotateLeft32(t, 13) ^ bits.RotateLeft32(t, 23)
		k = [4]uint32{k[1], k[2], k[3], b[i]}
	}
	return b, nil
}

func (b *block) BlockSize() int { return KeySize }

// Encrypt and Decrypt are 7.1: the round keys in their order, or backwards.

func (b *block) Encrypt(dst, src []byte) { b.crypt(dst, src, 0) }
func (b *block) Decrypt(dst, src []byte) { b.crypt(dst, src, len(b)-1) }

func (b *block) crypt(dst, src []byte, turn int) {
	_, _ = dst[KeySize-1], src[KeySize-1]
	var x [4]uint32
	for i := range x {
		x[i] = binary.BigEndian.Uint32(src[4*i:])
	}
	for i := range b {
		t := substitute(x[1] ^ x[2] ^ x[3] ^ b[i^turn])
		t ^= bits.RotateLeft32(t, 2) ^ bits.RotateLeft32(t, 10) ^ bits.RotateLeft32(t, 18) ^ bits.RotateLeft32(t, 24)
		x = [4]uint32{x[1], x[2], x[3], x[0] ^ t}
	}
	for i := range x {
		binary.BigEndian.PutUint32(dst[4*i:], x[3-i])
	}
}

// What follows works on four bytes of a word at once.

const (
	ones  = 0x01010101
	lower = 0x7F7F7F7F
)

// substitute applies the S-box to each byte. The standard gives it as a table;
// this is the structure behind that table, A(1/A(x)) with an affine A and the
// inverse in GF(2^8), and the tests compare all of its values.
func substitute(x uint32) uint32 { return affine(inverse(affine(x))) }

// affine is x*(1 + 2^-1 + 2^-2 + 2^-5 + 2^-7) as rotations of a byte, plus D3.
func affine(x uint32) uint32 {
	rotate := func(n uint) uint32 {
		m := uint32(0xFF>>n) * ones
		return x>>n&m | x<<(8-n)&^m
	}
	return x ^ rotate(1) ^ rotate(2) ^ rotate(5) ^ rotate(7) ^ 0xD3*ones
}

// inverse is x^254, which is 1/x, and 0 of 0.
func inverse(x uint32) uint32 {
	x2 := multiply(x, x)
	x3 := multiply(x2, x)
	x6 := multiply(x3, x3)
	x12 := multiply(x6, x6)
	y := multiply(x12, x3) // x^15
	for range 4 {
		y = multiply(y, y)
	}
	return multiply(multiply(y, x12), x2)
}

// multiply multiplies in GF(2^8) modulo x^8+x^7+x^6+x^5+x^4+x^2+1.
func multiply(a, b uint32) (r uint32) {
	for i := 7; i >= 0; i-- {
		r = r&lower<<1 ^ r>>7&ones*0xF5
		r ^= a & (b >> i & ones * 0xFF)
	}
	return r
}
