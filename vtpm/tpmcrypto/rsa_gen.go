package tpmcrypto

import (
	"io"
	"math/bits"
	"runtime"

	"filippo.io/bigmod"

	"stubtpm/vtpm/tcg"
)

// NewRSAKey makes a key pair of nbits with the exponent e, 0 meaning 65537,
// from what rand gives (Part 1, 43.8.3; FIPS 186-5, A.1.3 with the search of
// newPrime). The same octets make the same key: with a primary DRBG this is
// part of derivation version 1. ErrSize or ErrValue for an unsupported size or
// exponent; otherwise it fails only if rand does.
//
// It reads 128 octets, half of which seed an HMAC_DRBG with SHA-512 for each
// prime. So the primes do not depend on each other and are sought side by side
// where there is more than one processor.
func NewRSAKey(rand io.Reader, nbits int, e uint32) (*RSAPrivate, error) {
	if !HasRSA(nbits) {
		return nil, ErrSize
	}
	if !HasExponent(e) {
		return nil, ErrValue
	}
	if e == 0 {
		e = DefaultExponent
	}
	var seed [128]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, err
	}
	rp := NewDRBG(tcg.TPMAlgSHA512, seed[:64], []byte("RSA p"))
	rq := NewDRBG(tcg.TPMAlgSHA512, seed[64:], []byte("RSA q"))
	p, q, err := twoPrimes(rp, rq, nbits/2, uint64(e))
	for err == nil && !farApart(p, q) {
		q, err = newPrime(rq, nbits/2, uint64(e))
	}
	if err != nil {
		return nil, err
	}
	n, err := bigmod.NewModulusProduct(p, q)
	if err != nil {
		return nil, err
	}
	pub, err := NewRSAPublic(n.Nat().Bytes(n), e)
	if err != nil {
		return nil, err
	}
	return &RSAPrivate{RSAPublic: *pub, p: p, q: q}, nil
}

// twoPrimes draws one prime from each generator.
func twoPrimes(rp, rq io.Reader, nbits int, e uint64) (p, q []byte, err error) {
	// Not GOMAXPROCS: a program may raise that while the search goes on.
	if runtime.NumCPU() == 1 {
		if p, err = newPrime(rp, nbits, e); err != nil {
			return nil, nil, err
		}
		q, err = newPrime(rq, nbits, e)
		return p, q, err
	}
	done := make(chan error, 1)
	go func() {
		var err error
		q, err = newPrime(rq, nbits, e)
		done <- err
	}()
	p, err = newPrime(rp, nbits, e)
	if errq := <-done; err == nil {
		err = errq
	}
	return p, q, err
}

// farApart reports whether |p-q| > 2^(nlen/2-100) (A.1.3, step 5.5), judging by
// the highest 128 bits.
func farApart(p, q []byte) bool {
	a, b := limbs(p[:16]), limbs(q[:16])
	lo, borrow := bits.Sub64(a[0], b[0], 0)
	hi, borrow := bits.Sub64(a[1], b[1], borrow)
	if borrow != 0 {
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	// In units of 2^(nlen/2-128), where each number may be one short.
	return hi != 0 || lo > 1<<28+1
}
