//go:build tamago

package main

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
)

func testRSA() error {
	key, err := x509.ParsePKCS1PrivateKey(unbase64(rsaKey))
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(message))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		return err
	}
	if !bytes.Equal(sig, unbase64(rsaPKCS1)) {
		return fmt.Errorf("PKCS #1 signature differs")
	}
	if err := rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, sum[:], unbase64(rsaPSS), nil); err != nil {
		return err
	}
	if sig, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], nil); err != nil {
		return err
	}
	if err := rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, sum[:], sig, nil); err != nil {
		return err
	}
	sum[0] ^= 1
	if rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, sum[:], sig, nil) == nil {
		return fmt.Errorf("PSS signature of another message verifies")
	}
	plain, err := rsa.DecryptOAEP(sha256.New(), nil, key, unbase64(rsaOAEP), []byte("DUP"))
	if err != nil || string(plain) != message {
		return fmt.Errorf("OAEP: %q, %v", plain, err)
	}
	plain, err = rsa.DecryptPKCS1v15(nil, key, unbase64(rsaPKCS1Cipher))
	if err != nil || string(plain) != message {
		return fmt.Errorf("PKCS #1: %q, %v", plain, err)
	}
	return nil
}

func testECDSA() error {
	key, err := x509.ParseECPrivateKey(unbase64(ecKey))
	if err != nil {
		return err
	}
	sum := sha512.Sum384([]byte(message))
	if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], unbase64(ecSignature)) {
		return fmt.Errorf("signature does not verify")
	}
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
		return fmt.Errorf("own signature does not verify")
	}
	sum[0] ^= 1
	if ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
		return fmt.Errorf("signature of another message verifies")
	}
	return nil
}

// testRFC6979 is RFC 6979, appendix A.2.5: P-256, SHA-256, message "sample".
func testRFC6979() error {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), unhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"))
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte("sample"))
	sig, err := key.Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		return err
	}
	return expect("signature", sig, "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"+
		"022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8")
}

func testECDH() error {
	key, err := x509.ParseECPrivateKey(unbase64(ecKey))
	if err != nil {
		return err
	}
	private, err := key.ECDH()
	if err != nil {
		return err
	}
	peer, err := x509.ParsePKIXPublicKey(unbase64(ecPeer))
	if err != nil {
		return err
	}
	public, err := peer.(*ecdsa.PublicKey).ECDH()
	if err != nil {
		return err
	}
	shared, err := private.ECDH(public)
	if err != nil {
		return err
	}
	if !bytes.Equal(shared, unbase64(ecShared)) {
		return fmt.Errorf("shared secret differs")
	}
	// X25519: RFC 7748, section 6.1.
	a, err := ecdh.X25519().NewPrivateKey(unhex("77076d0a7318a57d3c16c17251b26645ad4d10a9e7b8f5e5bca3a5a1b2b4cdd8"))
	if err == nil {
		_, err = a.ECDH(a.PublicKey())
	}
	return err
}

// testEd25519 is RFC 8032, section 7.1, test 2.
func testEd25519() error {
	key := ed25519.NewKeyFromSeed(unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
	sig := ed25519.Sign(key, []byte{0x72})
	return expect("signature", sig, "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
}

func testKeyGeneration() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	if err := key.Validate(); err != nil {
		return err
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(nil)
	sig, err := ecdsa.SignASN1(rand.Reader, ec, sum[:])
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(&ec.PublicKey, sum[:], sig) {
		return fmt.Errorf("signature does not verify")
	}
	return nil
}
