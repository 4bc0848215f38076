package weierstrass

// Why TPM_ECC_BN_P256 has no library. These were looked at:
//
//   - golang.org/x/crypto/bn256 has the BN curve of another u (1868033^3) and so
//     another prime; it is deprecated, and says of itself that it is not constant
//     time, and that cloudflare/bn256 has the same curve.
//   - cloudflare/circl v1.6.5 has no BN curve, consensys/gnark-crypto that of
//     254 bits which Ethereum uses, and emmansun/gmsm v0.30.0 that of SM9.
//   - hyperledger/fabric-amcl has this very curve, as FP256BN: 14,600
//     generated lines for pairings, which ECDAA on the side of the TPM does not
//     need, without a tagged version, last published in June 2023; its G1mul
//     branches on what the scalar is. It is good as a witness: the tests
//     compare points that it computed.
//
// A TPM needs of the curve what it needs of any other: multiples and sums of
// points. So this package has one generic arithmetic for all the curves that
// the standard library lacks, small enough to be read, and tested on the curves
// that the library has.

import "errors"

// Params describe a curve, with big-endian numbers of equal length, the first
// octet of P not zero. The order must be an odd prime, which is not checked.
type Params struct{ P, A, B, Gx, Gy []byte }

// A Curve does arithmetic on one curve. Nothing of it changes after New.
type Curve struct {
	f      *field
	a, b   element
	b3     element
	aZero  bool
	gTable *table
}

// New returns the arithmetic of a curve, and an error if the field is not
// supported or the generator is not on the curve.
func New(p Params) (*Curve, error) {
	f, err := newField(p.P)
	if err != nil {
		return nil, err
	}
	c := &Curve{f: f}
	if !f.set(&c.a, p.A) || !f.set(&c.b, p.B) {
		return nil, errors.New("weierstrass: coefficient is not in the field")
	}
	f.add(&c.b3, &c.b, &c.b)
	f.add(&c.b3, &c.b3, &c.b)
	c.aZero = f.zero(&c.a) == 1
	g, ok := c.point(p.Gx, p.Gy)
	if !ok {
		return nil, errors.New("weierstrass: generator is not on the curve")
	}
	c.gTable = c.table(g)
	return c, nil
}

// point is one in projective coordinates (X : Y : Z), infinity is (0 : 1 : 0).
type point struct{ x, y, z element }

func (c *Curve) infinity() point { return point{y: c.f.one} }

// point reads affine coordinates and reports whether they are on the curve.
func (c *Curve) point(x, y []byte) (p point, ok bool) {
	f := c.f
	okx, oky := f.set(&p.x, x), f.set(&p.y, y)
	p.z = f.one
	var l, r element
	f.mul(&r, &p.x, &p.x)
	f.add(&r, &r, &c.a)
	f.mul(&r, &r, &p.x)
	f.add(&r, &r, &c.b)
	f.mul(&l, &p.y, &p.y)
	f.sub(&l, &l, &r)
	return p, okx && oky && f.zero(&l) == 1
}

// affine returns the coordinates of p, or nil for infinity.
func (c *Curve) affine(p *point) (x, y []byte) {
	if c.f.zero(&p.z) == 1 {
		return nil, nil
	}
	var i, v element
	c.f.invert(&i, &p.z)
	c.f.mul(&v, &p.x, &i)
	x = c.f.bytes(&v)
	c.f.mul(&v, &p.y, &i)
	return x, c.f.bytes(&v)
}

// OnCurve reports whether x and y, of the length of the field's prime, are below
// it and the coordinates of a point.
func (c *Curve) OnCurve(x, y []byte) bool {
	_, ok := c.point(x, y)
	return ok
}

// Add returns the sum of two points; nil coordinates stand for infinity, on
// both sides. Points that are not on the curve count as infinity.
func (c *Curve) Add(x1, y1, x2, y2 []byte) (x, y []byte) {
	p, q := c.pointOrInfinity(x1, y1), c.pointOrInfinity(x2, y2)
	c.add(&p, &p, &q)
	return c.affine(&p)
}

func (c *Curve) pointOrInfinity(x, y []byte) point {
	p, ok := c.point(x, y)
	if !ok {
		return c.infinity()
	}
	return p
}

// Mul returns [k](x, y), nil for infinity. The time depends on the length of
// k alone. A point that is not on the curve counts as infinity.
func (c *Curve) Mul(x, y, k []byte) (rx, ry []byte) {
	p := c.pointOrInfinity(x, y)
	return c.mulTable(c.table(p), k)
}

// BaseMul returns [k]G, as Mul.
func (c *Curve) BaseMul(k []byte) (x, y []byte) { return c.mulTable(c.gTable, k) }

// A table holds a point's multiples by 0 to 15.
type table [16]point

func (c *Curve) table(p point) *table {
	t := &table{c.infinity(), p}
	for i := 2; i < len(t); i++ {
		if i%2 == 0 {
			c.double(&t[i], &t[i/2])
		} else {
			c.add(&t[i], &t[i-1], &p)
		}
	}
	return t
}

// pick sets p to entry i, reading all of them.
func (t *table) pick(p *point, i byte) {
	*p = point{}
	for j := range t {
		d := uint64(byte(j) ^ i)
		m := -(1 ^ (d|-d)>>63)
		for k := range p.x {
			p.x[k] |= t[j].x[k] & m
			p.y[k] |= t[j].y[k] & m
			p.z[k] |= t[j].z[k] & m
		}
	}
}

func (c *Curve) mulTable(t *table, k []byte) (x, y []byte) {
	r := c.infinity()
	var p point
	for _, b := range k {
		for _, w := range [2]byte{b >> 4, b & 15} {
			for range 4 {
				c.double(&r, &r)
			}
			t.pick(&p, w)
			c.add(&r, &r, &p)
		}
	}
	return c.affine(&r)
}
