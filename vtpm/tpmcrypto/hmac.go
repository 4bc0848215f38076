package tpmcrypto

import (
	"crypto/subtle"
	"hash"

	"stubtpm/vtpm/tcg"
)

// HMAC is a running HMAC (FIPS 198-1). It is here, and not the standard
// library's, because a TPM must save and restore the context of an HMAC
// sequence, which crypto/hmac cannot.
type HMAC struct {
	alg   tcg.TPMAlgID
	inner hash.Hash
	// pad is the key, padded to a block. It is kept in place of the states
	// after the pads, since it is what a saved context needs.
	pad [MaxBlock]byte
}

const (
	ipad = 0x36
	opad = 0x5c
)

// NewHMAC returns a running HMAC. A key longer than the block of the hash is
// hashed first; an empty one is allowed. ErrHash if alg is not supported.
func NewHMAC(alg tcg.TPMAlgID, key []byte) (*HMAC, error) {
	h := NewHash(alg)
	if h == nil {
		return nil, ErrHash
	}
	m := &HMAC{alg: alg, inner: h}
	if len(key) > BlockSize(alg) {
		Sum(m.pad[:0], alg, key)
	} else {
		copy(m.pad[:], key)
	}
	m.Reset()
	return m, nil
}

// Reset starts again with the same key.
func (m *HMAC) Reset() {
	m.inner.Reset()
	var b [MaxBlock]byte
	m.inner.Write(m.padded(&b, ipad))
}

func (m *HMAC) padded(b *[MaxBlock]byte, with byte) []byte {
	out := b[:BlockSize(m.alg)]
	for i := range out {
		out[i] = m.pad[i] ^ with
	}
	return out
}

// Write adds p to the message. It never fails.
func (m *HMAC) Write(p []byte) (int, error) { return m.inner.Write(p) }

// Sum appends the code of the message so far to dst.
func (m *HMAC) Sum(dst []byte) []byte {
	var b [MaxBlock]byte
	var d [MaxDigest]byte
	return Sum(dst, m.alg, m.padded(&b, opad), m.inner.Sum(d[:0]))
}

// Size returns the size of the code in bytes.
func (m *HMAC) Size() int { return DigestSize(m.alg) }

// BlockSize returns the block size of the hash in bytes.
func (m *HMAC) BlockSize() int { return BlockSize(m.alg) }

// Zero forgets the key. The HMAC must not be used any more.
func (m *HMAC) Zero() {
	clear(m.pad[:])
	m.inner.Reset()
}

// Save returns the state for the context of an HMAC sequence: the padded key,
// then the state of the inner hash. It holds the key, so it must be encrypted.
func (m *HMAC) Save() ([]byte, error) {
	s, err := SaveHash(m.inner)
	if err != nil {
		return nil, err
	}
	return append(append([]byte(nil), m.pad[:BlockSize(m.alg)]...), s...), nil
}

// RestoreHMAC returns the running HMAC that Save saved. ErrHash if alg is not
// supported, ErrState if the state is not one of that algorithm.
func RestoreHMAC(alg tcg.TPMAlgID, state []byte) (*HMAC, error) {
	n := BlockSize(alg)
	if n == 0 {
		return nil, ErrHash
	}
	if len(state) < n {
		return nil, ErrState
	}
	h, err := RestoreHash(alg, state[n:])
	if err != nil {
		return nil, err
	}
	m := &HMAC{alg: alg, inner: h}
	copy(m.pad[:], state[:n])
	return m, nil
}

// SumHMAC appends to dst the HMAC of the parts under key, one after the other,
// or returns nil if alg is not supported. Short messages cost no allocation
// beyond dst.
func SumHMAC(dst []byte, alg tcg.TPMAlgID, key []byte, parts ...[]byte) []byte {
	bs := BlockSize(alg)
	if bs == 0 {
		return nil
	}
	n := bs
	for _, p := range parts {
		n += len(p)
	}
	if n > stackSum {
		m, err := NewHMAC(alg, key)
		if err != nil {
			return nil
		}
		for _, p := range parts {
			m.Write(p)
		}
		dst = m.Sum(dst)
		m.Zero()
		return dst
	}
	var pad [MaxBlock]byte
	if len(key) > bs {
		sumOne(pad[:0], alg, key)
	} else {
		copy(pad[:], key)
	}
	var joined [stackSum]byte
	b := joined[:bs]
	for i := range b {
		b[i] = pad[i] ^ ipad
	}
	for _, p := range parts {
		b = append(b, p...)
	}
	var d [MaxDigest]byte
	in := sumOne(d[:0], alg, b)
	b = joined[:bs]
	for i := range b {
		b[i] = pad[i] ^ opad
	}
	dst = sumOne(dst, alg, append(b, in...))
	clear(pad[:])
	clear(joined[:])
	return dst
}

// VerifyHMAC tells in constant time whether mac is the HMAC of the parts.
func VerifyHMAC(mac []byte, alg tcg.TPMAlgID, key []byte, parts ...[]byte) bool {
	var d [MaxDigest]byte
	want := SumHMAC(d[:0], alg, key, parts...)
	return want != nil && subtle.ConstantTimeCompare(want, mac) == 1
}

var _ hash.Hash = (*HMAC)(nil)
