package tpmcrypto

import (
	"bytes"
	"crypto/rand"
	"math/big"
	"testing"

	"stubtpm/vtpm/tcg"
)

// The equations of Part 1, 44.3.3.3 and 44.2.3 by math/big: the point [s]P1
// less [T]K1 is E when K1 = [d]P1.
func TestECDAA(t *testing.T) {
	t.Parallel()
	alg := tcg.TPMAlgSHA256
	for _, id := range Curves() {
		k := newKey(t, id)
		c := k.Curve
		r, err := c.CommitScalar(alg, []byte("commit random"), []byte("name"), 5)
		if err != nil {
			t.Fatal(err)
		}
		other, _ := c.CommitScalar(alg, []byte("commit random"), []byte("name"), 6)
		if bytes.Equal(r, other) {
			t.Error("the counter does not change the secret")
		}
		// A base point by hashing: try strings until x is on the curve.
		var s2, y2 []byte
		for i := byte(0); y2 == nil; i++ {
			s2 = []byte{'s', i}
			y2 = yOf(c, new(big.Int).SetBytes(Sum(nil, alg, s2)))
		}
		p1 := newKey(t, id).Q
		kp, l, e, err := k.Commit(alg, r, p1, s2, y2)
		if err != nil {
			t.Fatal(err)
		}
		p2, err := c.Check(Point{new(big.Int).Mod(new(big.Int).SetBytes(Sum(nil, alg, s2)), new(big.Int).SetBytes(c.P)).Bytes(), y2})
		if err != nil {
			t.Fatal(err)
		}
		same := func(what string, a, b Point) {
			t.Helper()
			if !bytes.Equal(a.X, b.X) || !bytes.Equal(a.Y, b.Y) {
				t.Errorf("%#x: %s is wrong", id, what)
			}
		}
		same("K", kp, c.mul(p2, k.Scalar()))
		same("L", l, c.mul(p2, r))
		same("E", e, c.mul(p1, r))
		if kp, l, e, err = k.Commit(alg, r, Point{}, nil, nil); err != nil || !kp.Infinity() || !l.Infinity() {
			t.Errorf("%#x: commit of nothing: %v", id, err)
		}
		same("E of G", e, c.baseMul(r))
		if kp, _, e, err = k.Commit(alg, r, Point{}, s2, y2); err != nil || kp.Infinity() || !e.Infinity() {
			t.Errorf("%#x: commit without P1: %v", id, err)
		}
		if _, _, _, err = k.Commit(alg, r, p1, s2, nil); err != ErrSize {
			t.Errorf("%#x: y2 missing: %v", id, err)
		}
		if _, _, _, err = k.Commit(alg, r, p1, s2, c.Gx); err != ErrPoint {
			t.Errorf("%#x: bad base point: %v", id, err)
		}
		if _, _, _, err = k.Commit(alg, r, Point{c.Gx, c.Gx}, nil, nil); id != tcg.TPMECCBNP638 && err != ErrPoint {
			t.Errorf("%#x: bad P1: %v", id, err)
		}
		if _, _, _, err = k.Commit(tcg.TPMAlgNull, r, p1, nil, nil); err != ErrHash {
			t.Error(err)
		}
		digest := Sum(nil, alg, []byte("attest"))
		sig, err := k.SignECDAA(rand.Reader, alg, r, digest)
		if err != nil {
			t.Fatal(err)
		}
		n := new(big.Int).SetBytes(c.N)
		tt := new(big.Int).Mod(new(big.Int).SetBytes(Sum(nil, alg, sig.R, digest)), n)
		s := tt.Mul(tt, new(big.Int).SetBytes(k.Scalar()))
		s.Add(s, new(big.Int).SetBytes(r)).Mod(s, n)
		if s.Cmp(new(big.Int).SetBytes(sig.S)) != 0 || len(sig.R) != c.Size {
			t.Errorf("%#x: not s = r + T d", id)
		}
	}
}

// yOf returns a y for x modulo p, or nil if x is on no point of the curve.
func yOf(c *Curve, x *big.Int) []byte {
	p := new(big.Int).SetBytes(c.P)
	x.Mod(x, p)
	y := new(big.Int).Mul(x, x)
	y.Add(y, new(big.Int).SetBytes(c.A)).Mul(y, x).Add(y, new(big.Int).SetBytes(c.B)).Mod(y, p)
	if y.ModSqrt(y, p) == nil {
		return nil
	}
	return y.FillBytes(make([]byte, c.Size))
}
