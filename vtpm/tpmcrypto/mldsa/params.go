package mldsa

import "errors"

// Sizes in bytes that all parameter sets share.
const (
	SeedSize = 32 // of a private key, xi
	RndSize  = 32 // of what hedges a signature
	MuSize   = 64
)

// Params is a parameter set (FIPS 204, Table 1).
type Params struct {
	k, l       int
	eta        int
	tau        int
	challenge  int // bytes of c tilde: lambda/4
	gamma1Bits int
	gamma2     uint32
	omega      int
}

// MLDSA44 returns the set of security category 2.
func MLDSA44() *Params { return &Params{4, 4, 2, 39, 32, 17, (q - 1) / 88, 80} }

// MLDSA65 returns the set of security category 3.
func MLDSA65() *Params { return &Params{6, 5, 4, 49, 48, 19, (q - 1) / 32, 55} }

// MLDSA87 returns the set of security category 5.
func MLDSA87() *Params { return &Params{8, 7, 2, 60, 64, 19, (q - 1) / 32, 75} }

func (p *Params) beta() uint32   { return uint32(p.tau * p.eta) }
func (p *Params) gamma1() uint32 { return 1 << p.gamma1Bits }

// PublicSize is the size in bytes of an encoded public key: 1312, 1952 or 2592.
func (p *Params) PublicSize() int { return 32 + p.k*t1Bytes }

// SignatureSize is the size in bytes of a signature: 2420, 3309 or 4627.
func (p *Params) SignatureSize() int {
	return p.challenge + p.l*n*(p.gamma1Bits+1)/8 + p.omega + p.k
}

// Errors of this package.
var (
	// ErrSize is a seed, key, mu or rnd of a wrong length.
	ErrSize = errors.New("mldsa: wrong length")
	// ErrRejected means that no attempt to sign succeeded, which happens less
	// often than once in 2^256 signatures (FIPS 204, appendix C).
	ErrRejected = errors.New("mldsa: too many attempts to sign were rejected")
)
