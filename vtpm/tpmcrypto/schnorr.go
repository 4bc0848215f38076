package tpmcrypto

import (
	"io"

	"filippo.io/bigmod"

	"stubtpm/vtpm/tcg"
)

// SignSchnorr signs a digest by the EC Schnorr scheme of Part 1, 44.3.4. alg is
// the hash of the scheme. The signature is verified before it leaves. ErrHash,
// ErrFault, or what rand says.
func (k *ECCPrivate) SignSchnorr(rand io.Reader, alg tcg.TPMAlgID, digest []byte) (sig ECCSignature, err error) {
	if !HasHash(alg) {
		return sig, ErrHash
	}
	c := k.Curve
	for {
		n, err := c.random(rand)
		if err != nil {
			return sig, err
		}
		e := c.baseMul(n.Bytes(c.order))
		r := schnorrHash(c, alg, e.X, digest)
		s, ok := k.schnorr(n, c.reduce(r, c.order))
		if !ok || s.Equal(n) == 1 {
			continue
		}
		sig = ECCSignature{LeftPad(r, c.Size), s.Bytes(c.order)}
		if k.VerifySchnorr(alg, digest, sig) != nil {
			return ECCSignature{}, ErrFault
		}
		return sig, nil
	}
}

// schnorr returns k + t*d modulo the order, and whether it is not zero.
func (k *ECCPrivate) schnorr(n, t *bigmod.Nat) (*bigmod.Nat, bool) {
	c := k.Curve
	s := bigmod.NewNat().Mod(t, c.order).Mul(k.nat(), c.order).Add(n, c.order)
	return s, s.IsZero() == 0
}

// schnorrHash is TRUNC(H(FE2BS(x) || P), n), cut at the less significant end.
func schnorrHash(c *Curve, alg tcg.TPMAlgID, x, digest []byte) []byte {
	r := Sum(nil, alg, x, digest)
	return r[:min(len(r), c.Size)]
}

// VerifySchnorr checks a signature of SignSchnorr. ErrHash, ErrSignature.
func (k *ECCPublic) VerifySchnorr(alg tcg.TPMAlgID, digest []byte, sig ECCSignature) error {
	if !HasHash(alg) {
		return ErrHash
	}
	c := k.Curve
	s, err := c.scalar(sig.S)
	r := LeftPad(sig.R, c.Size)
	if err != nil || s.IsZero() == 1 || r == nil {
		return ErrSignature
	}
	neg := bigmod.NewNat().ExpandFor(c.order).Sub(c.reduce(r, c.order), c.order)
	e := c.add(c.baseMul(s.Bytes(c.order)), c.mul(k.Q, neg.Bytes(c.order)))
	if e.Infinity() || !Equal(LeftPad(schnorrHash(c, alg, e.X, digest), c.Size), r) {
		return ErrSignature
	}
	return nil
}
