package tpmcrypto

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"io"
	"math/big"

	"filippo.io/bigmod"

	"stubtpm/vtpm/tcg"
)

// An ECCSignature is the pair of numbers of all ECC signatures. Those that come
// out of this package have the curve's size; those that go in may have any
// number of leading zeros.
type ECCSignature struct{ R, S []byte }

// SignECDSA signs a digest. Only the highest bits count of a digest that is
// longer than the order (Part 1, 44.3.1). The nonce comes from rand together
// with the key and the digest, so that a weak rand alone does not break the
// key. The signature is checked before it leaves. ErrFault if that fails.
func (k *ECCPrivate) SignECDSA(rand io.Reader, digest []byte) (sig ECCSignature, err error) {
	c := k.Curve
	if c.std != nil {
		std := k.standard()
		if std == nil {
			return sig, ErrFault
		}
		r, s, err := ecdsa.Sign(rand, std, digest)
		if err != nil {
			return sig, ErrFault
		}
		sig.R, sig.S = r.FillBytes(make([]byte, c.Size)), s.FillBytes(make([]byte, c.Size))
	} else if sig, err = k.ownECDSA(rand, digest); err != nil {
		return ECCSignature{}, err
	}
	if !k.signed(digest, sig) {
		return ECCSignature{}, ErrFault
	}
	return sig, nil
}

// signed reports whether a signature is that of the key: the equation of FIPS
// 186-5, 6.4.2, with [rd/s]G in place of [r/s]Q, so that one multiplication of
// the base point does, a quarter of VerifyECDSA's time.
//
// A fault that changed r, s, or what crypto/ecdsa computed them with does not
// pass, since k.d is another copy than the one that signed; that k.d belongs to
// Q was checked when that copy was made. It computes the nonce, and is constant
// time in it and in d. On the curves that crypto/ecdsa lacks there is one copy
// only, and VerifyECDSA decides.
func (k *ECCPrivate) signed(digest []byte, sig ECCSignature) bool {
	c := k.Curve
	if c.std == nil {
		return k.VerifyECDSA(digest, sig) == nil
	}
	r, err1 := c.scalar(sig.R)
	s, err2 := c.scalar(sig.S)
	if err1 != nil || err2 != nil || r.IsZero()|s.IsZero() == 1 {
		return false
	}
	// s is public. It has an inverse, as the order is prime.
	w := new(big.Int).ModInverse(new(big.Int).SetBytes(sig.S), new(big.Int).SetBytes(c.N))
	wInv, err := c.scalar(w.Bytes())
	if err != nil {
		return false
	}
	u := k.nat().Mul(r, c.order)
	u.Add(c.hashToScalar(digest), c.order).Mul(wInv, c.order)
	p := c.baseMul(u.Bytes(c.order))
	return !p.Infinity() && c.reducePublic(p.X).Equal(r) == 1
}

// SignECDSADeterministic signs the digest of alg with the nonce of RFC 6979.
// ErrCurve on curves that the standard library lacks, ErrHash, ErrSize for a
// digest of another length, ErrFault.
func (k *ECCPrivate) SignECDSADeterministic(alg tcg.TPMAlgID, digest []byte) (sig ECCSignature, err error) {
	c := k.Curve
	if c.std == nil {
		return sig, ErrCurve
	}
	if err := digestOK(alg, digest); err != nil {
		return sig, err
	}
	if cryptoHash(alg) == 0 {
		return sig, ErrHash
	}
	std := k.standard()
	if std == nil {
		return sig, ErrFault
	}
	der, err := std.Sign(nil, digest, crypto.SignerOpts(cryptoHash(alg)))
	if err != nil {
		return sig, ErrFault
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		return sig, ErrFault
	}
	sig.R, sig.S = rs.R.FillBytes(make([]byte, c.Size)), rs.S.FillBytes(make([]byte, c.Size))
	if !k.signed(digest, sig) {
		return ECCSignature{}, ErrFault
	}
	return sig, nil
}

// VerifyECDSA checks a signature of SignECDSA. ErrSignature if it is none.
func (k *ECCPublic) VerifyECDSA(digest []byte, sig ECCSignature) error {
	c := k.Curve
	if c.std == nil {
		return k.ownVerifyECDSA(digest, sig)
	}
	r, s := new(big.Int).SetBytes(sig.R), new(big.Int).SetBytes(sig.S)
	if !ecdsa.Verify(k.standard(), digest, r, s) {
		return ErrSignature
	}
	return nil
}

// hashToScalar takes the highest bits of a digest, as many as the order has,
// modulo the order (FIPS 186-5, 6.4.1, step 2).
func (c *Curve) hashToScalar(digest []byte) *bigmod.Nat {
	if len(digest) > c.Size {
		digest = digest[:c.Size]
	}
	e := append([]byte(nil), digest...)
	if over := len(e)*8 - c.order.BitLen(); over > 0 {
		var carry byte
		for i, b := range e { // over is below 8
			e[i], carry = b>>over|carry, b<<(8-over)
		}
	}
	return c.reducePublic(e)
}

// reducePublic is reduce modulo the order for a number that is no secret.
func (c *Curve) reducePublic(b []byte) *bigmod.Nat {
	if x, err := bigmod.NewNat().SetOverflowingBytes(b, c.order); err == nil {
		return x
	}
	return c.reduce(b, c.order)
}

// inverse returns 1/x modulo the order, in constant time by Fermat.
func (c *Curve) inverse(x *bigmod.Nat) *bigmod.Nat {
	e := c.order.Nat().SubOne(c.order).SubOne(c.order).Bytes(c.order)
	return bigmod.NewNat().Exp(x, e, c.order)
}

// ownECDSA is FIPS 186-5, 6.4.1 for the curves that crypto/ecdsa lacks.
func (k *ECCPrivate) ownECDSA(rand io.Reader, digest []byte) (sig ECCSignature, err error) {
	c := k.Curve
	e := c.hashToScalar(digest)
	for {
		n, err := c.random(rand)
		if err != nil {
			return sig, err
		}
		r := c.reduce(c.baseMul(n.Bytes(c.order)).X, c.order)
		s := bigmod.NewNat().Mod(r, c.order).Mul(k.nat(), c.order)
		s.Add(e, c.order).Mul(c.inverse(n), c.order)
		if r.IsZero()|s.IsZero() == 0 {
			return ECCSignature{r.Bytes(c.order), s.Bytes(c.order)}, nil
		}
	}
}

// ownVerifyECDSA is FIPS 186-5, 6.4.2.
func (k *ECCPublic) ownVerifyECDSA(digest []byte, sig ECCSignature) error {
	c := k.Curve
	r, err1 := c.scalar(sig.R)
	s, err2 := c.scalar(sig.S)
	if err1 != nil || err2 != nil || r.IsZero()|s.IsZero() == 1 {
		return ErrSignature
	}
	w := c.inverse(s)
	u := c.hashToScalar(digest).Mul(w, c.order)
	v := w.Mul(r, c.order)
	p := c.add(c.baseMul(u.Bytes(c.order)), c.mul(k.Q, v.Bytes(c.order)))
	if p.Infinity() || c.reduce(p.X, c.order).Equal(r) != 1 {
		return ErrSignature
	}
	return nil
}
