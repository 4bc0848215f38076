package tpmcrypto

import (
	"crypto/cipher"
	"crypto/subtle"

	"stubtpm/vtpm/tcg"
)

// CMAC is a running CMAC (SP 800-38B) over one of the block ciphers.
type CMAC struct {
	b     cipher.Block
	state [MaxCipherBlock]byte
	// last holds the octets not yet encrypted: never empty once something was
	// written, since the last block is treated apart.
	last [MaxCipherBlock]byte
	n    int
}

// NewCMAC returns a running CMAC. ErrSymmetric if alg does not take that key.
func NewCMAC(alg tcg.TPMAlgID, key []byte) (*CMAC, error) {
	b, err := NewCipher(alg, key)
	if err != nil {
		return nil, err
	}
	return &CMAC{b: b}, nil
}

// Write adds p to the message. It never fails.
func (m *CMAC) Write(p []byte) (int, error) {
	bs, total := m.b.BlockSize(), len(p)
	for len(p) > 0 {
		if m.n == bs {
			subtle.XORBytes(m.state[:bs], m.state[:bs], m.last[:bs])
			m.b.Encrypt(m.state[:bs], m.state[:bs])
			m.n = 0
		}
		c := copy(m.last[m.n:bs], p)
		m.n += c
		p = p[c:]
	}
	return total, nil
}

// Sum appends the code of the message so far to dst.
func (m *CMAC) Sum(dst []byte) []byte {
	bs := m.b.BlockSize()
	var k, x [MaxCipherBlock]byte
	// Section 6.1: K1 = L doubled, K2 = K1 doubled, L = CIPH(0).
	m.b.Encrypt(k[:bs], k[:bs])
	double(k[:bs])
	copy(x[:bs], m.last[:m.n])
	if m.n < bs {
		double(k[:bs])
		x[m.n] = 0x80
	}
	subtle.XORBytes(x[:bs], x[:bs], k[:bs])
	subtle.XORBytes(x[:bs], x[:bs], m.state[:bs])
	m.b.Encrypt(x[:bs], x[:bs])
	return append(dst, x[:bs]...)
}

// double multiplies by x in the field of SP 800-38B, 5.3.
func double(b []byte) {
	r := byte(0x87)
	if len(b) == 8 {
		r = 0x1b
	}
	carry := b[0] >> 7
	for i := range b {
		next := byte(0)
		if i+1 < len(b) {
			next = b[i+1] >> 7
		}
		b[i] = b[i]<<1 | next
	}
	b[len(b)-1] ^= r & -carry
}

// Size returns the size of the code in bytes.
func (m *CMAC) Size() int { return m.b.BlockSize() }

// BlockSize returns the block size of the cipher in bytes.
func (m *CMAC) BlockSize() int { return m.b.BlockSize() }

// Reset starts again with the same key.
func (m *CMAC) Reset() {
	m.n = 0
	clear(m.state[:])
	clear(m.last[:])
}

// Save returns the state for the context of a MAC sequence, without the key.
func (m *CMAC) Save() []byte {
	s := append([]byte{byte(m.n)}, m.last[:m.b.BlockSize()]...)
	return append(s, m.state[:m.b.BlockSize()]...)
}

// RestoreCMAC returns the running CMAC that Save saved. ErrSymmetric if alg
// does not take that key, ErrState if the state is malformed.
func RestoreCMAC(alg tcg.TPMAlgID, key, state []byte) (*CMAC, error) {
	m, err := NewCMAC(alg, key)
	if err != nil {
		return nil, err
	}
	bs := m.b.BlockSize()
	if len(state) != 1+2*bs || int(state[0]) > bs {
		return nil, ErrState
	}
	m.n = int(state[0])
	copy(m.last[:], state[1:1+bs])
	copy(m.state[:], state[1+bs:])
	return m, nil
}
