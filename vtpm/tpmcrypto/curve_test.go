package tpmcrypto

import (
	"bytes"
	"crypto/rand"
	"math/big"
	"testing"

	"stubtpm/vtpm/tcg"
)

// The numbers of each curve make one: primes, a generator on it, whose order
// times itself is infinity, and for BN curves the defining polynomials.
func TestCurveNumbers(t *testing.T) {
	t.Parallel()
	if len(Curves()) != len(curves()) {
		t.Fatalf("%d ids, %d curves", len(Curves()), len(curves()))
	}
	for _, id := range Curves() {
		c := CurveByID(id)
		p, n := new(big.Int).SetBytes(c.P), new(big.Int).SetBytes(c.N)
		if !p.ProbablyPrime(10) || !n.ProbablyPrime(10) {
			t.Errorf("%#x: field or order is not prime", id)
		}
		if !c.OnCurve(c.Generator()) {
			t.Errorf("%#x: generator is not on the curve", id)
		}
		if !c.baseMul(c.N).Infinity() {
			t.Errorf("%#x: [n]G is not infinity", id)
		}
		for _, b := range [][]byte{c.P, c.A, c.B, c.Gx, c.Gy, c.N} {
			if len(b) != c.Size {
				t.Errorf("%#x: number of %d octets", id, len(b))
			}
		}
		if c.Bits != p.BitLen() || c.Bits != n.BitLen() || c.Size != (c.Bits+7)/8 {
			t.Errorf("%#x: %d bits, %d octets", id, c.Bits, c.Size)
		}
	}
	// ISO/IEC 15946-5, 7.3: p = 36u^4+36u^3+24u^2+6u+1, n = p - 6u^2.
	for _, id := range []tcg.TPMECCCurve{tcg.TPMECCBNP256, tcg.TPMECCBNP638} {
		c := CurveByID(id)
		p, n := new(big.Int).SetBytes(c.P), new(big.Int).SetBytes(c.N)
		// 6u^2 = p - n gives u up to its sign.
		sq := new(big.Int).Sub(p, n)
		if new(big.Int).Mod(sq, big.NewInt(6)).Sign() != 0 {
			t.Errorf("%#x: p-n is not 6u^2", id)
		}
		r := new(big.Int).Sqrt(sq.Div(sq, big.NewInt(6)))
		if bnP(r).Cmp(p) != 0 && bnP(r.Neg(r)).Cmp(p) != 0 {
			t.Errorf("%#x: p is not the polynomial of u", id)
		}
	}
	if CurveByID(tcg.TPMECCCurve25519) != nil {
		t.Error("Curve25519 is not one of these")
	}
}

func bnP(u *big.Int) *big.Int {
	p := big.NewInt(0)
	for _, c := range []int64{36, 36, 24, 6, 1} {
		p.Mul(p, u).Add(p, big.NewInt(c))
	}
	return p
}

// Points as in Wycheproof's ECDH tests: off the curve, coordinates not below
// p, negated, compressed by mistake, infinity, of another curve, too long.
func TestBadPoints(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		k := newKey(t, id)
		c := k.Curve
		x1 := new(big.Int).Add(new(big.Int).SetBytes(k.Q.X), new(big.Int).SetBytes(c.P)).Bytes()
		flip := bytes.Clone(k.Q.Y)
		flip[len(flip)-1] ^= 1
		for name, q := range map[string]Point{
			"infinity": {}, "zero": {make([]byte, c.Size), make([]byte, c.Size)}, "x alone": {X: k.Q.X},
			"off": {k.Q.X, flip}, "swapped": {k.Q.Y, k.Q.X}, "x+p": {x1, k.Q.Y}, "p": {c.P, k.Q.Y},
			"long": {append([]byte{1}, k.Q.X...), k.Q.Y}, "other curve": {[]byte{1}, []byte{7}},
		} {
			if _, err := k.ECDH(q); err != ErrPoint {
				t.Errorf("%#x %s: ECDH gives %v", id, name, err)
			}
			if _, err := NewECCPublic(id, q); err != ErrPoint {
				t.Errorf("%#x %s: NewECCPublic gives %v", id, name, err)
			}
			if _, _, err := k.ZGen2Phase(tcg.TPMAlgECMQV, []byte{1}, q, k.Q); err != ErrPoint {
				t.Errorf("%#x %s: ZGen2Phase gives %v", id, name, err)
			}
			if _, _, err := k.ZGen2Phase(tcg.TPMAlgECMQV, []byte{1}, k.Q, q); err != ErrPoint {
				t.Errorf("%#x %s: ZGen2Phase gives %v", id, name, err)
			}
		}
		// Zeros in front do not matter.
		if _, err := k.ECDH(Point{append([]byte{0, 0}, k.Q.X...), k.Q.Y}); err != nil {
			t.Errorf("%#x: padded point: %v", id, err)
		}
		for _, d := range [][]byte{nil, {}, {0}, c.N, append([]byte{1}, c.N...), bytes.Repeat([]byte{0xff}, c.Size)} {
			if _, err := NewECCPrivate(id, d); err != ErrValue {
				t.Errorf("%#x: scalar %x: %v", id, d, err)
			}
		}
		less1 := new(big.Int).Sub(new(big.Int).SetBytes(c.N), big.NewInt(1)).Bytes()
		if l, err := NewECCPrivate(id, less1); err != nil || !bytes.Equal(l.Q.X, c.Gx) || bytes.Equal(l.Q.Y, c.Gy) {
			t.Errorf("%#x: [n-1]G is not -G: %v", id, err)
		}
		if l, err := NewECCPrivate(id, k.Scalar()); err != nil || !l.Matches(k.Q) || l.Matches(c.Generator()) || l.Matches(Point{}) {
			t.Errorf("%#x: Matches", id)
		}
	}
	if _, err := NewECCPublic(tcg.TPMECCNone, Point{}); err != ErrCurve {
		t.Error(err)
	}
	if _, err := NewECCPrivate(tcg.TPMECCNone, nil); err != ErrCurve {
		t.Error(err)
	}
	if _, err := NewECCKey(rand.Reader, tcg.TPMECCNone); err != ErrCurve {
		t.Error(err)
	}
}

func TestScalars(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		c := CurveByID(id)
		wide := bytes.Repeat([]byte{0xff}, c.Size+8)
		got, err := c.ReduceScalar(wide)
		want := new(big.Int).Mod(new(big.Int).SetBytes(wide), new(big.Int).SetBytes(c.N))
		if err != nil || new(big.Int).SetBytes(got).Cmp(want) != 0 || len(got) != c.Size {
			t.Errorf("%#x: %x, %v", id, got, err)
		}
		if _, err := c.ReduceScalar(append(wide, 0)); err != ErrSize {
			t.Error(err)
		}
		if _, err := c.BaseMul(nil); err != ErrInfinity {
			t.Errorf("%#x: [0]G: %v", id, err)
		}
		if _, err := c.BaseMul(c.N); err != ErrValue {
			t.Errorf("%#x: [n]G: %v", id, err)
		}
		if p, err := c.BaseMul([]byte{1}); err != nil || !bytes.Equal(p.Y, c.Gy) {
			t.Errorf("%#x: [1]G: %v", id, err)
		}
		k := newKey(t, id)
		k.Zero()
		if !bytes.Equal(k.d, make([]byte, c.Size)) {
			t.Error("scalar still there")
		}
	}
}
