// Package escrow seals the key of a group of vTPMs to somebody: to the group's
// operator, who keeps it against the loss of the host, and by him to the
// manager of another host.
//
// It is HPKE in base mode with X25519, HKDF-SHA256 and ChaCha20-Poly1305 (RFC
// 9180). The info string binds a sealed key to its group.
package escrow

import (
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes in bytes of a private or public key, and of a group's key.
const (
	PublicSize = 32
	KeySize    = 32
)

// ErrSealed says that a sealed key is damaged, or of another group, or for
// another's eyes.
var ErrSealed = errors.New("escrow: not sealed to this key for this group")

// A Private key is of X25519.
type Private struct{ k hpke.PrivateKey }

// Generate makes a key.
func Generate() (Private, error) {
	k, err := kem().GenerateKey()
	return Private{k}, err
}

// Derive makes a key of 32 secret bytes, the same for the same bytes.
func Derive(secret []byte) (Private, error) {
	k, err := kem().DeriveKeyPair(secret)
	return Private{k}, err
}

// Parse takes the 32 bytes of a private key.
func Parse(private []byte) (Private, error) {
	k, err := kem().NewPrivateKey(private)
	if err != nil {
		return Private{}, fmt.Errorf("escrow: private key: %w", err)
	}
	return Private{k}, nil
}

// Bytes returns the 32 bytes of the private key.
func (p Private) Bytes() ([]byte, error) { return p.k.Bytes() }

// Public returns the 32 bytes that others seal to.
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

// Open is the other end of Seal.
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
