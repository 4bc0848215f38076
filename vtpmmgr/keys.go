package vtpmmgr

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"

	"stubtpm/vtpmmgr/escrow"
	"stubtpm/vtpmmgr/proto"
)

// The root key is sealed in the hardware TPM. What it gives: the ledger's key,
// the key that wraps those of the groups, the key that signs the audit log, and
// the one to which an operator seals a group's key from escrow. A group's key
// wraps the state keys of its vTPMs and seals their backups.
type keys struct {
	ledger   []byte
	groups   []byte
	audit    ed25519.PrivateKey
	recovery escrow.Private
}

func newKeys(root []byte) (*keys, error) {
	derive := func(purpose string) []byte {
		b, err := hkdf.Expand(sha256.New, root, "stubtpm manager "+purpose, 32)
		if err != nil {
			panic(err) // only for a length that cannot be
		}
		return b
	}
	k := &keys{ledger: derive("ledger"), groups: derive("groups"), audit: ed25519.NewKeyFromSeed(derive("audit"))}
	var err error
	k.recovery, err = escrow.Derive(derive("recovery"))
	return k, err
}

func (k *keys) auditPublic() [32]byte { return [32]byte(k.audit.Public().(ed25519.PublicKey)) }

// wrappedSize is the size in bytes of a wrapped key.
const wrappedSize = chacha20poly1305.NonceSizeX + proto.KeySize + chacha20poly1305.Overhead

var errWrap = errors.New("vtpmmgr: not sealed with this key for this purpose")

// seal seals data with a key for a purpose.
func seal(key, data []byte, purpose string, context ...[]byte) []byte {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only for a length that cannot be
	}
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(data)+chacha20poly1305.Overhead)
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, data, associated(purpose, context))
}

func unseal(key, sealed []byte, purpose string, context ...[]byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, errWrap
	}
	b, err := aead.Open(nil, sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:], associated(purpose, context))
	if err != nil {
		return nil, errWrap
	}
	return b, nil
}

func associated(purpose string, context [][]byte) []byte {
	b := []byte("stubtpm " + purpose + "\x00")
	for _, c := range context {
		b = binary.BigEndian.AppendUint16(b, uint16(len(c)))
		b = append(b, c...)
	}
	return b
}

// unwrapKey is unseal for a key.
func unwrapKey(key, sealed []byte, purpose string, context ...[]byte) (out [proto.KeySize]byte, err error) {
	b, err := unseal(key, sealed, purpose, context...)
	if err == nil && len(b) != len(out) {
		err = errWrap
	}
	if err != nil {
		return out, err
	}
	return [proto.KeySize]byte(b), nil
}
