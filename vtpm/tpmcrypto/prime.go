package tpmcrypto

import (
	"encoding/binary"
	"io"
	"math/bits"
)

// newPrime returns a random prime of that many bits, a multiple of 64 and at
// least 512, big-endian. Its two highest bits are ones, so that the product of
// two has twice the bits and each is above the square root of 1/2 that FIPS
// 186-5, A.1.3 wants; p-1 is prime to the prime e. It fails only if rand does.
//
// It draws a random odd number x, strikes out of x, x+2, x+4, ... whatever a
// small prime divides, and tests the others in random order. Going upwards
// from x instead would favour primes behind long gaps. This is derivation
// version 1: what is read from rand, and in what order, must not change.
//
// The time of the search tells how many candidates were tested, and nothing of
// those that were thrown away matters later. The modular arithmetic on the
// prime itself is constant time.
func newPrime(rand io.Reader, nbits int, e uint64) ([]byte, error) {
	buf := make([]byte, nbits/8)
	defer clear(buf)
	x := make([]uint64, nbits/64)
	defer clear(x)
	var draw [64]byte
	for {
		if _, err := io.ReadFull(rand, buf); err != nil {
			return nil, err
		}
		buf[0] |= 0xc0
		buf[len(buf)-1] |= 1
		for i := range x {
			x[i] = binary.BigEndian.Uint64(buf[len(buf)-8*(i+1):])
		}
		left := sieve(x, e)
		for n := 0; len(left) > 0; n++ {
			// 16 numbers of 32 bits for each 64 octets read.
			if n%16 == 0 {
				if _, err := io.ReadFull(rand, draw[:]); err != nil {
					return nil, err
				}
			}
			r := binary.BigEndian.Uint32(draw[n%16*4:])
			at, _ := bits.Mul32(r, uint32(len(left)))
			c := addWord(x, 2*uint64(left[at]))
			left[at] = left[len(left)-1]
			left = left[:len(left)-1]
			if c == nil {
				continue // above nbits
			}
			ok, err := isPrime(rand, c)
			if err != nil {
				return nil, err
			}
			if ok {
				return c, nil
			}
		}
	}
}

// addWord returns x+w big-endian, or nil if it has more limbs than x.
func addWord(x []uint64, w uint64) []byte {
	out := make([]byte, 8*len(x))
	for i, v := range x {
		v, w = bits.Add64(v, w, 0)
		binary.BigEndian.PutUint64(out[len(out)-8*(i+1):], v)
	}
	if w != 0 {
		return nil
	}
	return out
}

// rounds returns how many Miller-Rabin rounds with random bases a random
// candidate of that many bits needs (FIPS 186-5, Table B.1).
func rounds(nbits int) int {
	if nbits >= 1536 {
		return 4
	}
	return 5
}

// isPrime tests a random odd candidate by Miller-Rabin (FIPS 186-5, B.3.1):
// first with base 2, which nearly every composite fails, then with as many
// random bases as Table B.1 demands.
func isPrime(rand io.Reader, w []byte) (bool, error) {
	m := newMillerRabin(w)
	if m == nil || !m.base2() {
		return false, nil
	}
	b := make([]byte, len(w))
	for n := rounds(len(w) * 8); n > 0; {
		if _, err := io.ReadFull(rand, b); err != nil {
			return false, err
		}
		pass, usable := m.base(b)
		if !usable {
			continue
		}
		if !pass {
			return false, nil
		}
		n--
	}
	return true, nil
}
