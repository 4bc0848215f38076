package vtpm

import "stubtpm/vtpm/tcg"

// A Firmware is what hierarchies that are limited to the present firmware, or
// to a security version of it, depend on (Part 1, clause 41). Who starts the
// device derives the secrets, so that no other firmware can have them.
type Firmware struct {
	// Secret is of this firmware image on this TPM: 32 bytes or more.
	Secret []byte

	// SVN is the security version of the firmware, and SVNSecret what it has of
	// the chain in which the secret of each version is the hash of that of the
	// next.
	SVN       uint16
	SVNSecret []byte
}

// baseHierarchy is the hierarchy that a limited one belongs to; of any other it
// is that one.
func baseHierarchy(h tcg.TPMHandle) tcg.TPMHandle {
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

func isLimited(h tcg.TPMHandle) bool { return h.IsFW() || h.IsSVN() }

// limitedExists reports whether h is no limited hierarchy, or one that this
// firmware has the secret of.
func (d *Device) limitedExists(h tcg.TPMHandle) bool {
	f := d.cfg.Firmware
	switch {
	case h.IsFW():
		return f != nil && len(f.Secret) != 0
	case h.IsSVN():
		return f != nil && len(f.SVNSecret) != 0 && uint16(h) <= f.SVN
	}
	return true
}

// limitedData derives the seed and proof of a limited hierarchy (Part 1,
// equation 57).
func (d *Device) limitedData(h tcg.TPMHandle) *seedAndProof {
	f := d.cfg.Firmware
	secret, label := f.Secret, "FIRMWARE LIMITED"
	if h.IsSVN() {
		secret, label = f.SVNSecret, "SVN LIMITED"
		for range f.SVN - uint16(h) {
			secret = digest(tcg.TPMAlgSHA512, secret)
		}
	}
	base := d.hierarchyData(baseHierarchy(h))
	secret = append([]byte(label), secret...)
	return &seedAndProof{
		seed:  kdfa(tcg.TPMAlgSHA512, base.seed, "LIMITED SEED", secret, nil, 8*seedSize),
		proof: kdfa(tcg.TPMAlgSHA512, base.proof, "LIMITED PROOF", secret, nil, 8*proofSize),
	}
}

// svn is the security version of the firmware (TPM_PT_FIRMWARE_SVN).
func (d *Device) svn() uint16 {
	if d.cfg.Firmware == nil {
		return 0
	}
	return d.cfg.Firmware.SVN
}

// limited are the attributes of objects that exist in limited hierarchies only.
const limited = tcg.TPMAObjectFirmwareLimited | tcg.TPMAObjectSVNLimited

// limits are the attributes that an object may have whose parent is a hierarchy.
func limits(h tcg.TPMHandle) tcg.TPMAObject {
	switch {
	case h.IsFW():
		return tcg.TPMAObjectFirmwareLimited
	case h.IsSVN():
		return tcg.TPMAObjectSVNLimited
	}
	return 0
}

// checkHierarchy checks a hierarchy that is a parameter: it has to be one that
// there is.
func (d *Device) checkHierarchy(h tcg.TPMHandle) tcg.TPMRC {
	if !d.limitedExists(h) {
		return tcg.TPMRCValue
	}
	return tcg.TPMRCSuccess
}
