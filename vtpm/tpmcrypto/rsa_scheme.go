package tpmcrypto

import (
	"bytes"
	"crypto/rsa"
	"io"

	_ "crypto/sha1" // so that crypto/rsa finds them by their crypto.Hash
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"

	"stubtpm/vtpm/tcg"
)

// digestOK reports whether digest is one of alg's.
func digestOK(alg tcg.TPMAlgID, digest []byte) error {
	switch {
	case !HasHash(alg):
		return ErrHash
	case len(digest) != DigestSize(alg):
		return ErrSize
	}
	return nil
}

// SignPKCS1v15 is RSASSA-PKCS1-v1_5 over a digest (Part 1, 43.6), with the
// identifier of alg in front. Raw checks the result before it leaves.
//
// Errors: ErrHash, ErrSize for a digest of another length or a key too small
// for it, ErrBinding for a key that is no RSA key, ErrFault.
func (k *RSAPrivate) SignPKCS1v15(alg tcg.TPMAlgID, digest []byte) ([]byte, error) {
	if err := digestOK(alg, digest); err != nil {
		return nil, err
	}
	em, err := encodePKCS1v15(alg, digest, k.Size())
	if err != nil {
		return nil, err
	}
	return k.Raw(em)
}

// SignPSS is RSASSA-PSS over a digest (Part 1, 43.7) with a random salt as
// long as the digest, or as long as fits for a large digest and a small key
// (FIPS 186-5, 5.4(g)). Errors and check as SignPKCS1v15, or what rand says.
func (k *RSAPrivate) SignPSS(rand io.Reader, alg tcg.TPMAlgID, digest []byte) ([]byte, error) {
	if err := digestOK(alg, digest); err != nil {
		return nil, err
	}
	salt := make([]byte, min(len(digest), k.Size()-len(digest)-2)) // at least 62
	if _, err := io.ReadFull(rand, salt); err != nil {
		return nil, err
	}
	em, err := encodePSS(alg, digest, salt, k.Size())
	if err != nil {
		return nil, err
	}
	return k.Raw(em)
}

// VerifyPKCS1v15 checks a signature of SignPKCS1v15: it must be what the one
// encoding of the digest is, and nothing of it is parsed. ErrHash, ErrSize for
// a digest of another length, ErrSignature.
func (k *RSAPublic) VerifyPKCS1v15(alg tcg.TPMAlgID, digest, sig []byte) error {
	if err := digestOK(alg, digest); err != nil {
		return err
	}
	want, err := encodePKCS1v15(alg, digest, k.Size())
	if err != nil || len(sig) != k.Size() {
		return ErrSignature
	}
	got, err := k.Raw(sig)
	if err != nil || !Equal(got, want) {
		return ErrSignature
	}
	return nil
}

// VerifyPSS checks a signature of SignPSS, whatever the length of its salt.
// Errors as VerifyPKCS1v15.
func (k *RSAPublic) VerifyPSS(alg tcg.TPMAlgID, digest, sig []byte) error {
	if err := digestOK(alg, digest); err != nil {
		return err
	}
	if cryptoHash(alg) == 0 {
		return k.ownVerifyPSS(alg, digest, sig)
	}
	opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}
	if rsa.VerifyPSS(&k.std, cryptoHash(alg), digest, sig, opts) != nil {
		return ErrSignature
	}
	return nil
}

// ownVerifyPSS is VerifyPSS for a hash algorithm that crypto/rsa does not know.
func (k *RSAPublic) ownVerifyPSS(alg tcg.TPMAlgID, digest, sig []byte) error {
	if len(sig) != k.Size() {
		return ErrSignature
	}
	em, err := k.Raw(sig)
	if err != nil {
		return ErrSignature
	}
	salt, err := saltPSS(alg, bytes.Clone(em))
	if err != nil {
		return err
	}
	want, err := encodePSS(alg, digest, salt, k.Size())
	if err != nil || !Equal(want, em) {
		return ErrSignature
	}
	return nil
}

// EncryptOAEP is RSAES-OAEP (Part 1, 43.4). label goes in as it is, so a label
// of the specification needs its zero octet at the end. ErrHash, or ErrValue
// for a message too long for the key.
func (k *RSAPublic) EncryptOAEP(rand io.Reader, alg tcg.TPMAlgID, label, message []byte) ([]byte, error) {
	h := NewHash(alg)
	if h == nil {
		return nil, ErrHash
	}
	c, err := rsa.EncryptOAEP(h, rand, &k.std, message, label)
	if err != nil {
		return nil, ErrValue
	}
	return c, nil
}

// DecryptOAEP reverses EncryptOAEP in constant time. ErrHash, ErrSize for a
// ciphertext that is not as long as the modulus, ErrValue for one that does
// not decrypt, ErrBinding, ErrFault.
func (k *RSAPrivate) DecryptOAEP(alg tcg.TPMAlgID, label, ciphertext []byte) ([]byte, error) {
	if !HasHash(alg) {
		return nil, ErrHash
	}
	if len(ciphertext) != k.Size() {
		return nil, ErrSize
	}
	em, err := k.Raw(ciphertext)
	if err != nil {
		return nil, err
	}
	defer clear(em)
	return decodeOAEP(alg, label, em)
}

// EncryptPKCS1v15 is RSAES-PKCS1-v1_5 (Part 1, 43.5). ErrValue for a message
// too long for the key.
func (k *RSAPublic) EncryptPKCS1v15(rand io.Reader, message []byte) ([]byte, error) {
	c, err := rsa.EncryptPKCS1v15(rand, &k.std, message)
	if err != nil {
		return nil, ErrValue
	}
	return c, nil
}

// DecryptPKCS1v15 reverses EncryptPKCS1v15. ErrSize for a ciphertext that is
// not as long as the modulus, ErrValue for one that does not decrypt,
// ErrBinding, ErrFault. That the error is told is the oracle that TPM2_RSA_Decrypt is by
// its definition; only the holder of the key's authorization may ask it.
func (k *RSAPrivate) DecryptPKCS1v15(ciphertext []byte) ([]byte, error) {
	if len(ciphertext) != k.Size() {
		return nil, ErrSize
	}
	em, err := k.Raw(ciphertext)
	if err != nil {
		return nil, err
	}
	defer clear(em)
	return decodePKCS1v15(em)
}
