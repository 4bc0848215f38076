// Package escrow seals the key of a group of vTPMs to a public key: to that of the group's
// operator, who keeps it for the case that the host is lost, and by the operator to the
// recovery key of another host's manager.
//
// It is HPKE in base mode with X25519, HKDF-SHA256 and ChaCha20-Poly1305 (RFC 9180). The
// info string binds a sealed key to its group.
package escrow

import (
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes in bytes of a private or public key and of a group's key.
const (
	PublicSize = 32
	KeySize    = 32
)

// ErrSealed means that a sealed key cannot be opened: it is damaged, sealed for another
// group, or sealed to another key.
var ErrSealed = errors.New("escrow: sealed key is damaged, or sealed for another group or to another key")

// A Private is an X25519 private key.
type Private struct{ k hpke.PrivateKey }

// Generate returns a new private key.
func Generate() (Private, error) {
	k, err := kem().GenerateKey()
	return Private{k}, err
}

// Derive derives a private key from a secret of 32 bytes.
func Derive(secret []byte) (Private, error) {
	k, err := kem().DeriveKeyPair(secret)
	return Private{k}, err
}

// Parse decodes a private key of 32 bytes.
func Parse(private []byte) (Private, error) {
	k, err := kem().NewPrivateKey(private)
	if err != nil {
		return Private{}, fmt.Errorf("escrow: private key: %w", err)
	}
	return Private{k}, nil
}

// Bytes returns the private key, of 32 bytes.
func (p Private) Bytes() ([]byte, error) { return p.k.Bytes() }

// Public returns the public key, of PublicSize bytes.
func (p Private) Public() []byte { return p.k.PublicKey().Bytes() }

// Seal seals the key of a group to a public key.
func Seal(public []byte, group uint32, key []byte) ([]byte, error) {
	p, err := kem().NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("escrow: public key: %w", err)
	}
	b, err := hpke.Seal(p, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info(group), key)
	if err != nil {
		return nil, fmt.Errorf("escrow: %w", err)
	}
	return b, nil
}

// Open opens a key that was sealed by Seal for the group. It returns ErrSealed if that
// fails.
func (p Private) Open(group uint32, sealed []byte) ([]byte, error) {
	b, err := hpke.Open(p.k, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info(group), sealed)
	if err != nil || len(b) != KeySize {
		return nil, ErrSealed
	}
	return b, nil
}

func info(group uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte("stubtpm group key "), group)
}

func kem() hpke.KEM { return hpke.DHKEM(ecdh.X25519()) }
