package tpmcrypto

import (
	"crypto/elliptic"
	"math/big"
)

// nistGroup computes with crypto/elliptic, whose four curves are constant time
// inside for scalars of the right length. crypto/ecdh would be the modern way
// to them, but returns x alone and does not add points; TPM commands want both
// coordinates and sums. The methods are deprecated for their unsafe use with
// unchecked points; here every point was checked.
type nistGroup struct {
	c    elliptic.Curve
	size int
}

func (g nistGroup) in(b []byte) *big.Int { return new(big.Int).SetBytes(b) }

func (g nistGroup) out(x, y *big.Int) Point {
	if x.Sign() == 0 && y.Sign() == 0 {
		return Point{}
	}
	b := make([]byte, 2*g.size)
	return Point{x.FillBytes(b[:g.size:g.size]), y.FillBytes(b[g.size:])}
}

func (g nistGroup) on(x, y []byte) bool { return g.c.IsOnCurve(g.in(x), g.in(y)) }

func (g nistGroup) mul(p Point, k []byte) Point {
	return g.out(g.c.ScalarMult(g.in(p.X), g.in(p.Y), k))
}

func (g nistGroup) baseMul(k []byte) Point { return g.out(g.c.ScalarBaseMult(k)) }

func (g nistGroup) add(p, q Point) Point {
	return g.out(g.c.Add(g.in(p.X), g.in(p.Y), g.in(q.X), g.in(q.Y)))
}
