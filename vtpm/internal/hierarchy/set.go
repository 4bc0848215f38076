package hierarchy

import (
	"io"

	"stubtpm/vtpm/tcg"
)

// A Set is the hierarchies of a TPM as they are now.
type Set struct {
	*Permanent
	*Clear
	Null     *Secrets
	Firmware *Firmware // nil where there are no limited hierarchies
}

// Exists reports whether h is a handle that no firmware has to have the secret of,
// or that this firmware has it of.
func (s Set) Exists(h tcg.TPMHandle) bool { return s.Firmware.exists(h) }

// Enabled reports whether entities of the hierarchy h may be used. Permanent handles
// that are no hierarchy may always.
func (s Set) Enabled(h tcg.TPMHandle) bool {
	if !s.Exists(h) {
		return false
	}
	switch Base(h) {
	case tcg.TPMRHOwner:
		return s.OwnerEnable
	case tcg.TPMRHEndorsement:
		return s.EndorsementEnable
	case tcg.TPMRHPlatform:
		return s.PlatformEnable
	case tcg.TPMRHPlatformNV:
		return s.PlatformNVEnable
	}
	return true
}

// Secrets returns the seed and proof of a hierarchy that exists.
func (s Set) Secrets(h tcg.TPMHandle) *Secrets {
	if IsLimited(h) {
		return s.Firmware.limit(h, s.Secrets(Base(h)))
	}
	switch h {
	case tcg.TPMRHOwner:
		return &s.storage
	case tcg.TPMRHEndorsement:
		return &s.endorsement
	case tcg.TPMRHPlatform:
		return &s.platform
	}
	return s.Null
}

// Proof returns the proof of a hierarchy that exists.
func (s Set) Proof(h tcg.TPMHandle) []byte { return s.Secrets(h).Proof }

// HasAuth reports whether h is a hierarchy, or lockout, which have authorization
// values.
func HasAuth(h tcg.TPMHandle) bool {
	switch Base(h) {
	case tcg.TPMRHOwner, tcg.TPMRHEndorsement, tcg.TPMRHPlatform, tcg.TPMRHLockout, tcg.TPMRHNull:
		return true
	}
	return false
}

// Auth returns the authorization value of a hierarchy, of lockout, or of a countdown
// timer, which has the platform's (Part 1, 40.2). Others have the empty one.
func (s Set) Auth(h tcg.TPMHandle) []byte {
	switch h = Base(h); {
	case h == tcg.TPMRHOwner:
		return s.ownerAuth
	case h == tcg.TPMRHEndorsement:
		return s.endorsementAuth
	case h == tcg.TPMRHLockout:
		return s.lockoutAuth
	case h == tcg.TPMRHPlatform || h.IsACT():
		return s.platformAuth
	}
	return nil
}

// SetAuth changes the authorization value of owner, endorsement, lockout or
// platform. The value is kept.
func (s Set) SetAuth(h tcg.TPMHandle, auth []byte) {
	switch h {
	case tcg.TPMRHOwner:
		s.ownerAuth = auth
	case tcg.TPMRHEndorsement:
		s.endorsementAuth = auth
	case tcg.TPMRHLockout:
		s.lockoutAuth = auth
	case tcg.TPMRHPlatform:
		s.platformAuth = auth
	}
}

// Policy returns the policy of a hierarchy or of lockout, NoPolicy if none was set.
func (s Set) Policy(h tcg.TPMHandle) Policy {
	if p := s.policy(Base(h)); p != nil {
		return *p
	}
	return NoPolicy()
}

// SetPolicy changes the policy of owner, endorsement, lockout or platform. The
// digest is kept.
func (s Set) SetPolicy(h tcg.TPMHandle, p Policy) {
	if q := s.policy(h); q != nil {
		*q = p
	}
}

func (s Set) policy(h tcg.TPMHandle) *Policy {
	switch h {
	case tcg.TPMRHOwner:
		return &s.ownerPolicy
	case tcg.TPMRHEndorsement:
		return &s.endorsementPolicy
	case tcg.TPMRHLockout:
		return &s.lockoutPolicy
	case tcg.TPMRHPlatform:
		return &s.platformPolicy
	}
	return nil
}

// Enable returns where it is kept whether owner, endorsement, platform or platform NV
// is enabled.
func (c *Clear) Enable(h tcg.TPMHandle) *bool {
	switch h {
	case tcg.TPMRHPlatform:
		return &c.PlatformEnable
	case tcg.TPMRHPlatformNV:
		return &c.PlatformNVEnable
	case tcg.TPMRHOwner:
		return &c.OwnerEnable
	}
	return &c.EndorsementEnable
}

// ClearOwner is the part of TPM2_Clear (Part 3, 24.6): a new storage seed, new
// proofs, no authorization values and policies. The endorsement seed stays; its
// proof does not, so that tickets and saved contexts end with the owner.
func (s Set) ClearOwner(rand io.Reader) error {
	storage, err := NewSecrets(rand)
	if err != nil {
		return err
	}
	proof := make([]byte, ProofSize)
	if _, err := io.ReadFull(rand, proof); err != nil {
		return err
	}
	s.storage, s.endorsement.Proof = storage, proof
	s.ownerAuth, s.endorsementAuth, s.lockoutAuth = nil, nil, nil
	s.ownerPolicy, s.endorsementPolicy, s.lockoutPolicy = NoPolicy(), NoPolicy(), NoPolicy()
	s.OwnerEnable, s.EndorsementEnable = true, true
	return nil
}

// ChangePlatformSeed is the part of TPM2_ChangePPS (Part 3, 24.4).
func (s Set) ChangePlatformSeed(rand io.Reader) (err error) {
	s.platformPolicy = NoPolicy()
	s.platform, err = NewSecrets(rand)
	return err
}

// ChangeEndorsementSeed is the part of TPM2_ChangeEPS (Part 3, 24.5).
func (s Set) ChangeEndorsementSeed(rand io.Reader) (err error) {
	s.EndorsementEnable = true
	s.endorsementAuth, s.endorsementPolicy = nil, NoPolicy()
	s.endorsement, err = NewSecrets(rand)
	return err
}
