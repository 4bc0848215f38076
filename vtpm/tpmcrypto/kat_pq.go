package tpmcrypto

import (
	"bytes"
	"crypto/sha256"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto/mldsa"
)

// The answers of these tests are long; their SHA-256, which passed before, stands
// for them. Tests of this package make them by other implementations.

// counting returns n bytes that count from first.
func counting(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// digestOf is the SHA-256 of parts.
func digestOf(parts ...[]byte) []byte {
	s := sha256.Sum256(bytes.Join(parts, nil))
	return s[:]
}

// katMLKEM makes keys of one set that is the project's own and of one of the
// standard library's, encapsulates, and decapsulates both the ciphertext and a
// changed one.
func katMLKEM() error {
	for _, c := range []struct {
		set  uint16
		want string
	}{
		{tcg.TPMMLKEM512, "3d2136e79a30858acbb627170e118dd1019755c92a7453f82994262bfb75c46e"},
		{tcg.TPMMLKEM768, "b978768b2a723521c475dc1a6b66109572a297d45a16f09c42f78e1ac56cc232"},
	} {
		k, err := NewMLKEMPrivate(c.set, counting(0, 64))
		if err != nil {
			return err
		}
		defer k.Zero()
		secret, ciphertext, err := k.Encapsulate(bytes.NewReader(counting(0x80, 32)))
		if err != nil {
			return err
		}
		got, err := k.Decapsulate(ciphertext)
		if err != nil || !Equal(got, secret) {
			return errAnswer{got, secret}
		}
		changed := bytes.Clone(ciphertext)
		changed[0] ^= 1
		rejected, err := k.Decapsulate(changed)
		if err != nil {
			return err
		}
		if err := known(c.want, digestOf(k.Bytes(), ciphertext, secret, rejected)); err != nil {
			return err
		}
	}
	return nil
}

// katMLDSA signs without hedging, and verifies the signature and a changed one.
func katMLDSA() error {
	k, err := NewMLDSAPrivate(tcg.TPMMLDSA44, counting(0, mldsa.SeedSize))
	if err != nil {
		return err
	}
	defer k.Zero()
	m := k.NewMu([]byte("context"))
	m.Write([]byte("message"))
	return k.kat(m.Sum(nil), "7769a9d8c4d0a8a5b799ed8f9175777cb70597d5922347bcba2052fb5e9df0d7")
}

// katHashMLDSA is katMLDSA with a digest.
func katHashMLDSA() error {
	k, err := NewMLDSAPrivate(tcg.TPMMLDSA44, counting(0, mldsa.SeedSize))
	if err != nil {
		return err
	}
	defer k.Zero()
	mu, err := k.HashMu(tcg.TPMAlgSHA256, []byte("context"), digestOf([]byte("message")))
	if err != nil {
		return err
	}
	return k.kat(mu, "91e6d8803178d1f95f4c576c2b2f4a718099f9c65d580aab9cae723e23b17300")
}

func (k *MLDSAPrivate) kat(mu []byte, want string) error {
	sig, err := k.k.SignMu(mu, make([]byte, mldsa.RndSize))
	if err != nil {
		return err
	}
	if err := k.Verify(mu, sig); err != nil {
		return err
	}
	if err := known(want, digestOf(k.Bytes(), sig)); err != nil {
		return err
	}
	sig[0] ^= 1
	if k.Verify(mu, sig) != ErrSignature {
		return ErrFault
	}
	return nil
}

// katHKDF is RFC 9180, A.3.1 (DHKEM of P-256 with HKDF-SHA256): the shared
// secret of the recipient's key and the encapsulated one.
func katHKDF() error {
	k, err := NewECCPrivate(tcg.TPMECCNistP256, fromHex("f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2"))
	if err != nil {
		return err
	}
	secret, err := k.Decapsulate(tcg.TPMAlgSHA256, fromHex("04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac98536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4"))
	if err != nil {
		return err
	}
	return known("c0d26aeab536609a572b07695d933b589dcf363ff9d93c93adea537aeabb8cb8", secret)
}
