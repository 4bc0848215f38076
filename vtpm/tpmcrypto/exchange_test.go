package tpmcrypto

import (
	"bytes"
	"crypto/ecdh"
	"math/big"
	"testing"

	"stubtpm/vtpm/tcg"
)

func TestECDH(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		a, b := newKey(t, id), newKey(t, id)
		z1, err1 := a.ECDH(b.Q)
		z2, err2 := b.ECDH(a.Q)
		if err1 != nil || err2 != nil || !bytes.Equal(z1.X, z2.X) || !bytes.Equal(z1.Y, z2.Y) || !a.Curve.OnCurve(z1) {
			t.Errorf("%#x: no common secret: %v %v", id, err1, err2)
		}
	}
	for id, std := range map[tcg.TPMECCCurve]ecdh.Curve{
		tcg.TPMECCNistP256: ecdh.P256(), tcg.TPMECCNistP384: ecdh.P384(), tcg.TPMECCNistP521: ecdh.P521(),
	} {
		for range 10 {
			a, b := newKey(t, id), newKey(t, id)
			d, err := std.NewPrivateKey(a.Scalar())
			if err != nil {
				t.Fatal(err)
			}
			if want := append(append([]byte{4}, a.Q.X...), a.Q.Y...); !bytes.Equal(d.PublicKey().Bytes(), want) {
				t.Fatalf("%#x: public point differs from crypto/ecdh", id)
			}
			q, err := std.NewPublicKey(append(append([]byte{4}, b.Q.X...), b.Q.Y...))
			if err != nil {
				t.Fatal(err)
			}
			want, err := d.ECDH(q)
			if err != nil {
				t.Fatal(err)
			}
			if z, err := a.ECDH(b.Q); err != nil || !bytes.Equal(z.X, want) {
				t.Errorf("%#x: secret %x, want %x", id, z.X, want)
			}
		}
	}
}

// Both sides of each exchange get the same points.
func TestZGen2Phase(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		a, b, ea, eb := newKey(t, id), newKey(t, id), newKey(t, id), newKey(t, id)
		for _, scheme := range []tcg.TPMAlgID{tcg.TPMAlgECDH, tcg.TPMAlgECMQV, tcg.TPMAlgSM2} {
			if scheme == tcg.TPMAlgSM2 && !HasSM {
				continue
			}
			z1, z2, err := a.ZGen2Phase(scheme, ea.Scalar(), b.Q, eb.Q)
			if err != nil {
				t.Fatal(err)
			}
			y1, y2, err := b.ZGen2Phase(scheme, eb.Scalar(), a.Q, ea.Q)
			if err != nil {
				t.Fatal(err)
			}
			if z1.Infinity() || !bytes.Equal(z1.X, y1.X) || !bytes.Equal(z1.Y, y1.Y) ||
				!bytes.Equal(z2.X, y2.X) || z2.Infinity() != (scheme != tcg.TPMAlgECDH) {
				t.Errorf("%#x %#x: the two sides differ", id, scheme)
			}
		}
		// MQV by math/big.
		c := a.Curve
		n := new(big.Int).SetBytes(c.N)
		f := uint((c.Bits + 1) / 2)
		avf := func(q Point) *big.Int {
			m := new(big.Int).Lsh(big.NewInt(1), f)
			return m.Add(m, new(big.Int).Mod(new(big.Int).SetBytes(q.X), m))
		}
		tA := new(big.Int).Mul(new(big.Int).SetBytes(a.Scalar()), avf(ea.Q))
		tA.Add(tA, new(big.Int).SetBytes(ea.Scalar())).Mod(tA, n)
		tB := new(big.Int).Mul(new(big.Int).SetBytes(b.Scalar()), avf(eb.Q))
		tB.Add(tB, new(big.Int).SetBytes(eb.Scalar())).Mod(tB, n)
		want := c.baseMul(tA.Mul(tA, tB).Mod(tA, n).FillBytes(make([]byte, c.Size)))
		z1, _, _ := a.ZGen2Phase(tcg.TPMAlgECMQV, ea.Scalar(), b.Q, eb.Q)
		if !bytes.Equal(z1.X, want.X) {
			t.Errorf("%#x: not the MQV point", id)
		}
		// A peer that knows its scalars can choose them so that its points
		// cancel: infinity, a result with MQV and an error with SM2.
		e := new(big.Int).SetBytes(eb.Scalar())
		static := func(d *big.Int) Point {
			return c.baseMul(d.Mod(d, n).FillBytes(make([]byte, c.Size)))
		}
		inv := new(big.Int).ModInverse(avf(eb.Q), n)
		if z, _, err := a.ZGen2Phase(tcg.TPMAlgECMQV, ea.Scalar(), static(inv.Mul(inv, e).Neg(inv)), eb.Q); err != nil || !z.Infinity() {
			t.Errorf("%#x: MQV with infinity: %x, %v", id, z, err)
		}
		f--
		if z, _, err := a.ZGen2Phase(tcg.TPMAlgSM2, ea.Scalar(), static(new(big.Int).Neg(e.Mul(e, avf(eb.Q)))), eb.Q); HasSM && (err != ErrInfinity || !z.Infinity()) {
			t.Errorf("%#x: SM2 with infinity: %x, %v", id, z, err)
		}
		if _, _, err := a.ZGen2Phase(tcg.TPMAlgECDAA, ea.Scalar(), b.Q, eb.Q); err != ErrScheme {
			t.Error(err)
		}
		if _, _, err := a.ZGen2Phase(tcg.TPMAlgECDH, c.N, b.Q, eb.Q); err != ErrValue {
			t.Error(err)
		}
	}
}
