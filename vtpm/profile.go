package vtpm

import (
	"fmt"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// checkProfile returns an error for a profile with something that this build
// cannot compute: a TPM is never made, nor started, with less than it reports.
func checkProfile(p *tcg.Profile) error {
	for a := tcg.TPMAlgID(0); a < 256; a++ {
		if !p.HasAlg(a) || a == tcg.TPMAlgNull {
			continue
		}
		if algAttributes(a) == 0 || a.IsHash() && !tpmcrypto.HasHash(a) || a == tcg.TPMAlgSM2 && !tpmcrypto.HasSM {
			return fmt.Errorf("profile: algorithm %#04x is not in this build", uint16(a))
		}
		for _, n := range []int{128, 192, 256} {
			if p.SymBits(a, n) && tpmcrypto.CipherBlockSize(a, n) == 0 {
				return fmt.Errorf("profile: cipher %#04x with keys of %d bits is not in this build", uint16(a), n)
			}
		}
	}
	for c := tcg.TPMECCCurve(0); c < 128; c++ {
		if !p.HasCurve(c) {
			continue
		}
		if k := tpmcrypto.CurveByID(c); k == nil || k.Size > tcg.MaxECCKeyBytes {
			return fmt.Errorf("profile: curve %#04x is not in this build", uint16(c))
		}
	}
	return nil
}

// largestDigest is the size in bytes of the largest digest of the profile's
// hash algorithms (TPM_PT_MAX_DIGEST).
func (d *Device) largestDigest() uint32 {
	n := 0
	for _, a := range tpmcrypto.Hashes() {
		if d.profile.HasAlg(a) {
			n = max(n, a.DigestSize())
		}
	}
	return uint32(n)
}

// Profile returns a copy of what the device was made with.
func (d *Device) Profile() tcg.Profile {
	d.mu.Lock()
	defer d.mu.Unlock()
	return *d.profile
}
