//go:build !nosm

package tpmcrypto

import (
	"io"

	"filippo.io/bigmod"

	"stubtpm/vtpm/tcg"
)

// SignSM2 signs a digest e by the SM2 scheme (Part 1, 45.2.2.1, from its
// step 1). The signature is verified before it leaves. ErrFault, or what rand
// says.
func (k *ECCPrivate) SignSM2(rand io.Reader, digest []byte) (sig ECCSignature, err error) {
	c := k.Curve
	e := c.digestNumber(digest)
	one := bigmod.NewNat().SetUint(1).ExpandFor(c.order)
	for {
		n, err := c.random(rand)
		if err != nil {
			return sig, err
		}
		r := c.reduce(c.baseMul(n.Bytes(c.order)).X, c.order).Add(e, c.order)
		if r.IsZero() == 1 || bigmod.NewNat().Mod(r, c.order).Add(n, c.order).IsZero() == 1 {
			continue
		}
		d := k.nat()
		rd := bigmod.NewNat().Mod(r, c.order).Mul(d, c.order)
		s := n.Sub(rd, c.order).Mul(c.inverse(d.Add(one, c.order)), c.order)
		if s.IsZero() == 1 {
			continue
		}
		sig = ECCSignature{r.Bytes(c.order), s.Bytes(c.order)}
		if k.VerifySM2(digest, sig) != nil {
			return ECCSignature{}, ErrFault
		}
		return sig, nil
	}
}

// VerifySM2 checks a signature of SignSM2 (Part 1, 45.2.2.2). ErrSignature if
// it is none.
func (k *ECCPublic) VerifySM2(digest []byte, sig ECCSignature) error {
	c := k.Curve
	r, err1 := c.scalar(sig.R)
	s, err2 := c.scalar(sig.S)
	if err1 != nil || err2 != nil || r.IsZero()|s.IsZero() == 1 {
		return ErrSignature
	}
	t := bigmod.NewNat().Mod(r, c.order).Add(s, c.order)
	if t.IsZero() == 1 {
		return ErrSignature
	}
	p := c.add(c.baseMul(s.Bytes(c.order)), c.mul(k.Q, t.Bytes(c.order)))
	if p.Infinity() || c.reduce(p.X, c.order).Add(c.digestNumber(digest), c.order).Equal(r) != 1 {
		return ErrSignature
	}
	return nil
}

// SM2ID returns Z, the digest of the key and of what identifies its owner, up to 255
// bytes, which is hashed before the message (Part 1, 45.2.2.1, equation 64). The
// length in it is in bits, as in GB/T 32918.2-2016, 5.5, whose signatures this makes.
func (k *ECCPublic) SM2ID(alg tcg.TPMAlgID, id []byte) []byte {
	c := k.Curve
	bits := 8 * len(id)
	return Digest(alg, []byte{byte(bits >> 8), byte(bits)}, id, c.A, c.B, c.Gx, c.Gy, k.Q.X, k.Q.Y)
}

// digestNumber returns a digest as a number modulo the order. SM2 always uses
// a digest as long as the order; of a longer one the highest octets count.
func (c *Curve) digestNumber(digest []byte) *bigmod.Nat {
	return c.reduce(digest[:min(len(digest), c.Size)], c.order)
}
