package tpmcrypto

import (
	"bytes"
	"crypto/rand"
	"errors"
	"math/big"
	"testing"
	"testing/iotest"

	"stubtpm/vtpm/tcg"
)

func newKey(t testing.TB, id tcg.TPMECCCurve) *ECCPrivate {
	t.Helper()
	k, err := NewECCKey(rand.Reader, id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A key whose public point was changed by a fault signs nothing: every
// signature is checked before it leaves.
func TestECCFault(t *testing.T) {
	t.Parallel()
	digest := make([]byte, 32)
	for _, id := range Curves() {
		k := newKey(t, id)
		k.Q = newKey(t, id).Q
		if s, err := k.SignECDSA(rand.Reader, digest); err != ErrFault || s.R != nil {
			t.Errorf("%#x: ECDSA: %v", id, err)
		}
		if s, err := k.SignSchnorr(rand.Reader, tcg.TPMAlgSHA256, digest); err != ErrFault || s.R != nil {
			t.Errorf("%#x: Schnorr: %v", id, err)
		}
		if s, err := k.SignSM2(rand.Reader, digest); HasSM && err != ErrFault || s.R != nil {
			t.Errorf("%#x: SM2: %v", id, err)
		}
	}
}

// TestECDSACheck: what leaves is what VerifyECDSA takes, for digests of any
// length; and a fault in either copy of the scalar, or in the signature, ends as
// ErrFault.
func TestECDSACheck(t *testing.T) {
	t.Parallel()
	for _, id := range []tcg.TPMECCCurve{tcg.TPMECCNistP224, tcg.TPMECCNistP256, tcg.TPMECCNistP384, tcg.TPMECCNistP521} {
		k := newKey(t, id)
		for _, n := range []int{0, 1, 20, 28, 32, 48, 64, 65, 66, 67, 100} {
			digest := bytes.Repeat([]byte{0xf5, 0x3a}, 50)[:n]
			sig, err := k.SignECDSA(rand.Reader, digest)
			if err != nil || k.VerifyECDSA(digest, sig) != nil {
				t.Fatalf("%#x, %d octets: %v", id, n, err)
			}
			for _, b := range [][]byte{sig.R, sig.S} {
				b[len(b)-1] ^= 1
				if k.signed(digest, sig) {
					t.Errorf("%#x, %d octets: a changed signature passes", id, n)
				}
				b[len(b)-1] ^= 1
			}
		}
		digest := make([]byte, 32)
		k.d[len(k.d)-1] ^= 1
		if s, err := k.SignECDSA(rand.Reader, digest); err != ErrFault || s.R != nil {
			t.Errorf("%#x: scalar changed: %v", id, err)
		}
		k.d[len(k.d)-1] ^= 1
		wrong := newKey(t, id)
		k.std = wrong.standard()
		if s, err := k.SignECDSA(rand.Reader, digest); err != ErrFault || s.R != nil {
			t.Errorf("%#x: copy changed: %v", id, err)
		}
	}
}

// What rand says comes through, and nothing is signed without it.
func TestNoRandomness(t *testing.T) {
	t.Parallel()
	boom := errors.New("no entropy")
	r := iotest.ErrReader(boom)
	k := newKey(t, tcg.TPMECCBNP256)
	d := make([]byte, 32)
	if _, err := NewECCKey(r, tcg.TPMECCNistP256); err != boom {
		t.Error(err)
	}
	if _, err := NewRSAKey(r, 2048, 0); err != boom {
		t.Error(err)
	}
	if _, err := k.SignECDSA(r, d); err != boom {
		t.Error(err)
	}
	if _, err := k.SignSchnorr(r, tcg.TPMAlgSHA256, d); err != boom {
		t.Error(err)
	}
	if _, err := k.SignSM2(r, d); HasSM && err != boom {
		t.Error(err)
	}
	if _, err := k.SignECDAA(r, tcg.TPMAlgSHA256, []byte{1}, d); err != boom {
		t.Error(err)
	}
	if _, _, _, err := k.Encrypt(r, tcg.TPMAlgSHA256, d); err != boom {
		t.Error(err)
	}
}

func FuzzNewECCPublic(f *testing.F) {
	for _, id := range Curves() {
		g := CurveByID(id).Generator()
		f.Add(uint16(id), g.X, g.Y)
	}
	f.Add(uint16(0), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, id uint16, x, y []byte) {
		k, err := NewECCPublic(tcg.TPMECCCurve(id), Point{x, y})
		if err != nil {
			return
		}
		c := k.Curve
		p := new(big.Int).SetBytes(c.P)
		lhs := new(big.Int).SetBytes(y)
		lhs.Mul(lhs, lhs).Mod(lhs, p)
		bx := new(big.Int).SetBytes(x)
		rhs := new(big.Int).Mul(bx, bx)
		rhs.Add(rhs, new(big.Int).SetBytes(c.A)).Mul(rhs, bx).Add(rhs, new(big.Int).SetBytes(c.B)).Mod(rhs, p)
		if bx.Cmp(p) >= 0 || lhs.Cmp(rhs) != 0 {
			t.Error("point off the curve accepted")
		}
		k.VerifyECDSA(x, ECCSignature{x, y})
		k.VerifySchnorr(tcg.TPMAlgSHA256, x, ECCSignature{x, y})
		k.VerifySM2(x, ECCSignature{x, y})
	})
}

func BenchmarkECC(b *testing.B) {
	d := make([]byte, 32)
	for _, id := range Curves() {
		k := newKey(b, id)
		name := map[tcg.TPMECCCurve]string{1: "P192", 2: "P224", 3: "P256", 4: "P384", 5: "P521", 0x10: "BN256", 0x11: "BN638", 0x20: "SM2"}[id]
		b.Run(name+"/NewKey", func(b *testing.B) {
			for b.Loop() {
				NewECCKey(rand.Reader, id)
			}
		})
		b.Run(name+"/Sign", func(b *testing.B) {
			for b.Loop() {
				k.SignECDSA(rand.Reader, d)
			}
		})
		b.Run(name+"/Verify", func(b *testing.B) {
			s, _ := k.SignECDSA(rand.Reader, d)
			for b.Loop() {
				k.VerifyECDSA(d, s)
			}
		})
		b.Run(name+"/ECDH", func(b *testing.B) {
			for b.Loop() {
				k.ECDH(k.Q)
			}
		})
	}
}
