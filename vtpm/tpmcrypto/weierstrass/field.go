package weierstrass

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// maxLimbs is enough for a field of 640 bits, that of TPM_ECC_BN_P638.
const maxLimbs = 10

// An element is a number below the prime of its field, in Montgomery form,
// little-endian. Limbs above those of the field are zero.
type element [maxLimbs]uint64

// A field is the integers modulo an odd prime. All its operations take the
// same time for all elements.
type field struct {
	n    int // limbs
	size int // octets
	p    element
	m0   uint64  // -1/p modulo 2^64
	rr   element // R² mod p, R = 2^(64n)
	one  element // R mod p
	exp  []byte  // p-2
}

func newField(p []byte) (*field, error) {
	f := &field{n: (len(p) + 7) / 8, size: len(p)}
	if len(p) == 0 || f.n > maxLimbs || p[0] == 0 || p[len(p)-1]&1 == 0 {
		return nil, errors.New("weierstrass: unsupported field")
	}
	f.load(&f.p, p)
	inv := f.p[0]
	for range 5 {
		inv *= 2 - f.p[0]*inv
	}
	f.m0 = -inv
	// 1 doubled modulo p until it is R, then R².
	r := element{1}
	for range 64 * f.n {
		f.add(&r, &r, &r)
	}
	f.one = r
	for range 64 * f.n {
		f.add(&r, &r, &r)
	}
	f.rr = r
	f.exp = append([]byte(nil), p...)
	for i, take := len(p)-1, 2; take > 0; i-- {
		v := int(f.exp[i]) - take
		f.exp[i], take = byte(v), -(v >> 8)
	}
	return f, nil
}

// load reads size octets, big-endian, as they are.
func (f *field) load(z *element, b []byte) {
	var buf [maxLimbs * 8]byte
	copy(buf[len(buf)-len(b):], b)
	for i := range z {
		z[i] = binary.BigEndian.Uint64(buf[len(buf)-8*(i+1):])
	}
}

// set reads a number of size octets into Montgomery form, and reports whether it
// is below p.
func (f *field) set(z *element, b []byte) bool {
	if len(b) != f.size {
		return false
	}
	f.load(z, b)
	var borrow uint64
	for i := 0; i < f.n; i++ {
		_, borrow = bits.Sub64(z[i], f.p[i], borrow)
	}
	f.mul(z, z, &f.rr)
	return borrow == 1
}

// bytes returns x in size octets.
func (f *field) bytes(x *element) []byte {
	var z element
	f.mul(&z, x, &element{1})
	var buf [maxLimbs * 8]byte
	for i, v := range z {
		binary.BigEndian.PutUint64(buf[len(buf)-8*(i+1):], v)
	}
	return append([]byte(nil), buf[len(buf)-f.size:]...)
}

// reduce sets z = t - p if t, with the carry c above it, is not below p, and
// z = t otherwise.
func (f *field) reduce(z, t *element, c uint64) {
	var d element
	var borrow uint64
	for i := 0; i < f.n; i++ {
		d[i], borrow = bits.Sub64(t[i], f.p[i], borrow)
	}
	_, borrow = bits.Sub64(c, 0, borrow)
	keep := -borrow
	for i := 0; i < f.n; i++ {
		z[i] = t[i]&keep | d[i]&^keep
	}
}

// add sets z = x + y.
func (f *field) add(z, x, y *element) {
	var t element
	var c uint64
	for i := 0; i < f.n; i++ {
		t[i], c = bits.Add64(x[i], y[i], c)
	}
	f.reduce(z, &t, c)
}

// sub sets z = x - y.
func (f *field) sub(z, x, y *element) {
	var b, c uint64
	for i := 0; i < f.n; i++ {
		z[i], b = bits.Sub64(x[i], y[i], b)
	}
	m := -b
	for i := 0; i < f.n; i++ {
		z[i], c = bits.Add64(z[i], f.p[i]&m, c)
	}
}

// mul sets z = x * y / R.
func (f *field) mul(z, x, y *element) {
	if f.n == 4 {
		f.mul4(z, x, y)
		return
	}
	var t element
	var top uint64
	for i := 0; i < f.n; i++ {
		var hi, lo, c, carry uint64
		for j := 0; j < f.n; j++ {
			hi, lo = bits.Mul64(x[j], y[i])
			lo, c = bits.Add64(lo, carry, 0)
			hi += c
			t[j], c = bits.Add64(t[j], lo, 0)
			carry = hi + c
		}
		var top2 uint64
		top, top2 = bits.Add64(top, carry, 0)
		k := t[0] * f.m0
		hi, lo = bits.Mul64(k, f.p[0])
		_, c = bits.Add64(t[0], lo, 0)
		carry = hi + c
		for j := 1; j < f.n; j++ {
			hi, lo = bits.Mul64(k, f.p[j])
			lo, c = bits.Add64(lo, carry, 0)
			hi += c
			t[j-1], c = bits.Add64(t[j], lo, 0)
			carry = hi + c
		}
		t[f.n-1], c = bits.Add64(top, carry, 0)
		top = top2 + c
	}
	f.reduce(z, &t, top)
}

// mul4 is mul for fields of four limbs, unrolled.
func (f *field) mul4(z, x, y *element) {
	var t0, t1, t2, t3, t4, t5 uint64
	x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
	p0, p1, p2, p3 := f.p[0], f.p[1], f.p[2], f.p[3]
	for _, w := range y[:4] {
		var c uint64
		h0, l0 := bits.Mul64(x0, w)
		h1, l1 := bits.Mul64(x1, w)
		h2, l2 := bits.Mul64(x2, w)
		h3, l3 := bits.Mul64(x3, w)
		t0, c = bits.Add64(t0, l0, 0)
		t1, c = bits.Add64(t1, l1, c)
		t2, c = bits.Add64(t2, l2, c)
		t3, c = bits.Add64(t3, l3, c)
		t4, t5 = bits.Add64(t4, 0, c)
		t1, c = bits.Add64(t1, h0, 0)
		t2, c = bits.Add64(t2, h1, c)
		t3, c = bits.Add64(t3, h2, c)
		t4, c = bits.Add64(t4, h3, c)
		t5 += c
		k := t0 * f.m0
		h0, l0 = bits.Mul64(k, p0)
		h1, l1 = bits.Mul64(k, p1)
		h2, l2 = bits.Mul64(k, p2)
		h3, l3 = bits.Mul64(k, p3)
		_, c = bits.Add64(t0, l0, 0)
		t0, c = bits.Add64(t1, l1, c)
		t1, c = bits.Add64(t2, l2, c)
		t2, c = bits.Add64(t3, l3, c)
		t3, c = bits.Add64(t4, 0, c)
		t4 = t5 + c
		t0, c = bits.Add64(t0, h0, 0)
		t1, c = bits.Add64(t1, h1, c)
		t2, c = bits.Add64(t2, h2, c)
		t3, c = bits.Add64(t3, h3, c)
		t4 += c
	}
	d0, b := bits.Sub64(t0, p0, 0)
	d1, b := bits.Sub64(t1, p1, b)
	d2, b := bits.Sub64(t2, p2, b)
	d3, b := bits.Sub64(t3, p3, b)
	_, b = bits.Sub64(t4, 0, b)
	keep := -b
	z[0] = t0&keep | d0&^keep
	z[1] = t1&keep | d1&^keep
	z[2] = t2&keep | d2&^keep
	z[3] = t3&keep | d3&^keep
}

// invert sets z = 1/x, and 0 for 0, by x^(p-2).
func (f *field) invert(z, x *element) {
	r, b := f.one, *x
	for _, e := range f.exp {
		for i := 7; i >= 0; i-- {
			f.mul(&r, &r, &r)
			if e>>i&1 == 1 { // public
				f.mul(&r, &r, &b)
			}
		}
	}
	*z = r
}

// zero returns 1 if x is zero, and 0 otherwise.
func (f *field) zero(x *element) uint64 {
	var v uint64
	for _, w := range x {
		v |= w
	}
	return 1 ^ (v|-v)>>63
}
