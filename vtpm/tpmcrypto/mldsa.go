package tpmcrypto

import (
	"crypto/sha3"
	"io"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto/mldsa"
)

// MuSize is the size in bytes of mu, the representative of a message.
const MuSize = mldsa.MuSize

// mldsaParams returns a parameter set of Part 2, Table 208, or nil.
func mldsaParams(set uint16) *mldsa.Params {
	switch set {
	case tcg.TPMMLDSA44:
		return mldsa.MLDSA44()
	case tcg.TPMMLDSA65:
		return mldsa.MLDSA65()
	case tcg.TPMMLDSA87:
		return mldsa.MLDSA87()
	}
	return nil
}

// An MLDSAPublic is the public part of an ML-DSA key.
type MLDSAPublic struct{ k *mldsa.PublicKey }

// NewMLDSAPublic takes an encoded public key. ErrValue for an unknown parameter
// set or another length.
func NewMLDSAPublic(set uint16, b []byte) (*MLDSAPublic, error) {
	p := mldsaParams(set)
	if p == nil {
		return nil, ErrValue
	}
	k, err := mldsa.NewPublic(p, b)
	if err != nil {
		return nil, ErrValue
	}
	return &MLDSAPublic{k}, nil
}

// Bytes returns the encoded public key: 1312, 1952 or 2592 bytes.
func (k *MLDSAPublic) Bytes() []byte { return append([]byte(nil), k.k.Bytes()...) }

// A Mu is the computation of mu over a message of any length (FIPS 204,
// Algorithm 7, line 6).
type Mu struct{ h *sha3.SHAKE }

// NewMu begins the mu of a message that the key signs with ML-DSA. The context
// has up to 255 bytes.
func (k *MLDSAPublic) NewMu(context []byte) *Mu {
	m := &Mu{sha3.NewSHAKE256()}
	m.Write(k.k.Tr())
	m.Write([]byte{0, byte(len(context))})
	m.Write(context)
	return m
}

// Write adds to the message. It never fails.
func (m *Mu) Write(b []byte) (int, error) { return m.h.Write(b) }

// Sum appends mu to b. The message may go on afterwards.
func (m *Mu) Sum(b []byte) []byte {
	s := *m.h
	out := make([]byte, MuSize)
	s.Read(out)
	return append(b, out...)
}

// Save returns the state, for RestoreMu.
func (m *Mu) Save() ([]byte, error) {
	b, err := m.h.MarshalBinary()
	if err != nil {
		return nil, ErrState
	}
	return b, nil
}

// RestoreMu reads what Save returned. ErrState.
func RestoreMu(b []byte) (*Mu, error) {
	m := &Mu{sha3.NewSHAKE256()}
	// The last octet reports whether the sponge gives out already, after which it
	// takes nothing more. That of a Mu never does.
	if err := m.h.UnmarshalBinary(b); err != nil || b[len(b)-1] != 0 {
		return nil, ErrState
	}
	return m, nil
}

// hashOID returns the last byte of the object identifier of a hash algorithm
// that NIST approves (2.16.840.1.101.3.4.2.x), or 0.
func hashOID(alg tcg.TPMAlgID) byte {
	switch alg {
	case tcg.TPMAlgSHA256:
		return 1
	case tcg.TPMAlgSHA384:
		return 2
	case tcg.TPMAlgSHA512:
		return 3
	case tcg.TPMAlgSHA3256:
		return 8
	case tcg.TPMAlgSHA3384:
		return 9
	case tcg.TPMAlgSHA3512:
		return 10
	}
	return 0
}

// HasHashMLDSA reports whether HashML-DSA has an identifier for a hash
// algorithm: not for SHA-1 and SM3 (FIPS 204, 5.4.1).
func HasHashMLDSA(alg tcg.TPMAlgID) bool { return HasHash(alg) && hashOID(alg) != 0 }

// HashMu returns the mu with which the key signs a digest of alg by HashML-DSA
// (FIPS 204, Algorithm 4). The context has up to 255 bytes. ErrHash, ErrSize.
func (k *MLDSAPublic) HashMu(alg tcg.TPMAlgID, context, digest []byte) ([]byte, error) {
	if !HasHashMLDSA(alg) {
		return nil, ErrHash
	}
	if len(digest) != DigestSize(alg) {
		return nil, ErrSize
	}
	h := sha3.NewSHAKE256()
	h.Write(k.k.Tr())
	h.Write([]byte{1, byte(len(context))})
	h.Write(context)
	h.Write([]byte{6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, hashOID(alg)})
	h.Write(digest)
	mu := make([]byte, MuSize)
	h.Read(mu)
	return mu, nil
}

// Verify checks a signature over mu. ErrSize for another mu, ErrSignature.
func (k *MLDSAPublic) Verify(mu, sig []byte) error {
	if len(mu) != MuSize {
		return ErrSize
	}
	if !k.k.VerifyMu(mu, sig) {
		return ErrSignature
	}
	return nil
}

// An MLDSAPrivate is an ML-DSA key pair.
type MLDSAPrivate struct {
	MLDSAPublic
	k *mldsa.PrivateKey
}

// NewMLDSAPrivate makes a key pair from its seed, xi, 32 bytes. ErrValue for an
// unknown parameter set, ErrSize.
func NewMLDSAPrivate(set uint16, seed []byte) (*MLDSAPrivate, error) {
	p := mldsaParams(set)
	if p == nil {
		return nil, ErrValue
	}
	k, err := mldsa.NewPrivate(p, seed)
	if err != nil {
		return nil, ErrSize
	}
	return &MLDSAPrivate{MLDSAPublic{k.Public()}, k}, nil
}

// Sign signs mu, hedged by what rand gives. The signature is checked before it
// leaves. ErrSize for another mu, ErrNoResult if too many attempts were rejected
// (see package mldsa), ErrFault, or what rand says.
func (k *MLDSAPrivate) Sign(rand io.Reader, mu []byte) ([]byte, error) {
	if len(mu) != MuSize {
		return nil, ErrSize
	}
	rnd := make([]byte, mldsa.RndSize)
	defer clear(rnd)
	if _, err := io.ReadFull(rand, rnd); err != nil {
		return nil, err
	}
	sig, err := k.k.SignMu(mu, rnd)
	switch {
	case err != nil:
		return nil, ErrNoResult
	case !k.MLDSAPublic.k.VerifyMu(mu, sig):
		return nil, ErrFault
	}
	return sig, nil
}

// Zero overwrites the secrets. The key must not be used any more.
func (k *MLDSAPrivate) Zero() { k.k.Zero() }
