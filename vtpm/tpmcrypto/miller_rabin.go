package tpmcrypto

import (
	"filippo.io/bigmod"

	"stubtpm/vtpm/tpmcrypto/mont"
)

// A millerRabin tests one number w by bases (FIPS 186-5, B.3.1). Whatever
// computes it, the answers are the same, as derivation version 1 needs.
type millerRabin interface {
	// base2 reports whether 2 does not prove w composite.
	base2() bool

	// base tells the same of a big-endian base with as many octets as w;
	// it is not usable unless it lies between 1 and w-1 (step 4.2).
	base(b []byte) (pass, usable bool)
}

// newMillerRabin returns nil for numbers that are even or below 2.
func newMillerRabin(w []byte) millerRabin {
	if len(w) == 0 || w[len(w)-1]&1 == 0 {
		return nil
	}
	if m := newFastMillerRabin(w); m != nil {
		return m
	}
	return newAnyMillerRabin(w)
}

func newAnyMillerRabin(w []byte) millerRabin {
	m, err := bigmod.NewModulus(w)
	if err != nil {
		return nil
	}
	minus1 := m.Nat().SubOne(m)
	a := minus1.TrailingZeroBitsVarTime()
	return &anyMillerRabin{m, minus1.ShiftRightVarTime(a).Bytes(m), a}
}

// anyMillerRabin is for numbers of all sizes.
type anyMillerRabin struct {
	m *bigmod.Modulus
	e []byte // the odd part of w-1
	a uint   // and the number of twos
}

func (t *anyMillerRabin) base2() bool {
	return t.pass(bigmod.NewNat().SetUint(2).ExpandFor(t.m))
}

func (t *anyMillerRabin) base(b []byte) (pass, usable bool) {
	x := bigmod.NewNat()
	if _, err := x.SetBytes(b, t.m); err != nil || x.IsZero()|x.IsOne()|x.IsMinusOne(t.m) == 1 {
		return false, false
	}
	return t.pass(x), true
}

func (t *anyMillerRabin) pass(b *bigmod.Nat) bool {
	z := bigmod.NewNat().Exp(b, t.e, t.m)
	if z.IsOne() == 1 || z.IsMinusOne(t.m) == 1 {
		return true
	}
	for n := t.a; n > 1; n-- {
		z.Mul(z, t.m)
		if z.IsMinusOne(t.m) == 1 {
			return true
		}
	}
	return false
}

// fastMillerRabin is for the primes of RSA-2048.
type fastMillerRabin struct {
	m *mont.Modulus
	e []byte
	a uint
}

// newFastMillerRabin returns nil where the fast arithmetic does not work for w.
func newFastMillerRabin(w []byte) millerRabin {
	if len(w) != mont.Size || !mont.Available() {
		return nil
	}
	m, ok := mont.NewModulus(w)
	if !ok {
		return nil
	}
	t := &fastMillerRabin{m: m, e: append([]byte(nil), w...)}
	t.e[len(w)-1]--
	t.a = oddPart(t.e)
	return t
}

// oddPart divides a big-endian number other than 0 by two until it is odd, and
// returns how often; this number is not secret.
func oddPart(b []byte) (a uint) {
	for b[len(b)-1] == 0 {
		copy(b[1:], b)
		b[0] = 0
		a += 8
	}
	for b[len(b)-1]&1 == 0 {
		var carry byte
		for i, v := range b {
			b[i], carry = v>>1|carry, v<<7
		}
		a++
	}
	return a
}

func (t *fastMillerRabin) base2() bool { return t.pass(t.m.Exp2(t.e)) }

func (t *fastMillerRabin) base(b []byte) (pass, usable bool) {
	x, ok := t.m.Nat(b)
	if !ok || t.m.IsZero(x) || t.m.IsOne(x) || t.m.IsMinusOne(x) {
		return false, false
	}
	return t.pass(t.m.Exp(x, t.e)), true
}

func (t *fastMillerRabin) pass(z *mont.Nat) bool {
	if t.m.IsOne(z) || t.m.IsMinusOne(z) {
		return true
	}
	for n := t.a; n > 1; n-- {
		t.m.Square(z)
		if t.m.IsMinusOne(z) {
			return true
		}
	}
	return false
}
