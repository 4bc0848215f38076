package tpmcrypto

import (
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding"
	"hash"

	"stubtpm/vtpm/tcg"
)

// MaxDigest is the size in bytes of the largest digest here, MaxBlock that of
// the largest block a hash algorithm works on.
const (
	MaxDigest = 64
	MaxBlock  = 136 // SHA3-256
)

// Hashes lists the supported hash algorithms, in the order of their ids.
func Hashes() []tcg.TPMAlgID {
	all := []tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512}
	if HasSM {
		all = append(all, tcg.TPMAlgSM3256)
	}
	return append(all, tcg.TPMAlgSHA3256, tcg.TPMAlgSHA3384, tcg.TPMAlgSHA3512)
}

// HasHash reports whether alg is a hash algorithm that this package computes.
func HasHash(alg tcg.TPMAlgID) bool { return DigestSize(alg) != 0 }

// DigestSize returns the size in bytes of alg's digest, and 0 if alg is no
// supported hash algorithm.
func DigestSize(alg tcg.TPMAlgID) int {
	switch alg {
	case tcg.TPMAlgSHA1:
		return sha1.Size
	case tcg.TPMAlgSHA256, tcg.TPMAlgSHA3256:
		return 32
	case tcg.TPMAlgSHA384, tcg.TPMAlgSHA3384:
		return 48
	case tcg.TPMAlgSHA512, tcg.TPMAlgSHA3512:
		return 64
	case tcg.TPMAlgSM3256:
		if HasSM {
			return 32
		}
	}
	return 0
}

// BlockSize returns the size in bytes of the blocks that alg works on, which
// is what HMAC pads its key to, and 0 if alg is no supported hash algorithm.
func BlockSize(alg tcg.TPMAlgID) int {
	switch alg {
	case tcg.TPMAlgSHA1, tcg.TPMAlgSHA256:
		return 64
	case tcg.TPMAlgSHA384, tcg.TPMAlgSHA512:
		return 128
	case tcg.TPMAlgSHA3256:
		return 136
	case tcg.TPMAlgSHA3384:
		return 104
	case tcg.TPMAlgSHA3512:
		return 72
	case tcg.TPMAlgSM3256:
		if HasSM {
			return 64
		}
	}
	return 0
}

// NewHash returns a running hash, or nil if alg is not supported.
func NewHash(alg tcg.TPMAlgID) hash.Hash {
	switch alg {
	case tcg.TPMAlgSHA1:
		return sha1.New()
	case tcg.TPMAlgSHA256:
		return sha256.New()
	case tcg.TPMAlgSHA384:
		return sha512.New384()
	case tcg.TPMAlgSHA512:
		return sha512.New()
	case tcg.TPMAlgSHA3256:
		return sha3.New256()
	case tcg.TPMAlgSHA3384:
		return sha3.New384()
	case tcg.TPMAlgSHA3512:
		return sha3.New512()
	case tcg.TPMAlgSM3256:
		return newSM3()
	}
	return nil
}

// stackSum is how much input is joined on the stack rather than hashed piece
// by piece: enough for extends, policy updates, Names and session hashes.
const stackSum = 512

// Sum appends to dst the digest of the parts, one after the other. It returns
// nil if alg is not supported. Short inputs cost no allocation beyond dst.
func Sum(dst []byte, alg tcg.TPMAlgID, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n <= stackSum {
		var joined [stackSum]byte
		b := joined[:0]
		for _, p := range parts {
			b = append(b, p...)
		}
		return sumOne(dst, alg, b)
	}
	if len(parts) == 1 {
		return sumOne(dst, alg, parts[0])
	}
	h := NewHash(alg)
	if h == nil {
		return nil
	}
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(dst)
}

func sumOne(dst []byte, alg tcg.TPMAlgID, b []byte) []byte {
	switch alg {
	case tcg.TPMAlgSHA1:
		d := sha1.Sum(b)
		return append(dst, d[:]...)
	case tcg.TPMAlgSHA256:
		d := sha256.Sum256(b)
		return append(dst, d[:]...)
	case tcg.TPMAlgSHA384:
		d := sha512.Sum384(b)
		return append(dst, d[:]...)
	case tcg.TPMAlgSHA512:
		d := sha512.Sum512(b)
		return append(dst, d[:]...)
	case tcg.TPMAlgSHA3256:
		d := sha3.Sum256(b)
		return append(dst, d[:]...)
	case tcg.TPMAlgSHA3384:
		d := sha3.Sum384(b)
		return append(dst, d[:]...)
	case tcg.TPMAlgSHA3512:
		d := sha3.Sum512(b)
		return append(dst, d[:]...)
	case tcg.TPMAlgSM3256:
		return sumSM3(dst, b)
	}
	return nil
}

// SaveHash returns the state of a running hash that NewHash made, for the
// context of a hash sequence. The form is the standard library's and stays the
// same between its releases. Whoever reads the state knows what was hashed.
func SaveHash(h hash.Hash) ([]byte, error) {
	m, ok := h.(encoding.BinaryMarshaler)
	if !ok {
		return nil, ErrState
	}
	return m.MarshalBinary()
}

// RestoreHash returns the running hash that SaveHash saved. ErrHash if alg is
// not supported, ErrState if the state is not one of that algorithm.
func RestoreHash(alg tcg.TPMAlgID, state []byte) (hash.Hash, error) {
	h := NewHash(alg)
	if h == nil {
		return nil, ErrHash
	}
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return nil, ErrState
	}
	switch alg {
	case tcg.TPMAlgSHA3256, tcg.TPMAlgSHA3384, tcg.TPMAlgSHA3512:
		// The last octet reports whether the sponge gives out already. A running
		// hash never does, and the library would panic at its next Write.
		if state[len(state)-1] != 0 {
			return nil, ErrState
		}
	}
	return h, nil
}

// cryptoHash names alg as the standard library does, or returns 0 for what it
// has not.
func cryptoHash(alg tcg.TPMAlgID) crypto.Hash {
	switch alg {
	case tcg.TPMAlgSHA1:
		return crypto.SHA1
	case tcg.TPMAlgSHA256:
		return crypto.SHA256
	case tcg.TPMAlgSHA384:
		return crypto.SHA384
	case tcg.TPMAlgSHA512:
		return crypto.SHA512
	case tcg.TPMAlgSHA3256:
		return crypto.SHA3_256
	case tcg.TPMAlgSHA3384:
		return crypto.SHA3_384
	case tcg.TPMAlgSHA3512:
		return crypto.SHA3_512
	}
	return 0
}
