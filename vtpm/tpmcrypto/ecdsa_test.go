package tpmcrypto

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"math/big"
	"testing"

	"stubtpm/vtpm/tcg"
)

func TestECDSA(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		k := newKey(t, id)
		for _, alg := range Hashes() {
			digest := Sum(nil, alg, []byte("message"))
			sig, err := k.SignECDSA(rand.Reader, digest)
			if err != nil {
				t.Fatalf("%#x %#x: %v", id, alg, err)
			}
			if len(sig.R) != k.Curve.Size || len(sig.S) != k.Curve.Size {
				t.Errorf("%#x: signature of %d and %d octets", id, len(sig.R), len(sig.S))
			}
			if err := k.VerifyECDSA(digest, ECCSignature{bytes.TrimLeft(sig.R, "\x00"), append([]byte{0}, sig.S...)}); err != nil {
				t.Errorf("%#x: padding matters: %v", id, err)
			}
			if k.Curve.std != nil {
				// The own algorithm against the standard library's.
				if own, err := k.ownECDSA(rand.Reader, digest); err != nil || !ecdsa.Verify(k.ECCPublic.standard(), digest,
					new(big.Int).SetBytes(own.R), new(big.Int).SetBytes(own.S)) {
					t.Errorf("%#x %#x: crypto/ecdsa refuses ours: %v", id, alg, err)
				}
				if err := k.ownVerifyECDSA(digest, sig); err != nil {
					t.Errorf("%#x %#x: we refuse crypto/ecdsa's: %v", id, alg, err)
				}
			}
			testBadSignatures(t, k.Curve, sig, func(s ECCSignature) error { return k.VerifyECDSA(digest, s) })
			digest[0] ^= 0x80
			if k.VerifyECDSA(digest, sig) != ErrSignature {
				t.Errorf("%#x: another digest accepted", id)
			}
		}
	}
}

// testBadSignatures tries what Wycheproof tries: zero, the order, one more
// than the order, exchanged, changed, too long, empty.
func testBadSignatures(t *testing.T, c *Curve, good ECCSignature, verify func(ECCSignature) error) {
	t.Helper()
	if err := verify(good); err != nil {
		t.Errorf("%#x: good signature refused: %v", c.ID, err)
	}
	add := func(b []byte) []byte {
		return new(big.Int).Add(new(big.Int).SetBytes(b), new(big.Int).SetBytes(c.N)).Bytes()
	}
	flip := bytes.Clone(good.S)
	flip[len(flip)-1] ^= 1
	flipR := bytes.Clone(good.R)
	flipR[len(flipR)-1] ^= 1
	for i, s := range []ECCSignature{
		{}, {good.R, nil}, {nil, good.S}, {good.R, make([]byte, c.Size)}, {make([]byte, c.Size), good.S},
		{good.R, c.N}, {good.R, add(good.S)}, {good.S, good.R}, {good.R, flip}, {flipR, good.S},
		{append([]byte{1}, good.R...), good.S}, {good.R, append([]byte{1}, good.S...)},
		{good.R, bytes.Repeat([]byte{0xff}, c.Size+8)},
	} {
		if verify(s) != ErrSignature {
			t.Errorf("%#x: bad signature %d accepted", c.ID, i)
		}
	}
}

// Digests longer than the order: the highest bits count, on P-521 with a shift
// that is no whole octet. crypto/ecdsa decides what is right.
func TestLongDigest(t *testing.T) {
	t.Parallel()
	for _, id := range []tcg.TPMECCCurve{tcg.TPMECCNistP224, tcg.TPMECCNistP256, tcg.TPMECCNistP384, tcg.TPMECCNistP521} {
		k := newKey(t, id)
		for _, n := range []int{0, 1, 28, 65, 66, 67, 100} {
			digest := bytes.Repeat([]byte{0xf5, 0x3a}, 50)[:n]
			sig, err := k.SignECDSA(rand.Reader, digest)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.ownVerifyECDSA(digest, sig); err != nil {
				t.Errorf("%#x, %d octets: %v", id, n, err)
			}
		}
	}
}

// RFC 6979, A.2.5 to A.2.7: "sample" with SHA-512 and "test" with SHA-256.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		id      tcg.TPMECCCurve
		key     string
		alg     tcg.TPMAlgID
		message string
		r, s    string
	}{
		{tcg.TPMECCNistP256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721", tcg.TPMAlgSHA256, "test",
			"f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367", "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"},
		{tcg.TPMECCNistP256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721", tcg.TPMAlgSHA512, "sample",
			"8496a60b5e9b47c825488827e0495b0e3fa109ec4568fd3f8d1097678eb97f00", "2362ab1adbe2b8adf9cb9edab740ea6049c028114f2460f96554f61fae3302fe"},
		{tcg.TPMECCNistP384, "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5", tcg.TPMAlgSHA384, "sample",
			"94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46", "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8"},
	} {
		k, err := NewECCPrivate(v.id, unhex(t, v.key))
		if err != nil {
			t.Fatal(err)
		}
		sig, err := k.SignECDSADeterministic(v.alg, Sum(nil, v.alg, []byte(v.message)))
		if err != nil || !bytes.Equal(sig.R, unhex(t, v.r)) || !bytes.Equal(sig.S, unhex(t, v.s)) {
			t.Errorf("%#x %#x %s: %x %x %v", v.id, v.alg, v.message, sig.R, sig.S, err)
		}
		if _, err := k.SignECDSADeterministic(v.alg, []byte("short")); err != ErrSize {
			t.Error(err)
		}
		if _, err := k.SignECDSADeterministic(tcg.TPMAlgNull, nil); err != ErrHash {
			t.Error(err)
		}
	}
	if _, err := newKey(t, tcg.TPMECCBNP256).SignECDSADeterministic(tcg.TPMAlgSHA256, make([]byte, 32)); err != ErrCurve {
		t.Error(err)
	}
}
