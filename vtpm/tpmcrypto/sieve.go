package tpmcrypto

import (
	"math/bits"
	"sync"
)

// sieveWindow and sieveLimit decide how many candidates a window has and up to
// where their divisors are sought. Both are part of derivation version 1.
//
// Measured for primes of 1024 bits: divisors up to 2^18 leave one odd number
// in 11, so that about 32 are tested for a prime; the sieve takes about as long
// as two of these tests.
const (
	sieveWindow = 1 << 12 // odd numbers
	sieveLimit  = 1 << 18
)

// smallPrimes are the odd primes below sieveLimit, with products of as many
// neighbours as fit 64 bits. It is a constant that is cheaper to compute than
// to store in the program.
type smallPrimes struct {
	primes []uint32
	// products[i] is the product of the next count[i] primes.
	products []product
	count    []uint8
}

// A product is a modulus with what Montgomery's reduction by it needs.
type product struct {
	m   uint64
	k   uint64 // -1/m modulo 2^64
	rem uint64 // 2^(64*(residueLimbs+1)) modulo m
}

// residueLimbs is the size of number that residues is prepared for: the primes
// of RSA-2048.
const residueLimbs = 1024 / 64

func newProduct(m uint64) product {
	inv := m // right to 3 bits, and twice as many by each step
	for range 5 {
		inv *= 2 - m*inv
	}
	var power [residueLimbs + 2]uint64
	power[residueLimbs+1] = 1
	return product{m, -inv, modWord(power[:], m)}
}

var tableOfPrimes = sync.OnceValue(func() *smallPrimes {
	composite := make([]bool, sieveLimit/2) // of 2i+1
	t := &smallPrimes{}
	for i := 1; i < len(composite); i++ {
		if composite[i] {
			continue
		}
		p := 2*i + 1
		t.primes = append(t.primes, uint32(p))
		for j := p * p / 2; j < len(composite); j += p {
			composite[j] = true
		}
	}
	product, count := uint64(1), uint8(0)
	for _, p := range t.primes {
		hi, lo := bits.Mul64(product, uint64(p))
		if hi != 0 {
			t.products = append(t.products, newProduct(product))
			t.count = append(t.count, count)
			lo, count = uint64(p), 0
		}
		product = lo
		count++
	}
	t.products = append(t.products, newProduct(product))
	t.count = append(t.count, count)
	return t
})

// modWord returns the number with the little-endian limbs x modulo m.
//
// The quotients are those of secret candidates, and the divide instruction of
// some processors takes longer for some. One division by each of thousands of
// public moduli, once for a key, tells less than the number of candidates does.
func modWord(x []uint64, m uint64) uint64 {
	var r uint64
	for i := len(x) - 1; i >= 0; i-- {
		_, r = bits.Div64(r, x[i], m)
	}
	return r
}

// residue is modWord for residueLimbs limbs by multiplications, in a third of
// the time: from the lowest limb on, each step adds a multiple of m that makes
// the lowest limb zero, and drops it.
func (p *product) residue(x *[residueLimbs]uint64) uint64 {
	var c uint64
	for _, v := range x {
		t, carry := bits.Add64(v, c, 0)
		hi, lo := bits.Mul64(t*p.k, p.m)
		_, low := bits.Add64(lo, t, 0)
		c = hi + carry + low // at most m
	}
	// x/2^1024 so far.
	hi, lo := bits.Mul64(c, p.rem)
	h, l := bits.Mul64(lo*p.k, p.m)
	_, low := bits.Add64(l, lo, 0)
	c, carry := bits.Add64(hi, h, low)
	less, borrow := bits.Sub64(c, p.m, 0)
	_, borrow = bits.Sub64(carry, 0, borrow)
	return less + p.m&-borrow
}

// residues returns x modulo each product.
func (t *smallPrimes) residues(x []uint64) []uint64 {
	out := make([]uint64, len(t.products))
	if len(x) == residueLimbs {
		fixed := (*[residueLimbs]uint64)(x)
		for j := range t.products {
			out[j] = t.products[j].residue(fixed)
		}
		return out
	}
	for j := range t.products {
		out[j] = modWord(x, t.products[j].m)
	}
	return out
}

// sieve returns the offsets i, in rising order, of the window's numbers x+2i
// that no small prime divides, for an odd x above sieveLimit, and for which
// x+2i is not 1 modulo the prime e.
func sieve(x []uint64, e uint64) []uint16 {
	t := tableOfPrimes()
	var composite [sieveWindow]bool
	residues := t.residues(x)
	defer clear(residues)
	k := 0
	for j, r := range residues {
		for _, p := range t.primes[k : k+int(t.count[j])] {
			// The first i with x+2i = 0 modulo p.
			i := p - uint32(r%uint64(p))
			if i&1 != 0 {
				i += p
			}
			if i /= 2; i == p {
				i = 0
			}
			for ; i < sieveWindow; i += p {
				composite[i] = true
			}
		}
		k += int(t.count[j])
	}
	r := modWord(x, e)
	out := make([]uint16, 0, sieveWindow/8)
	for i := range composite {
		if !composite[i] && (r+2*uint64(i))%e != 1 {
			out = append(out, uint16(i))
		}
	}
	return out
}
