package tpmcrypto

import (
	"crypto/elliptic"
	"encoding/hex"
	"math/big"
	"sync"

	"filippo.io/bigmod"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto/weierstrass"
)

// A Point is a point on a curve. The one at infinity has empty coordinates
// (Part 1, 44.5.1). Points that come out of this package have coordinates of
// the curve's size; points that go in may be shorter.
type Point struct{ X, Y []byte }

// Infinity reports whether p is the point at infinity.
func (p Point) Infinity() bool { return len(p.X) == 0 && len(p.Y) == 0 }

// A Curve is one of the supported elliptic curves y² = x³ + ax + b over a prime
// field, all of prime order. Its numbers are what TPM2_ECC_Parameters returns,
// each in Size octets; they must not be changed.
type Curve struct {
	ID   tcg.TPMECCCurve
	Bits int // of the field, which is the key size, and of the order
	Size int // of a coordinate and of a scalar, in octets

	P, A, B, Gx, Gy, N []byte
	H                  byte // cofactor

	// std is the curve of the standard library, if it is one of its own.
	std elliptic.Curve
	group
	field, order *bigmod.Modulus
	orderLess1   *bigmod.Modulus
	wide         *bigmod.Modulus // a power of two above any hash and any scalar with 64 bits more
}

// A group does the arithmetic on a curve: constant time in scalars, which have
// the curve's size. Points are checked before they get here, except by on.
type group interface {
	// on reports whether (x, y), both of the curve's size, is on the curve.
	on(x, y []byte) bool
	mul(p Point, k []byte) Point
	baseMul(k []byte) Point
	add(p, q Point) Point
}

// curves are the constants of all curves, computed at the first use of one.
var curves = sync.OnceValue(func() map[tcg.TPMECCCurve]*Curve {
	m := map[tcg.TPMECCCurve]*Curve{}
	for id, std := range map[tcg.TPMECCCurve]elliptic.Curve{
		tcg.TPMECCNistP224: elliptic.P224(),
		tcg.TPMECCNistP256: elliptic.P256(),
		tcg.TPMECCNistP384: elliptic.P384(),
		tcg.TPMECCNistP521: elliptic.P521(),
	} {
		m[id] = newNISTCurve(id, std)
	}
	for id, p := range otherCurves {
		m[id] = newOtherCurve(id, p)
	}
	return m
})

// Curves lists the supported curves in the order of their ids.
func Curves() []tcg.TPMECCCurve {
	return []tcg.TPMECCCurve{
		tcg.TPMECCNistP192, tcg.TPMECCNistP224, tcg.TPMECCNistP256, tcg.TPMECCNistP384, tcg.TPMECCNistP521,
		tcg.TPMECCBNP256, tcg.TPMECCBNP638, tcg.TPMECCSM2P256,
	}
}

// CurveByID returns a curve, or nil if it is not supported.
func CurveByID(id tcg.TPMECCCurve) *Curve { return curves()[id] }

func newNISTCurve(id tcg.TPMECCCurve, std elliptic.Curve) *Curve {
	p := std.Params()
	size := (p.BitSize + 7) / 8
	b := func(n *big.Int) []byte { return n.FillBytes(make([]byte, size)) }
	c := &Curve{
		ID: id, Bits: p.BitSize, Size: size, H: 1, std: std,
		P: b(p.P), A: b(new(big.Int).Sub(p.P, big.NewInt(3))), B: b(p.B),
		Gx: b(p.Gx), Gy: b(p.Gy), N: b(p.N),
	}
	c.group = nistGroup{std, size}
	return c.init()
}

// hexCurve holds the numbers of a curve that the standard library lacks.
type hexCurve struct{ p, a, b, gx, gy, n string }

func newOtherCurve(id tcg.TPMECCCurve, h hexCurve) *Curve {
	size := (len(h.p) + 1) / 2
	b := func(s string) []byte {
		if len(s)%2 == 1 {
			s = "0" + s
		}
		v, err := hex.DecodeString(s)
		if err != nil {
			panic("tpmcrypto: internal error: curve constant")
		}
		return LeftPad(v, size)
	}
	c := &Curve{
		ID: id, Size: size, H: 1,
		P: b(h.p), A: b(h.a), B: b(h.b), Gx: b(h.gx), Gy: b(h.gy), N: b(h.n),
	}
	w, err := weierstrass.New(weierstrass.Params{P: c.P, A: c.A, B: c.B, Gx: c.Gx, Gy: c.Gy})
	if err != nil {
		panic("tpmcrypto: internal error: " + err.Error())
	}
	c.group = otherGroup{w}
	c = c.init()
	c.Bits = c.field.BitLen()
	return c
}

func (c *Curve) init() *Curve {
	must := func(b []byte) *bigmod.Modulus {
		m, err := bigmod.NewModulus(b)
		if err != nil {
			panic("tpmcrypto: internal error: curve constant")
		}
		return m
	}
	c.field, c.order = must(c.P), must(c.N)
	c.orderLess1 = must(c.order.Nat().SubOne(c.order).Bytes(c.order))
	w := make([]byte, max(c.Size+8, MaxDigest)+1)
	w[0] = 1
	c.wide = must(w)
	return c
}

// OnCurve reports whether p is a point of the curve, other than infinity.
func (c *Curve) OnCurve(p Point) bool {
	_, err := c.Check(p)
	return err == nil
}

// Check returns p with coordinates of the curve's size, or ErrPoint if it is
// not on the curve or infinity.
func (c *Curve) Check(p Point) (Point, error) {
	q := Point{LeftPad(p.X, c.Size), LeftPad(p.Y, c.Size)}
	if p.Infinity() || q.X == nil || q.Y == nil || !c.on(q.X, q.Y) {
		return Point{}, ErrPoint
	}
	return q, nil
}

// Generator returns the base point.
func (c *Curve) Generator() Point { return Point{c.Gx, c.Gy} }

// Mul returns [k]p, in constant time for a k of the curve's size. ErrPoint if
// p is not on the curve, ErrValue if k is not below the order, ErrInfinity if
// k is zero.
func (c *Curve) Mul(k []byte, p Point) (Point, error) {
	q, err := c.Check(p)
	if err != nil {
		return Point{}, err
	}
	s, err := c.scalar(k)
	if err != nil {
		return Point{}, err
	}
	return c.result(c.mul(q, s.Bytes(c.order)))
}

// BaseMul returns [k]G. Errors as Mul.
func (c *Curve) BaseMul(k []byte) (Point, error) {
	s, err := c.scalar(k)
	if err != nil {
		return Point{}, err
	}
	return c.result(c.baseMul(s.Bytes(c.order)))
}

func (c *Curve) result(p Point) (Point, error) {
	if p.Infinity() {
		return p, ErrInfinity
	}
	return p, nil
}

// scalar reads a number below the order. ErrValue if it is not.
func (c *Curve) scalar(k []byte) (*bigmod.Nat, error) {
	k = LeftPad(k, c.Size)
	if k == nil {
		return nil, ErrValue
	}
	s, err := bigmod.NewNat().SetBytes(k, c.order)
	if err != nil {
		return nil, ErrValue
	}
	return s, nil
}

// reduce returns the number b, not longer than a digest or Size+8 octets,
// modulo m.
func (c *Curve) reduce(b []byte, m *bigmod.Modulus) *bigmod.Nat {
	x, err := bigmod.NewNat().SetBytes(b, c.wide)
	if err != nil {
		panic("tpmcrypto: internal error: number too wide")
	}
	return bigmod.NewNat().Mod(x, m)
}

// ReduceScalar returns the number b, of at most Size+8 octets, modulo the
// order, in Size octets. ErrSize if b is longer.
func (c *Curve) ReduceScalar(b []byte) ([]byte, error) {
	if len(b) > c.Size+8 {
		return nil, ErrSize
	}
	return c.reduce(b, c.order).Bytes(c.order), nil
}
