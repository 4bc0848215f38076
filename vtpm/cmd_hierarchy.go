package vtpm

import (
	"bytes"

	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
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
	if auth != tcg.TPMRHPlatform && auth != tcg.TPMHandle(enable) {
		return tcg.TPMRCAuthType // a hierarchy is the platform's to change, or its own
	}
	field := d.clear.hierarchies.Enable(tcg.TPMHandle(enable))
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
	if len(policy) != tpmcrypto.DigestSize(alg) {
		return tcg.TPMRCSize.P(1)
	}
	p := hierarchy.Policy{Hash: alg, Digest: bytes.Clone(policy)}
	if i, ok := actOf(c.handles[0]); ok {
		d.clear.actPolicies[i] = p
		return nil
	}
	d.hierarchies().SetPolicy(c.handles[0], p)
	return nil
}

// flushAll removes every object of a hierarchy, transient and persistent.
func (d *Device) flushAll(h tcg.TPMHandle) {
	d.flushHierarchy(h)
	for k, o := range d.perm.objects {
		if hierarchy.Base(o.hierarchy) == h {
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
	return d.hierarchies().ChangePlatformSeed(d.cfg.Rand)
}

// changeEPS is TPM2_ChangeEPS.
func (d *Device) changeEPS(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	d.flushAll(tcg.TPMRHEndorsement)
	return d.hierarchies().ChangeEndorsementSeed(d.cfg.Rand)
}

// clearCommand is TPM2_Clear.
//
//	TPM_RC_DISABLED  TPM2_ClearControl turned it off
func (d *Device) clearCommand(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	if d.perm.hierarchies.DisableClear {
		return tcg.TPMRCDisabled
	}
	d.flushAll(tcg.TPMRHOwner)
	d.flushAll(tcg.TPMRHEndorsement)
	d.perm.nv.clearOwner()
	if err := d.hierarchies().ClearOwner(d.cfg.Rand); err != nil {
		return err
	}
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
	d.perm.hierarchies.DisableClear = disable
	return nil
}

// hierarchyChangeAuth is TPM2_HierarchyChangeAuth.
//
//	TPM_RC_SIZE  longer than the digest that protects context
func (d *Device) hierarchyChangeAuth(c *call) error {
	r := c.reader()
	auth := tcg.TrimAuth(r.next().Digest())
	if err := r.end(); err != nil {
		return err
	}
	if len(auth) > hierarchy.ProofSize {
		return tcg.TPMRCSize.P(1)
	}
	d.hierarchies().SetAuth(c.handles[0], bytes.Clone(auth))
	return nil
}
