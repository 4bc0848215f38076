package tpmcrypto

import (
	"crypto/rsa"
	"io"

	_ "crypto/sha1" // so that crypto/rsa finds them by their crypto.Hash
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"

	"stubtpm/vtpm/tcg"
)

// digestOK tells whether digest is one of alg's.
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
// identifier of alg in front. crypto/rsa checks the result by the public
// operation before it returns it.
//
// Errors: ErrHash, ErrSize for a digest of another length or a key too small
// for it, ErrBinding for a key that is no RSA key, ErrFault.
func (k *RSAPrivate) SignPKCS1v15(alg tcg.TPMAlgID, digest []byte) ([]byte, error) {
	if err := k.ready(alg, digest); err != nil {
		return nil, err
	}
	s, err := rsa.SignPKCS1v15(nil, k.std, cryptoHash(alg), digest)
	return s, signError(err)
}

// SignPSS is RSASSA-PSS over a digest (Part 1, 43.7) with a random salt as
// long as the digest, or as long as fits for a large digest and a small key
// (FIPS 186-5, 5.4(g)). Errors and check as SignPKCS1v15.
func (k *RSAPrivate) SignPSS(rand io.Reader, alg tcg.TPMAlgID, digest []byte) ([]byte, error) {
	if err := k.ready(alg, digest); err != nil {
		return nil, err
	}
	salt := min(len(digest), k.Size()-len(digest)-2) // at least 62
	s, err := rsa.SignPSS(rand, k.std, cryptoHash(alg), digest, &rsa.PSSOptions{SaltLength: salt})
	return s, signError(err)
}

func (k *RSAPrivate) ready(alg tcg.TPMAlgID, digest []byte) error {
	if err := digestOK(alg, digest); err != nil {
		return err
	}
	return k.prepare()
}

// signError sorts the errors of crypto/rsa, whose only other one is the fault.
func signError(err error) error {
	switch err {
	case nil:
		return nil
	case rsa.ErrMessageTooLong:
		return ErrSize
	}
	return ErrFault
}

// VerifyPKCS1v15 checks a signature of SignPKCS1v15. ErrHash, ErrSize for a
// digest of another length, ErrSignature.
func (k *RSAPublic) VerifyPKCS1v15(alg tcg.TPMAlgID, digest, sig []byte) error {
	if err := digestOK(alg, digest); err != nil {
		return err
	}
	if rsa.VerifyPKCS1v15(&k.std, cryptoHash(alg), digest, sig) != nil {
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
	opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}
	if rsa.VerifyPSS(&k.std, cryptoHash(alg), digest, sig, opts) != nil {
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
// not decrypt, ErrBinding. A computation that went wrong ends as ErrValue too,
// its result does not have the padding.
func (k *RSAPrivate) DecryptOAEP(alg tcg.TPMAlgID, label, ciphertext []byte) ([]byte, error) {
	h := NewHash(alg)
	if h == nil {
		return nil, ErrHash
	}
	if len(ciphertext) != k.Size() {
		return nil, ErrSize
	}
	if err := k.prepare(); err != nil {
		return nil, err
	}
	m, err := rsa.DecryptOAEP(h, nil, k.std, ciphertext, label)
	if err != nil {
		return nil, ErrValue
	}
	return m, nil
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
// ErrBinding. That the error is told is the oracle that TPM2_RSA_Decrypt is by
// its definition; only the holder of the key's authorization may ask it.
func (k *RSAPrivate) DecryptPKCS1v15(ciphertext []byte) ([]byte, error) {
	if len(ciphertext) != k.Size() {
		return nil, ErrSize
	}
	if err := k.prepare(); err != nil {
		return nil, err
	}
	m, err := rsa.DecryptPKCS1v15(nil, k.std, ciphertext)
	if err != nil {
		return nil, ErrValue
	}
	return m, nil
}
