package hosted

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// maxKeyFile bounds a key or passphrase file, in bytes.
const maxKeyFile = 4096

// Read reads the key; a nil option is no key.
func (k *keyOption) Read() (*stateKey, error) {
	if k == nil {
		return nil, nil
	}
	f := os.NewFile(uintptr(k.FD), "key")
	if k.FD < 0 {
		var err error
		if f, err = os.Open(k.File); err != nil {
			return nil, err
		}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("key file has more than %d bytes", maxKeyFile)
	}
	if k.Remove && k.File != "" {
		if err := os.Remove(k.File); err != nil {
			return nil, err
		}
	}
	if k.Pass {
		return newPassphraseKey(bytes.TrimRight(b, "\r\n"), k.KDF, k.Bits)
	}
	return parseKey(b, k.Format)
}

// A keyDerivation is how a passphrase becomes a key, by its number in a state file.
type keyDerivation byte

const (
	kdfNone   keyDerivation = 0 // the key itself was given
	kdfPBKDF2 keyDerivation = 1 // PBKDF2 with HMAC-SHA-512, 100 000 rounds
	kdfSHA512 keyDerivation = 2 // one SHA-512: swtpm's kdf=sha512
)

const pbkdf2Rounds = 100_000

// A stateKey encrypts state files. It is safe for use by several goroutines.
type stateKey struct {
	secret []byte
	kdf    keyDerivation
	bits   int

	mu    sync.Mutex
	salts map[[16]byte][]byte // derived keys; deriving is slow on purpose
	salt  [16]byte            // of files written by this process
}

// newKey takes an AES key of 16 or 32 bytes.
func newKey(key []byte) (*stateKey, error) {
	if len(key) != 16 && len(key) != 32 {
		return nil, fmt.Errorf("key has %d bytes; 16 or 32 are needed", len(key))
	}
	return &stateKey{secret: bytes.Clone(key), bits: 8 * len(key)}, nil
}

// parseKey takes the contents of a key file: format "hex" (digits with an
// optional 0x, white space at the end) or "binary".
func parseKey(b []byte, format string) (*stateKey, error) {
	switch format {
	case "binary":
		return newKey(b)
	case "hex", "":
		s := bytes.TrimPrefix(bytes.TrimSpace(b), []byte("0x"))
		k := make([]byte, hex.DecodedLen(len(s)))
		if _, err := hex.Decode(k, s); err != nil {
			return nil, errors.New("key file does not hold hexadecimal digits (format=binary?)")
		}
		return newKey(k)
	}
	return nil, fmt.Errorf("unknown key format %q", format)
}

// newPassphraseKey derives an AES key of 128 or 256 bits from a passphrase.
func newPassphraseKey(pass []byte, kdf keyDerivation, bits int) (*stateKey, error) {
	if len(pass) == 0 {
		return nil, errors.New("passphrase is empty")
	}
	k := &stateKey{secret: bytes.Clone(pass), kdf: kdf, bits: bits, salts: map[[16]byte][]byte{}}
	rand.Read(k.salt[:])
	return k, nil
}

func (k *stateKey) derive(salt [16]byte) ([]byte, error) {
	switch k.kdf {
	case kdfNone:
		return k.secret, nil
	case kdfSHA512:
		d := sha512.Sum512(k.secret)
		return d[:k.bits/8], nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if d, ok := k.salts[salt]; ok {
		return d, nil
	}
	d, err := pbkdf2.Key(sha512.New, string(k.secret), salt[:], pbkdf2Rounds, k.bits/8)
	if err == nil {
		k.salts[salt] = d
		k.salt = salt // so that a process derives once: the next file written has the same salt
	}
	return d, err
}

// writeSalt is the salt of the files that this process writes.
func (k *stateKey) writeSalt() [16]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.salt
}

func (k *stateKey) aead(salt [16]byte) (cipher.AEAD, error) {
	d, err := k.derive(salt)
	if err != nil {
		return nil, err
	}
	b, err := aes.NewCipher(d)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

// A keyOption is where a key is read from (--key, --migration-key).
type keyOption struct {
	File   string
	FD     int // -1 if none
	Pass   bool
	Format string // hex or binary
	Bits   int
	KDF    keyDerivation
	Remove bool
}
