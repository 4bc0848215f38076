package tpmcrypto

import (
	"filippo.io/bigmod"

	"stubtpm/vtpm/tcg"
)

// ZGen2Phase does the arithmetic of TPM2_ZGen_2Phase: the static key k and the
// ephemeral secret r of this side with the static point qs and the ephemeral
// point qe of the other. The scheme is TPM_ALG_ECDH (Part 1, 44.8.4.2), which
// alone has a second result, TPM_ALG_ECMQV (44.8.4.3), or TPM_ALG_SM2
// (45.2.3.2). Infinity is a result like others for the first two.
//
// ErrScheme, ErrPoint, ErrValue if r is not below the order, ErrInfinity for
// SM2 alone.
func (k *ECCPrivate) ZGen2Phase(scheme tcg.TPMAlgID, r []byte, qs, qe Point) (z1, z2 Point, err error) {
	c := k.Curve
	if qs, err = c.Check(qs); err != nil {
		return z1, z2, err
	}
	if qe, err = c.Check(qe); err != nil {
		return z1, z2, err
	}
	rn, err := c.scalar(r)
	if err != nil {
		return z1, z2, err
	}
	r = rn.Bytes(c.order)
	switch scheme {
	case tcg.TPMAlgECDH:
		return c.mul(qs, k.d), c.mul(qe, r), nil
	case tcg.TPMAlgECMQV:
		own := c.baseMul(r)
		// t = r + d*avf(own); Z = [t](qe + [avf(qe)]qs)
		t := c.avf(own, 0).Mul(k.nat(), c.order).Add(rn, c.order)
		sum := c.add(qe, c.mul(qs, c.avf(qe, 0).Bytes(c.order)))
		return c.mulOrInfinity(sum, t), Point{}, nil
	case tcg.TPMAlgSM2:
		if !HasSM {
			break
		}
		own := c.baseMul(r)
		// t = d + r*avf(own); Z = [t](qs + [avf(qe)]qe)
		t := c.avf(own, 1).Mul(rn, c.order).Add(k.nat(), c.order)
		sum := c.add(qs, c.mul(qe, c.avf(qe, 1).Bytes(c.order)))
		z1, err = c.result(c.mulOrInfinity(sum, t))
		return z1, Point{}, err
	}
	return z1, z2, ErrScheme
}

func (c *Curve) mulOrInfinity(p Point, k *bigmod.Nat) Point {
	if p.Infinity() {
		return p
	}
	return c.mul(p, k.Bytes(c.order))
}

// avf is the associated value function: 2^f + (x mod 2^f), f being half the
// bits of the order, rounded up, and for SM2 one less (Part 1, 44.8.4.3 and
// 45.2.3.1). Points and therefore the values are public.
func (c *Curve) avf(q Point, less int) *bigmod.Nat {
	f := (c.order.BitLen()+1)/2 - less
	b := make([]byte, c.Size)
	if !q.Infinity() {
		copy(b, q.X)
	}
	at := len(b) - 1 - f/8 // the octet with bit f
	clear(b[:at])
	b[at] = b[at]&(1<<(f%8)-1) | 1<<(f%8)
	return c.reduce(b, c.order)
}
