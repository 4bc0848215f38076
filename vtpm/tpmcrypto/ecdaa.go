package tpmcrypto

import (
	"encoding/binary"
	"io"

	"stubtpm/vtpm/tcg"
)

// CommitScalar returns the secret r of a commit or of an ephemeral key (Part
// 1, 44.2.2, equation 60, and 44.2.3, step 8). alg is the Name algorithm of
// the signing key, name its Name; for an ephemeral key, whatever stands for
// them. ErrHash, ErrNoResult if r is zero.
func (c *Curve) CommitScalar(alg tcg.TPMAlgID, commitRandom, name []byte, count uint64) ([]byte, error) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], count)
	bits := (c.order.BitLen() + 7) / 8 * 8
	b := KDFa(alg, commitRandom, "ECDAA Commit", name, n[:], bits)
	if b == nil {
		return nil, ErrHash
	}
	r := c.reduce(b, c.order)
	if r.IsZero() == 1 {
		return nil, ErrNoResult
	}
	return r.Bytes(c.order), nil
}

// Commit does the arithmetic of TPM2_Commit (Part 1, 44.2.3) with the secret
// r. s2 and y2 may both be empty, and p1 may be infinity. alg is the Name
// algorithm of the key. ErrSize if one of s2 and y2 is missing, ErrPoint if a
// point is not on the curve, ErrInfinity, ErrHash, ErrValue.
func (k *ECCPrivate) Commit(alg tcg.TPMAlgID, r []byte, p1 Point, s2, y2 []byte) (kp, l, e Point, err error) {
	c := k.Curve
	fail := func(err error) (Point, Point, Point, error) { return Point{}, Point{}, Point{}, err }
	if (len(s2) == 0) != (len(y2) == 0) {
		return fail(ErrSize)
	}
	if !HasHash(alg) {
		return fail(ErrHash)
	}
	var p2 Point
	if len(s2) > 0 {
		x2 := c.reduce(Sum(nil, alg, s2), c.field).Bytes(c.field)
		if p2, err = c.Check(Point{x2, y2}); err != nil {
			return fail(err)
		}
	}
	if !p1.Infinity() && !c.OnCurve(p1) {
		return fail(ErrPoint)
	}
	if len(s2) > 0 {
		if kp, err = c.Mul(k.d, p2); err != nil {
			return fail(err)
		}
		if l, err = c.Mul(r, p2); err != nil {
			return fail(err)
		}
	}
	switch {
	case !p1.Infinity():
		e, err = c.Mul(r, p1)
	case len(s2) == 0:
		e, err = c.BaseMul(r)
	}
	if err != nil {
		return fail(err)
	}
	return kp, l, e, nil
}

// SignECDAA completes an anonymous signature over the value p with the secret
// r of its commit (Part 1, 44.3.3.3). alg is the hash of the scheme. In the
// result R is the random k, S the number s. ErrHash, ErrValue if r is not below
// the order, ErrNoResult if s is zero, or what rand says.
//
// Nothing can verify the signature without the issuer's data. The sum is
// computed twice instead, and ErrFault returned if the results differ.
func (k *ECCPrivate) SignECDAA(rand io.Reader, alg tcg.TPMAlgID, r, p []byte) (sig ECCSignature, err error) {
	if !HasHash(alg) {
		return sig, ErrHash
	}
	c := k.Curve
	rn, err := c.scalar(r)
	if err != nil {
		return sig, err
	}
	kn, err := c.random(rand)
	if err != nil {
		return sig, err
	}
	kb := kn.Bytes(c.order)
	t := c.reduce(Sum(nil, alg, kb, p), c.order)
	s, ok := k.schnorr(rn, t)
	if !ok {
		return sig, ErrNoResult
	}
	if again, _ := k.schnorr(rn, t); again.Equal(s) != 1 {
		return sig, ErrFault
	}
	return ECCSignature{kb, s.Bytes(c.order)}, nil
}
