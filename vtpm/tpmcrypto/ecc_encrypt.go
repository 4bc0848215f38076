package tpmcrypto

import (
	"io"

	"filippo.io/bigmod"

	"stubtpm/vtpm/tcg"
)

// Encrypt is the encryption of TPM2_ECC_Encrypt (Part 1, 45.2.4.2) with
// TPM_ALG_KDF2 and the hash alg, on any curve: C1 is the ephemeral point, C2
// the message under the key stream, C3 the digest that binds them. ErrHash,
// ErrValue for an empty message, or what rand says.
func (k *ECCPublic) Encrypt(rand io.Reader, alg tcg.TPMAlgID, message []byte) (c1 Point, c2, c3 []byte, err error) {
	if !HasHash(alg) {
		return c1, nil, nil, ErrHash
	}
	if len(message) == 0 {
		return c1, nil, nil, ErrValue
	}
	c := k.Curve
	var n *bigmod.Nat
	if n, err = c.random(rand); err != nil {
		return c1, nil, nil, err
	}
	s := n.Bytes(c.order)
	defer clear(s)
	p2 := c.mul(k.Q, s)
	return c.baseMul(s), xorKDF2(alg, p2, message), Sum(nil, alg, p2.X, message, p2.Y), nil
}

// Decrypt reverses Encrypt (Part 1, 45.2.4.3). ErrHash, ErrPoint, ErrValue if
// c3 does not fit the rest.
func (k *ECCPrivate) Decrypt(alg tcg.TPMAlgID, c1 Point, c2, c3 []byte) ([]byte, error) {
	if !HasHash(alg) {
		return nil, ErrHash
	}
	p2, err := k.ECDH(c1)
	if err != nil {
		return nil, err
	}
	m := xorKDF2(alg, p2, c2)
	if !Equal(Sum(nil, alg, p2.X, m, p2.Y), c3) {
		clear(m)
		return nil, ErrValue
	}
	return m, nil
}

// xorKDF2 returns b under the key stream of a shared point.
func xorKDF2(alg tcg.TPMAlgID, p Point, b []byte) []byte {
	out := KDF2(alg, append(append([]byte(nil), p.X...), p.Y...), nil, len(b))
	for i := range out {
		out[i] ^= b[i]
	}
	return out
}
