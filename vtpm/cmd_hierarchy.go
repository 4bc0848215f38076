package vtpm

import (
	"bytes"

	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/tcg"
)

// Part 3, section 24 - Hierarchy Commands.
var hierarchyCommands = commandTable{
	tcg.TPMCCHierarchyControl:    (*Device).hierarchyControl,
	tcg.TPMCCSetPrimaryPolicy:    (*Device).setPrimaryPolicy,
	tcg.TPMCCChangePPS:           (*Device).changePPS,
	tcg.TPMCCChangeEPS:           (*Device).changeEPS,
	tcg.TPMCCClear:               (*Device).clearCommand,
	tcg.TPMCCClearControl:        (*Device).clearControl,
	tcg.TPMCCHierarchyChangeAuth: (*Device).hierarchyChangeAuth,
}

// hierarchyControl is TPM2_HierarchyControl.
//
//	TPM_RC_AUTH_TYPE  authHandle may not change that hierarchy
func (d *Device) hierarchyControl(c *call) error {
	r := c.reader()
	enable := r.next().Handle(tcg.TPMIRHEnables)
	state := r.next().YesNo()
	if err := r.end(); err != nil {
		return err
	}
	auth := c.handles[0]
	var field *bool
	switch enable {
	case tcg.TPMRHPlatform:
		if auth != tcg.TPMRHPlatform {
			return tcg.TPMRCAuthType
		}
		field = &d.clear.platformEnable
	case tcg.TPMRHPlatformNV:
		if auth != tcg.TPMRHPlatform {
			return tcg.TPMRCAuthType
		}
		field = &d.clear.platformNVEnable
	case tcg.TPMRHOwner:
		if auth != tcg.TPMRHPlatform && auth != tcg.TPMRHOwner {
			return tcg.TPMRCAuthType
		}
		field = &d.clear.ownerEnable
	default:
		if auth != tcg.TPMRHPlatform && auth != tcg.TPMRHEndorsement {
			return tcg.TPMRCAuthType
		}
		field = &d.clear.endorsementEnable
	}
	if state && auth != tcg.TPMRHPlatform {
		return tcg.TPMRCAuthType // only the platform turns one on again
	}
	if *field == state {
		return nil
	}
	*field = state
	if !state && enable != tcg.TPMRHPlatformNV {
		d.flushHierarchy(enable)
	}
	return nil
}

// setPrimaryPolicy is TPM2_SetPrimaryPolicy.
//
//	TPM_RC_SIZE   the policy is not of the algorithm's size
func (d *Device) setPrimaryPolicy(c *call) error {
	r := c.reader()
	policy := r.next().Digest()
	alg := r.next().HashAlgPlus()
	if err := r.end(); err != nil {
		return err
	}
	if len(policy) != hashSizeOrZero(alg) {
		return tcg.TPMRCSize.P(1)
	}
	p := authPolicy{hash: alg, digest: bytes.Clone(policy)}
	if i, ok := actOf(c.handles[0]); ok {
		d.clear.actPolicies[i] = p
		return nil
	}
	switch h := c.handles[0]; h {
	case tcg.TPMRHOwner:
		d.perm.ownerPolicy = p
	case tcg.TPMRHEndorsement:
		d.perm.endorsementPolicy = p
	case tcg.TPMRHLockout:
		d.perm.lockoutPolicy = p
	case tcg.TPMRHPlatform:
		d.clear.platformPolicy = p
		return nil
	}
	return nil
}

// flushAll removes every object of a hierarchy, transient and persistent.
func (d *Device) flushAll(h tcg.TPMHandle) {
	d.flushHierarchy(h)
	for k, o := range d.perm.objects {
		if baseHierarchy(o.hierarchy) == h {
			o.wipe()
			delete(d.perm.objects, k)
		}
	}
}

// changePPS is TPM2_ChangePPS.
func (d *Device) changePPS(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	d.flushAll(tcg.TPMRHPlatform)
	d.perm.platform = d.newSeedAndProof()
	d.clear.platformPolicy = noPolicy()
	return nil
}

// changeEPS is TPM2_ChangeEPS.
func (d *Device) changeEPS(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	d.flushAll(tcg.TPMRHEndorsement)
	d.perm.endorsement = d.newSeedAndProof()
	d.clear.endorsementEnable = true
	d.perm.endorsementAuth = nil
	d.perm.endorsementPolicy = noPolicy()
	return nil
}

// clearCommand is TPM2_Clear.
//
//	TPM_RC_DISABLED  TPM2_ClearControl turned it off
func (d *Device) clearCommand(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	if d.perm.disableClear {
		return tcg.TPMRCDisabled
	}
	d.flushAll(tcg.TPMRHOwner)
	d.flushAll(tcg.TPMRHEndorsement)
	for h, x := range d.perm.nv {
		if !x.has(tcg.TPMANVPlatformCreate) {
			d.nvDelete(h)
		}
	}
	// New storage seed and proofs; the endorsement seed stays, its proof does
	// not, so that tickets and saved contexts end with the old owner.
	d.perm.storage = d.newSeedAndProof()
	d.perm.endorsement.proof = d.random(proofSize)
	d.perm.ownerAuth, d.perm.endorsementAuth, d.perm.lockoutAuth = nil, nil, nil
	d.perm.ownerPolicy, d.perm.endorsementPolicy, d.perm.lockoutPolicy = noPolicy(), noPolicy(), noPolicy()
	d.clear.ownerEnable, d.clear.endorsementEnable = true, true
	d.perm.da = lockout.New()
	d.perm.resetCount = 0
	d.reset.restartCount = 0
	d.perm.clearCount++
	d.vol.clock.Set(0, d.cfg.Now())
	d.vol.clock.Safe = true
	d.vol.pcrs.Touch() // policies over PCRs have to be evaluated anew
	return nil
}

// clearControl is TPM2_ClearControl.
//
//	TPM_RC_AUTH_FAIL  lockout authorization cannot turn TPM2_Clear on again
func (d *Device) clearControl(c *call) error {
	r := c.reader()
	disable := r.next().YesNo()
	if err := r.end(); err != nil {
		return err
	}
	if c.handles[0] == tcg.TPMRHLockout && !disable {
		return tcg.TPMRCAuthFail
	}
	d.perm.disableClear = disable
	return nil
}

// hierarchyChangeAuth is TPM2_HierarchyChangeAuth.
//
//	TPM_RC_SIZE  longer than the digest that protects context
func (d *Device) hierarchyChangeAuth(c *call) error {
	r := c.reader()
	auth := trimZeros(r.next().Digest())
	if err := r.end(); err != nil {
		return err
	}
	if len(auth) > proofSize {
		return tcg.TPMRCSize.P(1)
	}
	auth = bytes.Clone(auth)
	switch c.handles[0] {
	case tcg.TPMRHOwner:
		d.perm.ownerAuth = auth
	case tcg.TPMRHEndorsement:
		d.perm.endorsementAuth = auth
	case tcg.TPMRHLockout:
		d.perm.lockoutAuth = auth
	case tcg.TPMRHPlatform:
		d.clear.platformAuth = auth
		return nil
	}
	return nil
}
