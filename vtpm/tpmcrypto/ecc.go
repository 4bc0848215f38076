package tpmcrypto

import (
	"crypto/ecdsa"
	"io"
	"math/big"
	"sync"

	"filippo.io/bigmod"

	"stubtpm/vtpm/tcg"
)

// An ECCPublic is the public part of an ECC key.
type ECCPublic struct {
	Curve *Curve
	Q     Point // with coordinates of the curve's size
}

// NewECCPublic checks and keeps a public key. ErrCurve for an unsupported
// curve, ErrPoint if the point is not on it.
func NewECCPublic(id tcg.TPMECCCurve, q Point) (*ECCPublic, error) {
	c := CurveByID(id)
	if c == nil {
		return nil, ErrCurve
	}
	q, err := c.Check(q)
	if err != nil {
		return nil, err
	}
	return &ECCPublic{c, q}, nil
}

// An ECCPrivate is an ECC key pair. It should live as long as the loaded
// object, since the form that crypto/ecdsa wants is made once. It may be used
// by several goroutines at once.
type ECCPrivate struct {
	ECCPublic
	d []byte // of the curve's size

	once sync.Once
	std  *ecdsa.PrivateKey
}

// NewECCPrivate makes a key pair from its scalar, as a sensitive area holds
// it. ErrCurve for an unsupported curve, ErrValue if the scalar is not between
// 1 and the order less 1. The caller compares the public point with the one it
// has, see Matches.
func NewECCPrivate(id tcg.TPMECCCurve, d []byte) (*ECCPrivate, error) {
	c := CurveByID(id)
	if c == nil {
		return nil, ErrCurve
	}
	s, err := c.scalar(d)
	if err != nil || s.IsZero() == 1 {
		return nil, ErrValue
	}
	return c.newPrivate(s), nil
}

func (c *Curve) newPrivate(s *bigmod.Nat) *ECCPrivate {
	d := s.Bytes(c.order)
	return &ECCPrivate{ECCPublic: ECCPublic{c, c.baseMul(d)}, d: d}
}

// NewECCKey makes a key pair from what rand gives, by FIPS 186-5, A.2.1 with 64
// extra bits (Part 1, 44.6): the first octets are the number, big-endian, whose
// surplus bits at the front are dropped. Every implementation takes the same
// octets, so that this serves derived objects (with a KDFaStream); with a
// primary DRBG it is part of derivation version 1. ErrCurve, or what rand says.
func NewECCKey(rand io.Reader, id tcg.TPMECCCurve) (*ECCPrivate, error) {
	c := CurveByID(id)
	if c == nil {
		return nil, ErrCurve
	}
	s, err := c.random(rand)
	if err != nil {
		return nil, err
	}
	return c.newPrivate(s), nil
}

// random returns a scalar between 1 and the order less 1.
func (c *Curve) random(rand io.Reader) (*bigmod.Nat, error) {
	nbits := c.order.BitLen() + 64
	b := make([]byte, (nbits+7)/8)
	defer clear(b)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, err
	}
	mask(b, nbits)
	one := bigmod.NewNat().SetUint(1).ExpandFor(c.order)
	return c.reduce(b, c.orderLess1).ExpandFor(c.order).Add(one, c.order), nil
}

// Scalar returns the private scalar in the curve's size. It is secret.
func (k *ECCPrivate) Scalar() []byte { return append([]byte(nil), k.d...) }

// Public returns the public part.
func (k *ECCPrivate) Public() *ECCPublic { return &k.ECCPublic }

// Matches reports whether q is the public point of the key.
func (k *ECCPrivate) Matches(q Point) bool {
	return Equal(LeftPad(q.X, k.Curve.Size), k.Q.X) && Equal(LeftPad(q.Y, k.Curve.Size), k.Q.Y)
}

// Zero overwrites the scalar; copies inside the form of crypto/ecdsa remain
// (see Zero). The key must not be used any more.
func (k *ECCPrivate) Zero() {
	k.once.Do(func() {})
	clear(k.d)
	k.std = nil
}

// nat returns the scalar as a number.
func (k *ECCPrivate) nat() *bigmod.Nat {
	d, err := bigmod.NewNat().SetBytes(k.d, k.Curve.order)
	if err != nil {
		panic("tpmcrypto: internal error: scalar out of range")
	}
	return d
}

func (k *ECCPublic) standard() *ecdsa.PublicKey {
	return &ecdsa.PublicKey{
		Curve: k.Curve.std,
		X:     new(big.Int).SetBytes(k.Q.X),
		Y:     new(big.Int).SetBytes(k.Q.Y),
	}
}

// standard returns the key in the form of crypto/ecdsa, which caches what it
// computes by the pointer; nil if the scalar is no longer that of the point.
func (k *ECCPrivate) standard() *ecdsa.PrivateKey {
	k.once.Do(func() {
		if !k.Matches(k.Curve.baseMul(k.d)) {
			return
		}
		k.std = &ecdsa.PrivateKey{
			PublicKey: *k.ECCPublic.standard(),
			D:         new(big.Int).SetBytes(k.d),
		}
	})
	return k.std
}

// ECDH returns the point [d]q, whose x-coordinate is the shared secret (Part
// 1, 44.8.3; all cofactors are 1). ErrPoint if q is not on the curve.
func (k *ECCPrivate) ECDH(q Point) (Point, error) { return k.Curve.Mul(k.d, q) }
