package hierarchy

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A Firmware is what hierarchies that are limited to the present firmware, or to a
// security version of it, depend on (Part 1, clause 41). The program that starts
// the TPM derives the secrets, so that no other firmware can have them.
type Firmware struct {
	// Secret is of this firmware image on this TPM: 32 bytes or more.
	Secret []byte

	// SVN is the security version of the firmware, and SVNSecret its place in the
	// chain in which the secret of each version is the hash of the next one's.
	SVN       uint16
	SVNSecret []byte
}

// Base returns the hierarchy that a limited hierarchy belongs to; for any other
// handle it returns that handle.
func Base(h tcg.TPMHandle) tcg.TPMHandle {
	switch {
	case h == tcg.TPMRHFWOwner, h.IsSVN() && svnBase(h) == tcg.TPMRHSVNOwnerBase:
		return tcg.TPMRHOwner
	case h == tcg.TPMRHFWEndorsement, h.IsSVN() && svnBase(h) == tcg.TPMRHSVNEndorsementBase:
		return tcg.TPMRHEndorsement
	case h == tcg.TPMRHFWPlatform, h.IsSVN() && svnBase(h) == tcg.TPMRHSVNPlatformBase:
		return tcg.TPMRHPlatform
	case h == tcg.TPMRHFWNull, h.IsSVN():
		return tcg.TPMRHNull
	}
	return h
}

func svnBase(h tcg.TPMHandle) tcg.TPMHandle { return h &^ 0xFFFF }

// IsLimited reports whether h is a limited hierarchy.
func IsLimited(h tcg.TPMHandle) bool { return h.IsFW() || h.IsSVN() }

// Limits returns the attributes that an object may have whose parent is the
// hierarchy h.
func Limits(h tcg.TPMHandle) tcg.TPMAObject {
	switch {
	case h.IsFW():
		return tcg.TPMAObjectFirmwareLimited
	case h.IsSVN():
		return tcg.TPMAObjectSVNLimited
	}
	return 0
}

// exists reports whether h is no limited hierarchy, or one that this firmware has
// the secret of.
func (f *Firmware) exists(h tcg.TPMHandle) bool {
	switch {
	case h.IsFW():
		return f != nil && len(f.Secret) != 0
	case h.IsSVN():
		return f != nil && len(f.SVNSecret) != 0 && uint16(h) <= f.SVN
	}
	return true
}

// limit derives the secrets of the limited hierarchy h from those of its base (Part
// 1, equation 57).
func (f *Firmware) limit(h tcg.TPMHandle, base *Secrets) *Secrets {
	secret, label := f.Secret, "FIRMWARE LIMITED"
	if h.IsSVN() {
		secret, label = f.SVNSecret, "SVN LIMITED"
		for range f.SVN - uint16(h) {
			secret = tpmcrypto.Sum(nil, tcg.TPMAlgSHA512, secret)
		}
	}
	secret = append([]byte(label), secret...)
	return &Secrets{
		Seed:  tpmcrypto.KDFa(tcg.TPMAlgSHA512, base.Seed, "LIMITED SEED", secret, nil, 8*SeedSize),
		Proof: tpmcrypto.KDFa(tcg.TPMAlgSHA512, base.Proof, "LIMITED PROOF", secret, nil, 8*ProofSize),
	}
}
