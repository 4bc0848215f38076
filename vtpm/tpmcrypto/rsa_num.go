package tpmcrypto

import (
	"encoding/binary"
	"math/bits"
)

// limbs returns the big-endian b, a multiple of 8 octets long, as
// little-endian limbs.
func limbs(b []byte) []uint64 {
	x := make([]uint64, len(b)/8)
	for i := range x {
		x[i] = binary.BigEndian.Uint64(b[len(b)-8*(i+1):])
	}
	return x
}

func fromLimbs(x []uint64) []byte {
	b := make([]byte, 8*len(x))
	for i, v := range x {
		binary.BigEndian.PutUint64(b[len(b)-8*(i+1):], v)
	}
	return b
}

// divideExact returns n/p for an odd p that divides n and has half its size.
// For any other p the result is a number whose product with p is not n, which
// the caller must check. It works from the low end modulo a power of two, in
// constant time (Jebelean).
func divideExact(n, p []byte) []byte {
	x, d := limbs(n)[:len(p)/8], limbs(p)
	// The inverse of d modulo 2^64, each step doubling the correct bits.
	inv := d[0]
	for range 5 {
		inv *= 2 - d[0]*inv
	}
	q := make([]uint64, len(d))
	for i := range q {
		q[i] = x[i] * inv
		var borrow, carry uint64
		for j := 0; i+j < len(x); j++ {
			hi, lo := bits.Mul64(q[i], d[j])
			var c uint64
			lo, c = bits.Add64(lo, carry, 0)
			carry = hi + c
			x[i+j], borrow = bits.Sub64(x[i+j], lo, borrow)
		}
	}
	clear(x)
	clear(d)
	defer clear(q)
	return fromLimbs(q)
}

// multiply returns x*y, of len(x)+len(y) limbs.
func multiply(x, y []uint64) []uint64 {
	z := make([]uint64, len(x)+len(y))
	for i, v := range x {
		z[i+len(y)] = mulAdd(z[i:i+len(y)], y, v)
	}
	return z
}

// privateExponent returns d = e^-1 modulo (p-1)(q-1) for a prime e, or nil if
// e has no inverse.
func privateExponent(p, q []byte, e uint64) []byte {
	a, b := limbs(p), limbs(q)
	defer clear(a)
	defer clear(b)
	a[0]-- // odd, so that no borrow is left
	b[0]--
	product := multiply(a, b)
	defer clear(product)
	phi := append(product, 0)
	defer clear(phi)
	if !invertExponent(phi, e) {
		return nil
	}
	return fromLimbs(phi[:len(a)+len(b)])
}

// invertExponent sets phi, whose highest limb is zero, to 1/e modulo phi; it
// reports whether there is one. With k = -1/phi modulo the prime e that is
// (1+k*phi)/e, so that only single words are inverted.
func invertExponent(phi []uint64, e uint64) bool {
	r := modWord(phi, e)
	if r == 0 {
		return false
	}
	k := e - powWord(r, e-2, e)
	var carry uint64 = 1
	for i := range phi {
		hi, lo := bits.Mul64(phi[i], k)
		var c uint64
		phi[i], c = bits.Add64(lo, carry, 0)
		carry = hi + c
	}
	r = 0
	for i := len(phi) - 1; i >= 0; i-- {
		phi[i], r = bits.Div64(r, phi[i], e)
	}
	return r == 0
}

// mulAdd adds x*y to z and returns the carry.
func mulAdd(z, x []uint64, y uint64) (carry uint64) {
	for i := range z {
		hi, lo := bits.Mul64(x[i], y)
		var c uint64
		lo, c = bits.Add64(lo, z[i], 0)
		hi += c
		z[i], c = bits.Add64(lo, carry, 0)
		carry = hi + c
	}
	return carry
}

// powWord returns x^n modulo m below 2^32; n and m are public.
func powWord(x, n, m uint64) uint64 {
	r := uint64(1)
	for i := bits.Len64(n) - 1; i >= 0; i-- {
		r = r * r % m
		if n>>i&1 == 1 {
			r = r * x % m
		}
	}
	return r
}
