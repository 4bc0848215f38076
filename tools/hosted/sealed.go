package hosted

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A sealed state, all numbers big-endian:
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
// What follows it is zero and is ignored.
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
	errDamaged   = errors.New("state file is damaged")
	errEncrypted = errors.New("state file is encrypted: a key is needed (--key)")
	errPlain     = errors.New("state file is not encrypted, but a key was given")
	errKey       = errors.New("state file does not open with this key, or was altered")
)

// isContentError reports whether err is about a file's content, not a failure to
// read it.
func isContentError(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, errEncrypted) || errors.Is(err, errPlain) || errors.Is(err, errKey)
}

// sealFile returns the bytes of a state file.
func sealFile(t BlobType, seq uint64, state []byte, key *stateKey) ([]byte, error) {
	return appendSealed(nil, t, seq, state, key)
}

// appendSealed is sealFile in the memory of b, which must be empty.
func appendSealed(b []byte, t BlobType, seq uint64, state []byte, key *stateKey) ([]byte, error) {
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
	if key.kdf == kdfPBKDF2 {
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

// openFile returns the state in the bytes of a state file. It returns an error if
// a single bit was changed.
func openFile(t BlobType, b []byte, key *stateKey) ([]byte, error) {
	state, _, err := openSlot(t, b, key)
	return state, err
}

// openSlot is openFile with the sequence.
func openSlot(t BlobType, b []byte, key *stateKey) (state []byte, seq uint64, err error) {
	state, err = decodeFile(t, b, key)
	if err == nil {
		seq = binary.BigEndian.Uint64(b[offSequence:])
	}
	return state, seq, err
}

func decodeFile(t BlobType, b []byte, key *stateKey) ([]byte, error) {
	if len(b) < fileHeader || string(b[:8]) != fileMagic {
		return nil, fmt.Errorf("%w: not a state file of stubtpm", errDamaged)
	}
	if b[8] != fileVersion {
		return nil, fmt.Errorf("state file has version %d; this program knows %d", b[8], fileVersion)
	}
	if b[9] != byte(t) {
		return nil, fmt.Errorf("%w: it holds another kind of state", errDamaged)
	}
	n := uint64(binary.BigEndian.Uint32(b[12:]))
	if n > maxBlob {
		return nil, fmt.Errorf("%w: wrong length", errDamaged)
	}
	head, body := b[:fileHeader], b[fileHeader:]
	switch b[10] {
	case protectNone:
		if uint64(len(body)) < n+sha256.Size || !bytes.Equal(digest(b[:fileHeader+n]), body[n:n+sha256.Size]) {
			return nil, errDamaged
		}
		if key != nil {
			return nil, errPlain
		}
		return body[:n:n], nil
	case protectGCM:
		if key == nil {
			return nil, errEncrypted
		}
		if b[11] != byte(key.kdf) {
			return nil, fmt.Errorf("%w: it was made with another kind of key", errKey)
		}
		aead, err := key.aead([16]byte(head[offSalt:offNonce]))
		if err != nil {
			return nil, err
		}
		end := n + uint64(aead.Overhead())
		if uint64(len(body)) < end {
			return nil, errDamaged
		}
		state, err := aead.Open(nil, head[offNonce:], body[:end], head)
		if err != nil {
			return nil, errKey
		}
		return state, nil
	}
	return nil, fmt.Errorf("%w: unknown protection", errDamaged)
}

// digest is the check of an unencrypted file; it finds damage, not attacks.
func digest(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
