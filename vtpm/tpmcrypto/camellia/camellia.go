// Package camellia implements the Camellia block cipher of RFC 3713 and
// ISO/IEC 18033-3, one of the ciphers of a TPM that the standard library lacks.
//
// It looks bytes up in a table, so that its timing depends on the processor's
// cache and may tell something of the key to whoever shares it. Prefer AES,
// which has instructions of its own on the processors that Xen runs on.
package camellia

import (
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
	"strconv"
)

// BlockSize is the size of a block in bytes.
const BlockSize = 16

// KeySizeError is the size in bytes of a key that is not 16, 24 or 32 long.
type KeySizeError int

func (k KeySizeError) Error() string { return "camellia: invalid key size " + strconv.Itoa(int(k)) }

// block holds the subkeys in the order of RFC 3713, 2.2: kw1 to kw4, k1 to
// k18 or k24, ke1 to ke4 or ke6.
type block struct {
	kw [4]uint64
	k  []uint64
	ke []uint64
}

// sigma are the constants of 2.2.
var sigma = [6]uint64{
	0xA09E667F3BCC908B, 0xB67AE8584CAA73B2, 0xC6EF372FE94F82BE,
	0x54FF53A5F1D36F1C, 0x10E527FADE682D1D, 0xB05688C2B3E6C1FD,
}

// pair is a number of 128 bits.
type pair struct{ hi, lo uint64 }

func (p pair) xor(q pair) pair { return pair{p.hi ^ q.hi, p.lo ^ q.lo} }

// rot rotates to the left by less than 128 bits.
func (p pair) rot(n uint) pair {
	if n >= 64 {
		p = pair{p.lo, p.hi}
		n -= 64
	}
	return pair{p.hi<<n | p.lo>>(64-n), p.lo<<n | p.hi>>(64-n)}
}

func load(b []byte) pair {
	return pair{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// New returns the cipher under a key of 16, 24 or 32 bytes.
func New(key []byte) (cipher.Block, error) {
	var kl, kr pair
	switch len(key) {
	case 16:
	case 24:
		kr.hi = binary.BigEndian.Uint64(key[16:])
		kr.lo = ^kr.hi
	case 32:
		kr = load(key[16:])
	default:
		return nil, KeySizeError(len(key))
	}
	kl = load(key)

	d := kl.xor(kr)
	d.lo ^= f(d.hi, sigma[0])
	d.hi ^= f(d.lo, sigma[1])
	d = d.xor(kl)
	d.lo ^= f(d.hi, sigma[2])
	d.hi ^= f(d.lo, sigma[3])
	ka := d
	d = ka.xor(kr)
	d.lo ^= f(d.hi, sigma[4])
	d.hi ^= f(d.lo, sigma[5])
	kb := d

	flat := func(ps ...pair) (out []uint64) {
		for _, p := range ps {
			out = append(out, p.hi, p.lo)
		}
		return out
	}
	c := &block{kw: [4]uint64{0: kl.hi, 1: kl.lo}}
	if len(key) == 16 {
		c.k = flat(ka, kl.rot(15), ka.rot(15), kl.rot(45),
			pair{ka.rot(45).hi, kl.rot(60).lo}, ka.rot(60),
			kl.rot(94), ka.rot(94), kl.rot(111))
		c.ke = flat(ka.rot(30), kl.rot(77))
		c.kw[2], c.kw[3] = ka.rot(111).hi, ka.rot(111).lo
		return c, nil
	}
	c.k = flat(kb, kr.rot(15), ka.rot(15), kb.rot(30), kl.rot(45), ka.rot(45),
		kr.rot(60), kb.rot(60), kl.rot(77), kr.rot(94), ka.rot(94), kl.rot(111))
	c.ke = flat(kr.rot(30), kl.rot(60), ka.rot(77))
	c.kw[2], c.kw[3] = kb.rot(111).hi, kb.rot(111).lo
	return c, nil
}

// BlockSize returns 16.
func (c *block) BlockSize() int { return BlockSize }

// Encrypt encrypts one block from src to dst.
func (c *block) Encrypt(dst, src []byte) {
	d := load(src)
	d.hi ^= c.kw[0]
	d.lo ^= c.kw[1]
	for i := 0; i < len(c.k); i += 2 {
		if i > 0 && i%6 == 0 {
			d.hi = fl(d.hi, c.ke[i/3-2])
			d.lo = flInv(d.lo, c.ke[i/3-1])
		}
		d.lo ^= f(d.hi, c.k[i])
		d.hi ^= f(d.lo, c.k[i+1])
	}
	store(dst, d.lo^c.kw[2], d.hi^c.kw[3])
}

// Decrypt decrypts one block from src to dst: the same steps with the subkeys
// in reverse.
func (c *block) Decrypt(dst, src []byte) {
	d := load(src)
	d.hi ^= c.kw[2]
	d.lo ^= c.kw[3]
	for i := len(c.k); i > 0; i -= 2 {
		if i < len(c.k) && i%6 == 0 {
			d.hi = fl(d.hi, c.ke[i/3-1])
			d.lo = flInv(d.lo, c.ke[i/3-2])
		}
		d.lo ^= f(d.hi, c.k[i-1])
		d.hi ^= f(d.lo, c.k[i-2])
	}
	store(dst, d.lo^c.kw[0], d.hi^c.kw[1])
}

func store(b []byte, hi, lo uint64) {
	_ = b[15]
	binary.BigEndian.PutUint64(b, hi)
	binary.BigEndian.PutUint64(b[8:], lo)
}

// f is the F-function, 2.4.1.
func f(x, k uint64) uint64 {
	x ^= k
	t1 := sbox[x>>56]
	t2 := bits.RotateLeft8(sbox[x>>48&0xff], 1)
	t3 := bits.RotateLeft8(sbox[x>>40&0xff], 7)
	t4 := sbox[bits.RotateLeft8(byte(x>>32), 1)]
	t5 := bits.RotateLeft8(sbox[x>>24&0xff], 1)
	t6 := bits.RotateLeft8(sbox[x>>16&0xff], 7)
	t7 := sbox[bits.RotateLeft8(byte(x>>8), 1)]
	t8 := sbox[x&0xff]
	y1 := t1 ^ t3 ^ t4 ^ t6 ^ t7 ^ t8
	y2 := t1 ^ t2 ^ t4 ^ t5 ^ t7 ^ t8
	y3 := t1 ^ t2 ^ t3 ^ t5 ^ t6 ^ t8
	y4 := t2 ^ t3 ^ t4 ^ t5 ^ t6 ^ t7
	y5 := t1 ^ t2 ^ t6 ^ t7 ^ t8
	y6 := t2 ^ t3 ^ t5 ^ t7 ^ t8
	y7 := t3 ^ t4 ^ t5 ^ t6 ^ t8
	y8 := t1 ^ t4 ^ t5 ^ t6 ^ t7
	return uint64(y1)<<56 | uint64(y2)<<48 | uint64(y3)<<40 | uint64(y4)<<32 |
		uint64(y5)<<24 | uint64(y6)<<16 | uint64(y7)<<8 | uint64(y8)
}

// fl is the FL-function, 2.4.2.
func fl(x, k uint64) uint64 {
	x1, x2 := uint32(x>>32), uint32(x)
	x2 ^= bits.RotateLeft32(x1&uint32(k>>32), 1)
	x1 ^= x2 | uint32(k)
	return uint64(x1)<<32 | uint64(x2)
}

// flInv is the inverse of fl, 2.4.3.
func flInv(y, k uint64) uint64 {
	y1, y2 := uint32(y>>32), uint32(y)
	y1 ^= y2 | uint32(k)
	y2 ^= bits.RotateLeft32(y1&uint32(k>>32), 1)
	return uint64(y1)<<32 | uint64(y2)
}
