package tpmcrypto

import (
	"crypto/rand"
	"math/big"
	"testing"

	"stubtpm/vtpm/tcg"
)

func TestSchnorr(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		k := newKey(t, id)
		for _, alg := range Hashes() {
			digest := Sum(nil, alg, []byte("message"))
			sig, err := k.SignSchnorr(rand.Reader, alg, digest)
			if err != nil {
				t.Fatalf("%#x %#x: %v", id, alg, err)
			}
			testBadSignatures(t, k.Curve, sig, func(s ECCSignature) error { return k.VerifySchnorr(alg, digest, s) })
			// Part 1, 44.3.4.2 by math/big: E = [s]G - [r]Q, r = H(x || P) cut.
			c := k.Curve
			n := new(big.Int).SetBytes(c.N)
			r := new(big.Int).SetBytes(sig.R)
			neg := new(big.Int).Mod(new(big.Int).Neg(r), n).FillBytes(make([]byte, c.Size))
			e := c.add(c.baseMul(sig.S), c.mul(k.Q, neg))
			want := Sum(nil, alg, e.X, digest)
			if new(big.Int).SetBytes(want[:min(len(want), c.Size)]).Cmp(r) != 0 {
				t.Errorf("%#x %#x: not the Schnorr equation", id, alg)
			}
		}
		if _, err := k.SignSchnorr(rand.Reader, tcg.TPMAlgNull, nil); err != ErrHash {
			t.Error(err)
		}
	}
}

func TestSM2(t *testing.T) {
	t.Parallel()
	if !HasSM {
		t.Skip("no SM2 in this build")
	}
	for _, id := range Curves() {
		k := newKey(t, id)
		digest := Sum(nil, tcg.TPMAlgSHA256, []byte("message"))
		sig, err := k.SignSM2(rand.Reader, digest)
		if err != nil {
			t.Fatal(err)
		}
		testBadSignatures(t, k.Curve, sig, func(s ECCSignature) error { return k.VerifySM2(digest, s) })
	}
}
