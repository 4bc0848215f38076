package tpmcrypto

import (
	"bytes"
	"crypto/rand"
	"math/big"
	"testing"

	"stubtpm/vtpm/tpmcrypto/mont"
)

// TestMillerRabinAlike has both implementations test the same numbers of 1024
// bits by the same bases: primes, composites without small divisors, and such
// with many twos in w-1. Keys derived with one must be those of the other.
func TestMillerRabinAlike(t *testing.T) {
	t.Parallel()
	if !mont.Available() {
		t.Skip("this processor has one implementation only")
	}
	var numbers []*big.Int
	half := func() *big.Int {
		p, err := rand.Prime(rand.Reader, 512)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for range 3 {
		p, err := rand.Prime(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		q := half()
		// q(2q-1) passes for a quarter of all bases if both are primes.
		numbers = append(numbers, p, new(big.Int).Mul(q, half()), new(big.Int).Mul(q, q))
	}
	// k*2^n+1: n squarings, some of which are primes.
	for _, n := range []uint{1, 7, 8, 9, 64, 500} {
		for range 6 {
			k, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 1024-n))
			k.SetBit(k, 1023-int(n), 1).SetBit(k, 0, 1)
			numbers = append(numbers, k.Lsh(k, n).Add(k, big.NewInt(1)))
		}
	}
	passes := 0
	for _, n := range numbers {
		w := n.FillBytes(make([]byte, mont.Size))
		fast := newFastMillerRabin(w)
		slow := newAnyMillerRabin(w)
		if fast == nil || slow == nil {
			t.Fatalf("%x refused", w)
		}
		if fast.base2() != slow.base2() {
			t.Errorf("%x: base 2", w)
		}
		minus1 := bytes.Clone(w)
		minus1[len(w)-1]--
		b := make([]byte, len(w))
		rand.Read(b)
		three := append(make([]byte, len(w)-1), 3)
		for _, b := range [][]byte{b, three, make([]byte, len(w)), append(make([]byte, len(w)-1), 1), minus1, w} {
			p1, u1 := fast.base(b)
			p2, u2 := slow.base(b)
			if p1 != p2 || u1 != u2 {
				t.Errorf("%x: base %x: %v %v, %v %v", w, b, p1, u1, p2, u2)
			}
			if p1 {
				passes++
			}
		}
	}
	if passes < 3 {
		t.Errorf("%d bases passed: too few to compare", passes)
	}
}
