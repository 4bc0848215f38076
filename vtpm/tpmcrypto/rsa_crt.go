package tpmcrypto

import (
	"math/bits"

	"stubtpm/vtpm/tpmcrypto/mont"
)

// A fastCRT is the Chinese remainder theorem (RFC 8017, 5.1.2, step 2b) for
// keys of 2048 bits by package mont, in constant time.
type fastCRT struct {
	p, q   *mont.Modulus
	dp, dq []byte
	qInv   *mont.Nat // modulo p
	qLimbs []uint64
}

// newFastCRT returns nil where package mont has nothing for the size or the
// processor, and ErrBinding for factors that are no primes, by one test of
// Fermat each. It takes about as long as a private operation.
func newFastCRT(p, q []byte, e uint64) (*fastCRT, error) {
	if len(p) != mont.Size || !mont.Available() {
		return nil, nil
	}
	c := &fastCRT{qLimbs: limbs(q)}
	var ok1, ok2 bool
	c.p, ok1 = mont.NewModulus(p)
	c.q, ok2 = mont.NewModulus(q)
	c.dp, c.dq = crtExponent(p, e), crtExponent(q, e)
	if !ok1 || !ok2 || c.dp == nil || c.dq == nil {
		return nil, ErrBinding
	}
	// 1/q by Fermat, which is right if p is a prime.
	less2 := limbs(p)
	defer clear(less2)
	var borrow uint64
	less2[0], borrow = bits.Sub64(less2[0], 2, 0)
	for i := 1; i < len(less2); i++ {
		less2[i], borrow = bits.Sub64(less2[i], 0, borrow)
	}
	exp := fromLimbs(less2)
	defer clear(exp)
	c.qInv = c.p.Exp(c.p.Reduce(q), exp)
	one := c.p.Reduce(q)
	c.p.Mul(one, c.qInv)
	less1 := append([]byte(nil), q...)
	defer clear(less1)
	less1[len(less1)-1]-- // odd
	if !c.p.IsOne(one) || !c.q.IsOne(c.q.Exp2(less1)) {
		return nil, ErrBinding
	}
	return c, nil
}

// crtExponent returns 1/e modulo p-1 in the size of p, or nil if e has no inverse.
func crtExponent(p []byte, e uint64) []byte {
	phi := append(limbs(p), 0)
	defer clear(phi)
	phi[0]-- // odd, so that no borrow is left
	if !invertExponent(phi, e) {
		return nil
	}
	return fromLimbs(phi[:len(phi)-1])
}

// private returns c^d, in the size of c, for a c below the modulus.
func (t *fastCRT) private(c []byte) []byte {
	m1 := t.p.Exp(t.p.Reduce(c), t.dp)
	m2 := t.q.Bytes(t.q.Exp(t.q.Reduce(c), t.dq))
	defer clear(m2)
	t.p.Sub(m1, t.p.Reduce(m2))
	t.p.Mul(m1, t.qInv)
	h := limbs(t.p.Bytes(m1))
	defer clear(h)
	m := multiply(h, t.qLimbs)
	defer clear(m)
	low := limbs(m2)
	defer clear(low)
	var carry uint64
	for i := range m {
		var v uint64
		if i < len(low) {
			v = low[i]
		}
		m[i], carry = bits.Add64(m[i], v, carry)
	}
	return fromLimbs(m)
}

// zero overwrites what it holds.
func (t *fastCRT) zero() {
	t.p.Zero()
	t.q.Zero()
	clear(t.dp)
	clear(t.dq)
	clear(t.qLimbs)
	*t.qInv = mont.Nat{}
}
