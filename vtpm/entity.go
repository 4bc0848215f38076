package vtpm

import (
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
)

// Limits on handles.
const (
	maxTransientObjects  = 16
	maxPersistentObjects = 64
	maxNVIndices         = 256
)

// entityName returns the Name of what h refers to (Part 1, "Names"), or why h
// does not refer to anything. TPMRCReferenceH0 stands for a transient entity
// that is not loaded, at whatever position.
func (d *Device) entityName(h tcg.TPMHandle) ([]byte, tcg.TPMRC) {
	switch handleType(h) {
	case tcg.TPMHTPCR:
		if !pcr.Exists(h) {
			return nil, tcg.TPMRCValue
		}
	case tcg.TPMHTNVIndex:
		x := d.perm.nv[h]
		if x == nil {
			return nil, tcg.TPMRCHandle
		}
		if !d.hierarchyEnabled(x.hierarchy()) {
			return nil, tcg.TPMRCHandle
		}
		return x.name(), tcg.TPMRCSuccess
	case tcg.TPMHTHMACSession, tcg.TPMHTPolicySession:
		if d.session(h) == nil {
			return nil, tcg.TPMRCReferenceH0
		}
	case tcg.TPMHTPermanent:
		if _, ok := actOf(h); isACT(h) && !ok || !d.limitedExists(h) {
			return nil, tcg.TPMRCValue
		}
		if !d.hierarchyEnabled(h) {
			return nil, tcg.TPMRCHierarchy
		}
	case tcg.TPMHTTransient:
		o := d.objectOrNil(h)
		if o == nil {
			return nil, tcg.TPMRCReferenceH0
		}
		if !d.hierarchyEnabled(o.hierarchy) {
			return nil, tcg.TPMRCReferenceH0
		}
		return o.name, tcg.TPMRCSuccess
	case tcg.TPMHTPersistent:
		o := d.objectOrNil(h)
		if o == nil || !d.hierarchyEnabled(o.hierarchy) {
			return nil, tcg.TPMRCHandle
		}
		return o.name, tcg.TPMRCSuccess
	default:
		return nil, tcg.TPMRCValue
	}
	return handleBytes(h), tcg.TPMRCSuccess
}

func handleBytes(h tcg.TPMHandle) []byte {
	return []byte{byte(h >> 24), byte(h >> 16), byte(h >> 8), byte(h)}
}

// hierarchyEnabled reports whether entities of the hierarchy h may be used.
// Permanent handles that are no hierarchy are always usable.
func (d *Device) hierarchyEnabled(h tcg.TPMHandle) bool {
	if !d.limitedExists(h) {
		return false
	}
	switch baseHierarchy(h) {
	case tcg.TPMRHOwner:
		return d.clear.ownerEnable
	case tcg.TPMRHEndorsement:
		return d.clear.endorsementEnable
	case tcg.TPMRHPlatform:
		return d.clear.platformEnable
	case tcg.TPMRHPlatformNV:
		return d.clear.platformNVEnable
	}
	return true
}

func isAuthHierarchy(h tcg.TPMHandle) bool {
	switch baseHierarchy(h) {
	case tcg.TPMRHOwner, tcg.TPMRHEndorsement, tcg.TPMRHPlatform, tcg.TPMRHLockout, tcg.TPMRHNull:
		return true
	}
	return false
}

// isACT reports whether h is of an authenticated countdown timer.
func isACT(h tcg.TPMHandle) bool { return h >= tcg.TPMRHACT0 && h <= tcg.TPMRHACTF }

// entityAuth returns the authorization value of what h refers to, without
// trailing zeros. Entities that have none have the empty one.
func (d *Device) entityAuth(h tcg.TPMHandle) []byte {
	switch handleType(h) {
	case tcg.TPMHTPCR:
		return nil // no PCR has one
	case tcg.TPMHTNVIndex:
		if x := d.perm.nv[h]; x != nil {
			return x.authValue()
		}
	case tcg.TPMHTPermanent:
		if isACT(h) {
			return d.clear.platformAuth // Part 1, 40.2
		}
		switch baseHierarchy(h) {
		case tcg.TPMRHOwner:
			return d.perm.ownerAuth
		case tcg.TPMRHEndorsement:
			return d.perm.endorsementAuth
		case tcg.TPMRHLockout:
			return d.perm.lockoutAuth
		case tcg.TPMRHPlatform:
			return d.clear.platformAuth
		}
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		if o := d.objectOrNil(h); o != nil {
			return trimZeros(o.authValue())
		}
	}
	return nil
}

// entityPolicy returns the policy of what h refers to; its hash is
// TPM_ALG_NULL if there is none.
func (d *Device) entityPolicy(h tcg.TPMHandle) authPolicy {
	switch handleType(h) {
	case tcg.TPMHTNVIndex:
		if x := d.perm.nv[h]; x != nil {
			return authPolicy{x.public.NameAlg, x.public.AuthPolicy}
		}
	case tcg.TPMHTPermanent:
		if i, ok := actOf(h); ok {
			return d.clear.actPolicies[i]
		}
		switch baseHierarchy(h) {
		case tcg.TPMRHOwner:
			return d.perm.ownerPolicy
		case tcg.TPMRHEndorsement:
			return d.perm.endorsementPolicy
		case tcg.TPMRHLockout:
			return d.perm.lockoutPolicy
		case tcg.TPMRHPlatform:
			return d.clear.platformPolicy
		}
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		if o := d.objectOrNil(h); o != nil {
			return authPolicy{o.public.NameAlg, o.public.AuthPolicy}
		}
	}
	return noPolicy()
}
