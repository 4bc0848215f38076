package transfer

import (
	"crypto/ecdh"
	"crypto/hpke"
)

// The suite of RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, base mode.
// That S has sealed the record is shown by S's evidence for the whole message.

func seal(public [keySize]byte, context, record []byte) ([]byte, error) {
	key, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(public[:])
	if err != nil {
		return nil, err
	}
	return hpke.Seal(key, hpke.HKDFSHA256(), hpke.AES256GCM(), context, record)
}

func open(private, context, sealed []byte) ([]byte, error) {
	key, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(private)
	if err != nil {
		return nil, err
	}
	return hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), context, sealed)
}

// publicOf returns the public key of an X25519 private key.
func publicOf(private []byte) (public [keySize]byte, err error) {
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		return public, err
	}
	return [keySize]byte(key.PublicKey().Bytes()), nil
}
