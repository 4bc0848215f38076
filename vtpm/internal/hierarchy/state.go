package hierarchy

import (
	"bytes"
	"io"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// SeedSize and ProofSize are in bytes: the largest digest implemented (Part 1,
// "Primary Seed Properties", "Hierarchy Proofs").
const (
	SeedSize  = 64
	ProofSize = 64
)

// Secrets are a hierarchy's primary seed, which its primary objects are derived
// from, and its proof, a value that only this TPM knows.
type Secrets struct {
	Seed  []byte // SeedSize bytes
	Proof []byte // ProofSize bytes
}

// NewSecrets returns secrets read from rand.
func NewSecrets(rand io.Reader) (Secrets, error) {
	s := Secrets{Seed: make([]byte, SeedSize), Proof: make([]byte, ProofSize)}
	if _, err := io.ReadFull(rand, s.Seed); err != nil {
		return s, err
	}
	_, err := io.ReadFull(rand, s.Proof)
	return s, err
}

// A Policy is the algorithm of an authorization policy's digest, and the digest.
type Policy struct {
	Hash   tcg.TPMAlgID
	Digest []byte
}

// NoPolicy returns what is in force where no policy was set: TPM_ALG_NULL and an
// empty digest.
func NoPolicy() Policy { return Policy{Hash: tcg.TPMAlgNull} }

// Clone returns a copy that shares no memory.
func (p Policy) Clone() Policy { return Policy{p.Hash, bytes.Clone(p.Digest)} }

// Permanent is what survives loss of power.
type Permanent struct {
	endorsement, storage, platform Secrets

	// Derivation is the version of the method that derives primary keys from a
	// seed; it stays what it was when the seeds were made.
	Derivation uint16

	ownerAuth, endorsementAuth, lockoutAuth       []byte
	ownerPolicy, endorsementPolicy, lockoutPolicy Policy

	DisableClear bool // TPM2_ClearControl
}

// Manufacture returns the permanent part of a new TPM.
func Manufacture(rand io.Reader) (p Permanent, err error) {
	p = Permanent{
		Derivation:  tpmcrypto.DerivationVersion,
		ownerPolicy: NoPolicy(), endorsementPolicy: NoPolicy(), lockoutPolicy: NoPolicy(),
	}
	for _, s := range []*Secrets{&p.endorsement, &p.storage, &p.platform} {
		if *s, err = NewSecrets(rand); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Clear is what a TPM Reset and a TPM Restart set again: it survives
// TPM2_Shutdown(STATE) with TPM2_Startup(STATE) only.
type Clear struct {
	OwnerEnable, EndorsementEnable, PlatformNVEnable, PlatformEnable bool

	platformAuth   []byte
	platformPolicy Policy
}

// NewClear returns what TPM2_Startup(CLEAR) sets.
func NewClear() Clear {
	return Clear{
		OwnerEnable: true, EndorsementEnable: true, PlatformNVEnable: true, PlatformEnable: true,
		platformPolicy: NoPolicy(),
	}
}

// Clone returns a copy that shares no memory.
func (c Clear) Clone() Clear {
	c.platformAuth = bytes.Clone(c.platformAuth)
	c.platformPolicy = c.platformPolicy.Clone()
	return c
}
