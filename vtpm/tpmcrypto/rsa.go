package tpmcrypto

import (
	"crypto/rsa"
	"math/big"
	"sync"

	"filippo.io/bigmod"
)

// DefaultExponent is the RSA public exponent that 0 stands for in a template.
const DefaultExponent = 65537

// RSASizes lists the supported sizes of an RSA modulus in bits. crypto/rsa
// takes no modulus below 1024 bits.
func RSASizes() []int { return []int{1024, 2048, 3072, 4096} }

// HasRSA reports whether a modulus of that many bits is supported.
func HasRSA(nbits int) bool {
	switch nbits {
	case 1024, 2048, 3072, 4096:
		return true
	}
	return false
}

// HasExponent reports whether e may be a public exponent: 0 for the default, or
// a prime above 2^16 (Part 1, 43.1 and 43.8.2), and below 2^31, the limit of
// crypto/rsa.
func HasExponent(e uint32) bool {
	return e == 0 || e == DefaultExponent ||
		e > 1<<16 && e < 1<<31 && new(big.Int).SetUint64(uint64(e)).ProbablyPrime(0)
}

// An RSAPublic is the public part of an RSA key.
type RSAPublic struct {
	std rsa.PublicKey
	n   *bigmod.Modulus
}

// NewRSAPublic checks and keeps a public key: its modulus, big-endian in
// exactly its size with the highest bit set, and its exponent, 0 meaning
// 65537. ErrSize for an unsupported size, ErrValue for an even modulus or an
// unsupported exponent.
func NewRSAPublic(n []byte, e uint32) (*RSAPublic, error) {
	if !HasRSA(len(n)*8) || n[0]&0x80 == 0 {
		return nil, ErrSize
	}
	if !HasExponent(e) || n[len(n)-1]&1 == 0 {
		return nil, ErrValue
	}
	if e == 0 {
		e = DefaultExponent
	}
	m, err := bigmod.NewModulus(n)
	if err != nil {
		return nil, ErrValue
	}
	return &RSAPublic{rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(e)}, m}, nil
}

// Size returns the size of the modulus in bytes.
func (k *RSAPublic) Size() int { return k.n.Size() }

// Modulus returns the modulus, big-endian.
func (k *RSAPublic) Modulus() []byte { return k.n.Nat().Bytes(k.n) }

// Exponent returns the public exponent.
func (k *RSAPublic) Exponent() uint32 { return uint32(k.std.E) }

// Standard returns the key in the form of crypto/rsa.
func (k *RSAPublic) Standard() *rsa.PublicKey { return &k.std }

// Raw is RSAEP (Part 1, 43.2), what TPM_ALG_NULL means. The message may be
// shorter than the modulus. ErrSize if it is longer and not just by zeros,
// ErrValue if it is not below the modulus.
func (k *RSAPublic) Raw(message []byte) ([]byte, error) {
	m, err := k.number(message)
	if err != nil {
		return nil, err
	}
	return bigmod.NewNat().ExpShortVarTime(m, uint(k.std.E), k.n).Bytes(k.n), nil
}

// number reads a value below the modulus.
func (k *RSAPublic) number(b []byte) (*bigmod.Nat, error) {
	b = LeftPad(b, k.Size())
	if b == nil {
		return nil, ErrSize
	}
	m, err := bigmod.NewNat().SetBytes(b, k.n)
	if err != nil {
		return nil, ErrValue
	}
	return m, nil
}

// An RSAPrivate is an RSA key pair. Making one is cheap; what private
// operations need is computed by the first of them and kept, so the value
// should live as long as the loaded object. It may be used by several
// goroutines at once.
type RSAPrivate struct {
	RSAPublic
	p, q []byte

	once sync.Once // of the form of crypto/rsa
	err  error
	std  *rsa.PrivateKey
	crt  crt

	fastOnce sync.Once
	fastErr  error
	fast     *fastCRT // nil for other sizes and processors
}

// crt holds the numbers of the Chinese remainder theorem for raw operations.
type crt struct {
	p, q   *bigmod.Modulus
	dp, dq []byte
	qInv   *bigmod.Nat
}

// NewRSAPrivate puts a key pair together from the public part and one prime,
// which is what a sensitive area holds. ErrSize and ErrValue as NewRSAPublic;
// ErrBinding if the prime does not divide the modulus or one of the two
// factors has the wrong size (Part 1, 43.1). As the specification has it,
// primality is not checked.
func NewRSAPrivate(n []byte, e uint32, prime []byte) (*RSAPrivate, error) {
	pub, err := NewRSAPublic(n, e)
	if err != nil {
		return nil, err
	}
	p := LeftPad(prime, len(n)/2)
	if p == nil || !goodFactor(p) {
		return nil, ErrBinding
	}
	q := divideExact(n, p)
	if !goodFactor(q) {
		return nil, ErrBinding
	}
	if !Equal(fromLimbs(multiply(limbs(p), limbs(q))), n) {
		return nil, ErrBinding
	}
	return &RSAPrivate{RSAPublic: *pub, p: p, q: q}, nil
}

// goodFactor reports whether p is odd and its square has twice its bits.
func goodFactor(p []byte) bool {
	if p[0]&0x80 == 0 || p[len(p)-1]&1 == 0 {
		return false
	}
	sq := multiply(limbs(p), limbs(p))
	return sq[len(sq)-1]>>63 == 1
}

// P returns the prime that a sensitive area keeps. It is secret.
func (k *RSAPrivate) P() []byte { return append([]byte(nil), k.p...) }

// Public returns the public part.
func (k *RSAPrivate) Public() *RSAPublic { return &k.RSAPublic }

// Zero overwrites the primes; copies inside the prepared form remain (see
// Zero). The key must not be used any more.
func (k *RSAPrivate) Zero() {
	k.once.Do(func() {})
	k.fastOnce.Do(func() {})
	clear(k.p)
	clear(k.q)
	clear(k.crt.dp)
	clear(k.crt.dq)
	k.std, k.crt, k.err = nil, crt{}, ErrValue
	if k.fast != nil {
		k.fast.zero()
	}
	k.fast, k.fastErr = nil, ErrValue
}

// prepare computes what private operations need, about as long as one of them
// takes. ErrBinding if the exponent has no inverse, which can only be when the
// factors are not good primes.
func (k *RSAPrivate) prepare() error {
	k.once.Do(func() {
		d := privateExponent(k.p, k.q, uint64(k.RSAPublic.std.E))
		if d == nil {
			k.err = ErrBinding
			return
		}
		defer clear(d)
		std := &rsa.PrivateKey{
			PublicKey: k.RSAPublic.std,
			D:         new(big.Int).SetBytes(d),
			Primes:    []*big.Int{new(big.Int).SetBytes(k.p), new(big.Int).SetBytes(k.q)},
		}
		std.Precompute()
		if err := std.Validate(); err != nil {
			k.err = ErrBinding
			return
		}
		k.std = std
		k.crt, k.err = newCRT(k.p, k.q, std)
	})
	return k.err
}

func newCRT(p, q []byte, std *rsa.PrivateKey) (c crt, err error) {
	if c.p, err = bigmod.NewModulus(p); err != nil {
		return c, ErrBinding
	}
	if c.q, err = bigmod.NewModulus(q); err != nil {
		return c, ErrBinding
	}
	c.dp = std.Precomputed.Dp.FillBytes(make([]byte, len(p)))
	c.dq = std.Precomputed.Dq.FillBytes(make([]byte, len(q)))
	qInv := std.Precomputed.Qinv.FillBytes(make([]byte, len(p)))
	if c.qInv, err = bigmod.NewNat().SetBytes(qInv, c.p); err != nil {
		return c, ErrBinding
	}
	return c, nil
}

// Raw is RSADP and RSASP1 (Part 1, 43.3), what TPM_ALG_NULL means: constant
// time, by the Chinese remainder theorem, and checked by the public operation
// before anything leaves, since one faulty result would give the primes away.
// ErrSize and ErrValue as RSAPublic.Raw, ErrBinding for a key that is no RSA
// key, ErrFault if the check fails.
func (k *RSAPrivate) Raw(message []byte) ([]byte, error) {
	c, err := k.number(message)
	if err != nil {
		return nil, err
	}
	m, err := k.private(c)
	if err != nil {
		return nil, err
	}
	if bigmod.NewNat().ExpShortVarTime(m, uint(k.RSAPublic.std.E), k.n).Equal(c) != 1 {
		return nil, ErrFault
	}
	return m.Bytes(k.n), nil
}

// private returns c^d modulo n, unchecked.
func (k *RSAPrivate) private(c *bigmod.Nat) (*bigmod.Nat, error) {
	k.fastOnce.Do(func() { k.fast, k.fastErr = newFastCRT(k.p, k.q, uint64(k.RSAPublic.std.E)) })
	if k.fastErr != nil {
		return nil, k.fastErr
	}
	if k.fast != nil {
		b := k.fast.private(c.Bytes(k.n))
		defer clear(b)
		m, err := bigmod.NewNat().SetBytes(b, k.n)
		if err != nil {
			return nil, ErrFault
		}
		return m, nil
	}
	if err := k.prepare(); err != nil {
		return nil, err
	}
	// RFC 8017, 5.1.2, step 2b.
	cp := bigmod.NewNat().Mod(c, k.crt.p)
	m1 := bigmod.NewNat().Exp(cp, k.crt.dp, k.crt.p)
	cq := bigmod.NewNat().Mod(c, k.crt.q)
	m2 := bigmod.NewNat().Exp(cq, k.crt.dq, k.crt.q)
	h := m1.Sub(bigmod.NewNat().Mod(m2, k.crt.p), k.crt.p).Mul(k.crt.qInv, k.crt.p)
	q := k.crt.q.Nat().ExpandFor(k.n)
	return h.ExpandFor(k.n).Mul(q, k.n).Add(m2.ExpandFor(k.n), k.n), nil
}
