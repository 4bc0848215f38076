// Package mont is arithmetic modulo an odd number of 1024 bits in Montgomery's
// form, in constant time: what a prime of an RSA key of 2048 bits needs.
//
// It squares in about half the time of filippo.io/bigmod, which multiplies and
// has no squaring, and raises 2 to a power without a table. It exists where
// Available says so; bigmod does the same elsewhere, and the tests compare them.
package mont

import (
	"encoding/binary"
	"math/bits"
)

// Size is the size of all numbers in bytes.
const Size = 128

const limbs = Size / 8

// A Modulus is an odd number between 2^1023 and 2^1024. Its value is secret.
type Modulus struct {
	m   Nat    // itself
	one Nat    // R modulo m, which is 1 in Montgomery's form
	rr  Nat    // R*R modulo m
	k   uint64 // -1/m modulo 2^64
}

// A Nat is a number below the modulus, in Montgomery's form.
type Nat [limbs]uint64

// NewModulus reads a modulus, big-endian; ok is false unless it is odd, of Size
// bytes, and has its highest bit set, and where this processor cannot do it.
func NewModulus(b []byte) (m *Modulus, ok bool) {
	if !Available() || len(b) != Size || b[0]&0x80 == 0 || b[Size-1]&1 == 0 {
		return nil, false
	}
	m = new(Modulus)
	read(&m.m, b)
	// Each step doubles the number of right bits, from 3.
	inv := m.m[0]
	for range 5 {
		inv *= 2 - m.m[0]*inv
	}
	m.k = -inv
	var borrow uint64
	for i, v := range m.m {
		m.one[i], borrow = bits.Sub64(0, v, borrow)
	}
	m.prepare()
	return m, true
}

// prepare computes R*R, which is 2^1024 in Montgomery's form.
func (m *Modulus) prepare() {
	m.rr = m.one
	montDouble(&m.rr, &m.m, 1)
	for range 10 {
		montSquare(&m.rr, &m.rr, &m.m, m.k)
	}
}

func read(z *Nat, b []byte) {
	for i := range z {
		z[i] = binary.BigEndian.Uint64(b[Size-8*(i+1):])
	}
}

// Exp2 returns 2^e for a big-endian exponent; its length is not secret.
func (m *Modulus) Exp2(e []byte) *Nat {
	z := m.one
	for _, b := range e {
		for i := 7; i >= 0; i-- {
			montSquare(&z, &z, &m.m, m.k)
			montDouble(&z, &m.m, uint64(b)>>i&1)
		}
	}
	return &z
}

// Square sets z = z*z.
func (m *Modulus) Square(z *Nat) {
	montSquare(z, z, &m.m, m.k)
}

// IsOne reports whether x is 1.
func (m *Modulus) IsOne(x *Nat) bool { return equal(x, &m.one) }

// IsMinusOne reports whether x is -1.
func (m *Modulus) IsMinusOne(x *Nat) bool {
	var v Nat
	var borrow uint64
	for i := range v {
		v[i], borrow = bits.Sub64(m.m[i], m.one[i], borrow)
	}
	return equal(x, &v)
}

func equal(x, y *Nat) bool {
	var d uint64
	for i := range x {
		d |= x[i] ^ y[i]
	}
	return d == 0
}

// Nat reads a number, big-endian; ok is false if it has not Size bytes or is
// not below the modulus.
func (m *Modulus) Nat(b []byte) (x *Nat, ok bool) {
	if len(b) != Size {
		return nil, false
	}
	x = new(Nat)
	read(x, b)
	var borrow uint64
	for i, v := range x {
		_, borrow = bits.Sub64(v, m.m[i], borrow)
	}
	montMul(x, x, &m.rr, &m.m, m.k)
	return x, borrow == 1
}

// Bytes returns x, big-endian in Size bytes.
func (m *Modulus) Bytes(x *Nat) []byte {
	var z Nat
	one := Nat{1}
	montMul(&z, x, &one, &m.m, m.k)
	b := make([]byte, Size)
	for i, v := range z {
		binary.BigEndian.PutUint64(b[Size-8*(i+1):], v)
	}
	return b
}

// Exp returns x^e for a big-endian exponent; its length is not secret.
func (m *Modulus) Exp(x *Nat, e []byte) *Nat {
	var table [16]Nat // table[i] = x^i
	table[0] = m.one
	for i := 1; i < len(table); i++ {
		montMul(&table[i], &table[i-1], x, &m.m, m.k)
	}
	z := m.one
	var f Nat
	for _, b := range e {
		for _, w := range [2]byte{b >> 4, b & 15} {
			for range 4 {
				m.Square(&z)
			}
			pick(&f, &table, uint64(w))
			montMul(&z, &z, &f, &m.m, m.k)
		}
	}
	clear(table[:])
	return &z
}

// pick sets z = table[w] and reads all of the table.
func pick(z *Nat, table *[16]Nat, w uint64) {
	*z = Nat{}
	for i := range table {
		x := uint64(i) ^ w
		mask := -((x - 1) >> 63) // all ones if x is 0, as both are below 2^63
		for j, v := range table[i] {
			z[j] |= v & mask
		}
	}
}

// IsZero reports whether x is 0.
func (m *Modulus) IsZero(x *Nat) bool { return equal(x, &Nat{}) }

// Reduce returns the big-endian b of at most 2*Size bytes modulo m.
func (m *Modulus) Reduce(b []byte) *Nat {
	var wide [2 * Size]byte
	copy(wide[len(wide)-len(b):], b)
	var hi, lo Nat
	read(&hi, wide[:Size])
	read(&lo, wide[Size:])
	clear(wide[:])
	// hi*R in Montgomery's form, by two steps, since R*R takes one there.
	montMul(&hi, &hi, &m.rr, &m.m, m.k)
	montMul(&hi, &hi, &m.rr, &m.m, m.k)
	montMul(&lo, &lo, &m.rr, &m.m, m.k)
	m.add(&hi, &lo)
	return &hi
}

// add sets z = z+x.
func (m *Modulus) add(z, x *Nat) {
	var carry, borrow uint64
	var s Nat
	for i := range z {
		z[i], carry = bits.Add64(z[i], x[i], carry)
	}
	for i := range z {
		s[i], borrow = bits.Sub64(z[i], m.m[i], borrow)
	}
	_, borrow = bits.Sub64(carry, 0, borrow)
	keep := -borrow
	for i := range z {
		z[i] = s[i] ^ keep&(s[i]^z[i])
	}
}

// Sub sets z = z-x.
func (m *Modulus) Sub(z, x *Nat) {
	var carry, borrow uint64
	for i := range z {
		z[i], borrow = bits.Sub64(z[i], x[i], borrow)
	}
	mask := -borrow
	for i := range z {
		z[i], carry = bits.Add64(z[i], m.m[i]&mask, carry)
	}
}

// Mul sets z = z*x.
func (m *Modulus) Mul(z, x *Nat) { montMul(z, z, x, &m.m, m.k) }

// Zero overwrites the modulus, which must not be used any more.
func (m *Modulus) Zero() { *m = Modulus{} }
