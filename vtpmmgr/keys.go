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
// wraps the state keys of its vTPMs, and seals their backups.
type keys struct {
	ledger   []byte
	groups   []byte
	audit    ed25519.PrivateKey
	recovery escrow.Private
}

func newKeys(root []byte) (*keys, error) {
	k := &keys{ledger: derive(root, "ledger"), groups: derive(root, "groups"), audit: ed25519.NewKeyFromSeed(derive(root, "audit"))}
	var err error
	k.recovery, err = escrow.Derive(derive(root, "recovery"))
	return k, err
}

func derive(key []byte, purpose string) []byte {
	b, err := hkdf.Expand(sha256.New, key, "stubtpm manager "+purpose, proto.KeySize)
	if err != nil {
		panic(err) // only for a length that cannot be
	}
	return b
}

func (k *keys) auditPublic() [32]byte { return [32]byte(k.audit.Public().(ed25519.PublicKey)) }

// A wrappedKey is a nonce, a key and a tag of XChaCha20-Poly1305.
type wrappedKey [wrappedSize]byte

const wrappedSize = chacha20poly1305.NonceSizeX + proto.KeySize + chacha20poly1305.Overhead

var errWrap = errors.New("vtpmmgr: not sealed with this key for this purpose")

// seal seals data with a key, for a purpose and a context that unseal has to
// name too.
func seal(key, data []byte, purpose string, context []byte) []byte {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only for a length that cannot be
	}
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(data)+chacha20poly1305.Overhead)
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, data, associated(purpose, context))
}

func unseal(key, sealed []byte, purpose string, context []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, errWrap
	}
	nonce, text := sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:]
	b, err := aead.Open(nil, nonce, text, associated(purpose, context))
	if err != nil {
		return nil, errWrap
	}
	return b, nil
}

func associated(purpose string, context []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte("stubtpm "), uint16(len(purpose)))
	return append(append(b, purpose...), context...)
}

func wrap(key []byte, secret [proto.KeySize]byte, purpose string, context []byte) wrappedKey {
	return wrappedKey(seal(key, secret[:], purpose, context))
}

func unwrap(key []byte, w wrappedKey, purpose string, context []byte) (secret [proto.KeySize]byte, err error) {
	b, err := unseal(key, w[:], purpose, context)
	if err == nil {
		copy(secret[:], b)
		clear(b)
	}
	return secret, err
}
