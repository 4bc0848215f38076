package tpmcrypto

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha3"
	"errors"
	"hash"
	"testing"

	oracle "filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
	"github.com/cloudflare/circl/kem"
	"github.com/cloudflare/circl/kem/mlkem/mlkem1024"
	"github.com/cloudflare/circl/kem/mlkem/mlkem512"
	"github.com/cloudflare/circl/kem/mlkem/mlkem768"

	"stubtpm/vtpm/tcg"
)

// TestKnownPQ makes the answers of the self-tests by other implementations.
func TestKnownPQ(t *testing.T) {
	t.Parallel()
	for _, k := range KATs() {
		switch k.Alg {
		case tcg.TPMAlgHKDF, tcg.TPMAlgMLKEM, tcg.TPMAlgMLDSA, tcg.TPMAlgHashMLDSA:
			if err := k.Run(); err != nil {
				t.Errorf("%#x: %v", k.Alg, err)
			}
		}
	}
	for _, c := range []struct {
		scheme kem.Scheme
		want   string
	}{
		{mlkem512.Scheme(), "3d2136e79a30858acbb627170e118dd1019755c92a7453f82994262bfb75c46e"},
		{mlkem768.Scheme(), "b978768b2a723521c475dc1a6b66109572a297d45a16f09c42f78e1ac56cc232"},
	} {
		pub, priv := c.scheme.DeriveKeyPair(counting(0, 64))
		b, err1 := pub.MarshalBinary()
		ct, ss, err2 := c.scheme.EncapsulateDeterministically(pub, counting(0x80, 32))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(ct)
		changed[0] ^= 1
		rejected, err := c.scheme.Decapsulate(priv, changed)
		if err != nil {
			t.Fatal(err)
		}
		if err := known(c.want, digestOf(b, ct, ss, rejected)); err != nil {
			t.Errorf("%s: %v", c.scheme.Name(), err)
		}
	}
	k, err := oracle.NewPrivateKey(oracle.MLDSA44(), counting(0, 32))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := k.SignDeterministic([]byte("message"), &oracle.Options{Context: "context"})
	if err != nil {
		t.Fatal(err)
	}
	if err := known("7769a9d8c4d0a8a5b799ed8f9175777cb70597d5922347bcba2052fb5e9df0d7", digestOf(k.PublicKey().Bytes(), sig)); err != nil {
		t.Error(err)
	}
	// mu by FIPS 204, Algorithm 4, written out.
	h := sha3.SumSHAKE256(k.PublicKey().Bytes(), 64)
	d := sha256.Sum256([]byte("message"))
	in := bytes.Join([][]byte{h, {1, 7}, []byte("context"), {0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01}, d[:]}, nil)
	sig, err = k.SignDeterministic(sha3.SumSHAKE256(in, 64), crypto.Hash(mldsacrypto.MLDSAMu))
	if err != nil {
		t.Fatal(err)
	}
	if err := known("91e6d8803178d1f95f4c576c2b2f4a718099f9c65d580aab9cae723e23b17300", digestOf(k.PublicKey().Bytes(), sig)); err != nil {
		t.Error(err)
	}
}

// TestMLKEM exchanges secrets with circl's, and refuses what is no key.
func TestMLKEM(t *testing.T) {
	t.Parallel()
	for set, scheme := range map[uint16]kem.Scheme{
		tcg.TPMMLKEM512: mlkem512.Scheme(), tcg.TPMMLKEM768: mlkem768.Scheme(), tcg.TPMMLKEM1024: mlkem1024.Scheme(),
	} {
		seed := counting(byte(set), 64)
		k, err := NewMLKEMPrivate(set, seed)
		if err != nil {
			t.Fatal(err)
		}
		pub, priv := scheme.DeriveKeyPair(seed)
		for range 10 {
			secret, c, err := k.Encapsulate(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := scheme.Decapsulate(priv, c); err != nil || !bytes.Equal(got, secret) {
				t.Errorf("set %d: circl decapsulates another secret (%v)", set, err)
			}
			c, secret, err = scheme.Encapsulate(pub)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := k.Decapsulate(c); err != nil || !bytes.Equal(got, secret) {
				t.Errorf("set %d: another secret than circl's (%v)", set, err)
			}
		}
		if _, err := k.Decapsulate(make([]byte, 100)); err != ErrSize {
			t.Errorf("short ciphertext: %v", err)
		}
		if _, err := NewMLKEMPrivate(set, seed[1:]); err != ErrSize {
			t.Errorf("short seed: %v", err)
		}
		if _, err := NewMLKEMPublic(set, bytes.Repeat([]byte{0xFF}, len(k.Bytes()))); err != ErrValue {
			t.Errorf("a public key that is not reduced: %v", err)
		}
		if _, err := NewMLKEMPublic(4, k.Bytes()); err != ErrValue {
			t.Errorf("set 4: %v", err)
		}
		if _, _, err := k.Encapsulate(bytes.NewReader(nil)); err == nil {
			t.Error("no random numbers, and a secret")
		}
	}
	if _, err := NewMLKEMPrivate(0, counting(0, 64)); err != ErrValue {
		t.Errorf("set 0: %v", err)
	}
}

// TestMLDSA signs, verifies, and keeps the state of a running mu.
func TestMLDSA(t *testing.T) {
	t.Parallel()
	for _, set := range []uint16{tcg.TPMMLDSA44, tcg.TPMMLDSA65, tcg.TPMMLDSA87} {
		k, err := NewMLDSAPrivate(set, counting(byte(set), 32))
		if err != nil {
			t.Fatal(err)
		}
		m := k.NewMu([]byte("of"))
		m.Write([]byte("a "))
		first := m.Sum(nil)
		if again := m.Sum(nil); !bytes.Equal(first, again) {
			t.Error("Sum changes the state")
		}
		b, err := m.Save()
		if err != nil {
			t.Fatal(err)
		}
		r, err := RestoreMu(b)
		if err != nil {
			t.Fatal(err)
		}
		m.Write([]byte("message"))
		r.Write([]byte("message"))
		mu := m.Sum(nil)
		if !bytes.Equal(mu, r.Sum(nil)) {
			t.Error("a restored mu goes on otherwise")
		}
		a, err1 := k.Sign(rand.Reader, mu)
		c, err2 := k.Sign(rand.Reader, mu)
		if err1 != nil || err2 != nil || bytes.Equal(a, c) {
			t.Errorf("not hedged: %v, %v", err1, err2)
		}
		pub, err := NewMLDSAPublic(set, k.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if err := pub.Verify(mu, a); err != nil {
			t.Error(err)
		}
		if err := pub.Verify(first, a); err != ErrSignature {
			t.Errorf("another message: %v", err)
		}
		if err := pub.Verify(mu[1:], a); err != ErrSize {
			t.Errorf("short mu: %v", err)
		}
		if _, err := k.Sign(rand.Reader, mu[1:]); err != ErrSize {
			t.Errorf("short mu: %v", err)
		}
		if _, err := k.Sign(bytes.NewReader(nil), mu); err == nil {
			t.Error("no random numbers, and a signature")
		}
		if _, err := k.HashMu(tcg.TPMAlgSHA1, nil, make([]byte, 20)); err != ErrHash {
			t.Errorf("SHA-1: %v", err)
		}
		if _, err := k.HashMu(tcg.TPMAlgSHA256, nil, make([]byte, 31)); err != ErrSize {
			t.Errorf("short digest: %v", err)
		}
		// A fault in the computation gives no signature.
		k.k.Zero()
		if sig, err := k.Sign(rand.Reader, mu); err != ErrFault || sig != nil {
			t.Errorf("a key without its secrets signs: %v", err)
		}
		if _, err := NewMLDSAPublic(set, k.Bytes()[1:]); err != ErrValue {
			t.Errorf("short public key: %v", err)
		}
		if _, err := RestoreMu(b[1:]); err != ErrState {
			t.Errorf("damaged state: %v", err)
		}
	}
}

// TestDHKEM compares with the standard library's HPKE, which does not show the
// shared secret: what it exports is derived here from ours.
func TestDHKEM(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		curve tcg.TPMECCCurve
		alg   tcg.TPMAlgID
		std   ecdh.Curve
		kdf   hpke.KDF
	}{
		{tcg.TPMECCNistP256, tcg.TPMAlgSHA256, ecdh.P256(), hpke.HKDFSHA256()},
		{tcg.TPMECCNistP384, tcg.TPMAlgSHA384, ecdh.P384(), hpke.HKDFSHA384()},
		{tcg.TPMECCNistP521, tcg.TPMAlgSHA512, ecdh.P521(), hpke.HKDFSHA512()},
	} {
		k, err := NewECCKey(rand.Reader, c.curve)
		if err != nil {
			t.Fatal(err)
		}
		secret, enc, err := k.Public().Encapsulate(rand.Reader, c.alg)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Decapsulate(c.alg, enc); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%#x: decapsulates another secret: %v", c.curve, err)
		}
		priv, err := c.std.NewPrivateKey(k.Scalar())
		if err != nil {
			t.Fatal(err)
		}
		hp, err := hpke.NewDHKEMPrivateKey(priv)
		if err != nil {
			t.Fatal(err)
		}
		recipient, err := hpke.NewRecipient(enc, hp, c.kdf, hpke.ExportOnly(), nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := recipient.Export("context", 32)
		if err != nil {
			t.Fatal(err)
		}
		d, err := newDHKEM(k.Curve, c.alg)
		if err != nil {
			t.Fatal(err)
		}
		if got := export(t, d.hash, d.id, c.kdf.ID(), secret); !bytes.Equal(got, want) {
			t.Errorf("%#x: exports %x, want %x", c.curve, got, want)
		}
		if _, err := k.Decapsulate(c.alg, enc[1:]); err != ErrSize {
			t.Errorf("short ciphertext: %v", err)
		}
		for _, at := range []int{0, 5} {
			bad := bytes.Clone(enc)
			bad[at] ^= 1
			if _, err := k.Decapsulate(c.alg, bad); err != ErrPoint {
				t.Errorf("byte %d of the point changed: %v", at, err)
			}
		}
		if _, _, err := k.Public().Encapsulate(rand.Reader, tcg.TPMAlgSHA1); err != ErrScheme || HasDHKEM(c.curve, tcg.TPMAlgSHA1) {
			t.Errorf("HKDF of SHA-1: %v", err)
		}
	}
}

// export is RFC 9180, 5.1 and 5.3: what the base mode exports for "context" with
// an empty info and no AEAD.
func export(t *testing.T, hash func() hash.Hash, kem, kdf uint16, secret []byte) []byte {
	t.Helper()
	suite := []byte{'H', 'P', 'K', 'E', byte(kem >> 8), byte(kem), byte(kdf >> 8), byte(kdf), 0xFF, 0xFF}
	extract := func(salt []byte, label string, ikm []byte) []byte {
		b, err := hkdf.Extract(hash, bytes.Join([][]byte{[]byte("HPKE-v1"), suite, []byte(label), ikm}, nil), salt)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	expand := func(prk []byte, label string, info []byte, n int) []byte {
		b, err := hkdf.Expand(hash, prk, string(bytes.Join([][]byte{{byte(n >> 8), byte(n)}, []byte("HPKE-v1"), suite, []byte(label), info}, nil)), n)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	context := bytes.Join([][]byte{{0}, extract(nil, "psk_id_hash", nil), extract(nil, "info_hash", nil)}, nil)
	exporter := expand(extract(secret, "secret", nil), "exp", context, hash().Size())
	return expand(exporter, "sec", []byte("context"), 32)
}

// TestRestoreMu: a state that gives out already, which no Mu saves, is refused: it
// would panic at the next Write.
func TestRestoreMu(t *testing.T) {
	t.Parallel()
	h := sha3.NewSHAKE256()
	h.Read(make([]byte, 1))
	state, err := h.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RestoreMu(state); err != ErrState {
		t.Errorf("a sponge that gives out: %v", err)
	}
	if _, err := RestoreMu(nil); err != ErrState {
		t.Errorf("no state: %v", err)
	}
}
