package hosted

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// A state file, all numbers big-endian:
//
//	offset size
//	0      8    "stubtpm\x00"
//	8      1    version, 1
//	9      1    blob type (BlobType)
//	10     1    protection: 0 SHA-256 of all before it, 1 AES-GCM
//	11     1    source of the key: 0 given, 1 PBKDF2, 2 SHA-512
//	12     4    length of the state in bytes
//	16     8    sequence: of two slots the higher one is the state
//	24     16   salt of the key, zero if the key was given
//	40     12   nonce, zero without encryption
//	52     n    state, encrypted under AES-GCM with bytes 0 to 51 as associated data
//	52+n   32   SHA-256 of bytes 0 to 51+n, or 16: tag of AES-GCM
//
// What follows it is zero and is not looked at.
const (
	fileMagic   = "stubtpm\x00"
	fileVersion = 1
	fileHeader  = 52
	offSequence = 16
	offSalt     = 24
	offNonce    = 40

	protectNone = 0
	protectGCM  = 1
)

// Errors of a state file, wrapped by what Load and PowerOn return.
var (
	ErrDamaged   = errors.New("state file is damaged")
	ErrEncrypted = errors.New("state file is encrypted: a key is needed (--key)")
	ErrPlain     = errors.New("state file is not encrypted, but a key was given")
	ErrKey       = errors.New("state file does not open with this key, or was altered")
)

// isContentError reports whether err tells of a file's content, and not of a
// failure to read it.
func isContentError(err error) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, ErrEncrypted) || errors.Is(err, ErrPlain) || errors.Is(err, ErrKey)
}

// KDF is how a passphrase becomes a key, by its number in a state file.
type KDF byte

const (
	KDFNone   KDF = 0 // the key itself was given
	KDFPBKDF2 KDF = 1 // PBKDF2 with HMAC-SHA-512, 100 000 rounds
	KDFSHA512 KDF = 2 // one SHA-512, for those who ask for swtpm's kdf=sha512
)

const pbkdf2Rounds = 100_000

// A Key encrypts state files. It is safe for use by several goroutines.
type Key struct {
	secret []byte
	kdf    KDF
	bits   int

	mu    sync.Mutex
	salts map[[16]byte][]byte // derived keys; deriving is slow on purpose
	salt  [16]byte            // of files written by this process
}

// NewKey takes an AES key of 16 or 32 bytes.
func NewKey(key []byte) (*Key, error) {
	if len(key) != 16 && len(key) != 32 {
		return nil, fmt.Errorf("key has %d bytes; 16 or 32 are needed", len(key))
	}
	return &Key{secret: bytes.Clone(key), bits: 8 * len(key)}, nil
}

// ParseKey takes the contents of a key file: format "hex" (digits with an
// optional 0x, white space at the end) or "binary".
func ParseKey(b []byte, format string) (*Key, error) {
	switch format {
	case "binary":
		return NewKey(b)
	case "hex", "":
		s := bytes.TrimPrefix(bytes.TrimSpace(b), []byte("0x"))
		k := make([]byte, hex.DecodedLen(len(s)))
		if _, err := hex.Decode(k, s); err != nil {
			return nil, errors.New("key file does not hold hexadecimal digits (format=binary?)")
		}
		return NewKey(k)
	}
	return nil, fmt.Errorf("unknown key format %q", format)
}

// NewPassphraseKey derives an AES key of 128 or 256 bits from a passphrase.
func NewPassphraseKey(pass []byte, kdf KDF, bits int) (*Key, error) {
	if len(pass) == 0 {
		return nil, errors.New("passphrase is empty")
	}
	k := &Key{secret: bytes.Clone(pass), kdf: kdf, bits: bits, salts: map[[16]byte][]byte{}}
	rand.Read(k.salt[:])
	return k, nil
}

func (k *Key) derive(salt [16]byte) ([]byte, error) {
	switch k.kdf {
	case KDFNone:
		return k.secret, nil
	case KDFSHA512:
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
func (k *Key) writeSalt() [16]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.salt
}

func (k *Key) aead(salt [16]byte) (cipher.AEAD, error) {
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

// sealFile returns the bytes of a state file.
func sealFile(t BlobType, seq uint64, state []byte, key *Key) ([]byte, error) {
	return appendSealed(nil, t, seq, state, key)
}

// appendSealed is sealFile in the memory of b, which must be empty.
func appendSealed(b []byte, t BlobType, seq uint64, state []byte, key *Key) ([]byte, error) {
	if len(state) > maxBlob {
		return nil, fmt.Errorf("state has %d bytes; the limit is %d", len(state), maxBlob)
	}
	b = slices.Grow(b, fileHeader+len(state)+sha256.Size)[:fileHeader]
	clear(b)
	copy(b, fileMagic)
	b[8] = fileVersion
	b[9] = byte(t)
	binary.BigEndian.PutUint32(b[12:], uint32(len(state)))
	binary.BigEndian.PutUint64(b[offSequence:], seq)
	if key == nil {
		b = append(b, state...)
		return append(b, digest(b)...), nil
	}
	b[10] = protectGCM
	b[11] = byte(key.kdf)
	var salt [16]byte
	if key.kdf == KDFPBKDF2 {
		salt = key.writeSalt()
	}
	copy(b[offSalt:], salt[:])
	rand.Read(b[offNonce:fileHeader])
	aead, err := key.aead(salt)
	if err != nil {
		return nil, err
	}
	return aead.Seal(b, b[offNonce:fileHeader], state, b[:fileHeader]), nil
}

// openFile returns the state in the bytes of a state file. It fails where a
// single bit was changed.
func openFile(t BlobType, b []byte, key *Key) ([]byte, error) {
	state, _, err := openSlot(t, b, key)
	return state, err
}

// openSlot is openFile with the sequence.
func openSlot(t BlobType, b []byte, key *Key) (state []byte, seq uint64, err error) {
	state, err = decodeFile(t, b, key)
	if err == nil {
		seq = binary.BigEndian.Uint64(b[offSequence:])
	}
	return state, seq, err
}

func decodeFile(t BlobType, b []byte, key *Key) ([]byte, error) {
	if len(b) < fileHeader || string(b[:8]) != fileMagic {
		return nil, fmt.Errorf("%w: not a state file of stubtpm", ErrDamaged)
	}
	if b[8] != fileVersion {
		return nil, fmt.Errorf("state file has version %d; this program knows %d", b[8], fileVersion)
	}
	if b[9] != byte(t) {
		return nil, fmt.Errorf("%w: it holds another kind of state", ErrDamaged)
	}
	n := uint64(binary.BigEndian.Uint32(b[12:]))
	if n > maxBlob {
		return nil, fmt.Errorf("%w: wrong length", ErrDamaged)
	}
	head, body := b[:fileHeader], b[fileHeader:]
	switch b[10] {
	case protectNone:
		if uint64(len(body)) < n+sha256.Size || !bytes.Equal(digest(b[:fileHeader+n]), body[n:n+sha256.Size]) {
			return nil, ErrDamaged
		}
		if key != nil {
			return nil, ErrPlain
		}
		return body[:n:n], nil
	case protectGCM:
		if key == nil {
			return nil, ErrEncrypted
		}
		if b[11] != byte(key.kdf) {
			return nil, fmt.Errorf("%w: it was made with another kind of key", ErrKey)
		}
		aead, err := key.aead([16]byte(head[offSalt:offNonce]))
		if err != nil {
			return nil, err
		}
		end := n + uint64(aead.Overhead())
		if uint64(len(body)) < end {
			return nil, ErrDamaged
		}
		state, err := aead.Open(nil, head[offNonce:], body[:end], head)
		if err != nil {
			return nil, ErrKey
		}
		return state, nil
	}
	return nil, fmt.Errorf("%w: unknown protection", ErrDamaged)
}
