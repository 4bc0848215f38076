package command

import (
	"bytes"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// hierarchyControl is TPM2_HierarchyControl, which enables or disables a
// hierarchy.
//
//	TPM_RC_AUTH_TYPE  authHandle may not change that hierarchy
func hierarchyControl(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	enable := r.Next().Handle(tcg.TPMIRHEnables)
	state := r.Next().YesNo()
	if err := r.End(); err != nil {
		return err
	}
	auth := c.Handles[0]
	if auth != tcg.TPMRHPlatform && auth != tcg.TPMHandle(enable) {
		return tcg.TPMRCAuthType // a hierarchy is the platform's to change, or its own
	}
	field := d.Clear.Hierarchies.Enable(tcg.TPMHandle(enable))
	if state && auth != tcg.TPMRHPlatform {
		return tcg.TPMRCAuthType // only the platform turns one on again
	}
	if *field == state {
		return nil
	}
	*field = state
	if !state && enable != tcg.TPMRHPlatformNV {
		d.FlushHierarchy(enable)
	}
	return nil
}

// setPrimaryPolicy is TPM2_SetPrimaryPolicy, which sets the policy of a
// hierarchy, of lockout or of a countdown timer.
//
//	TPM_RC_SIZE   the policy is not of the algorithm's size
func setPrimaryPolicy(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	policy := r.Next().Digest()
	alg := r.Next().HashAlgPlus()
	if err := r.End(); err != nil {
		return err
	}
	if len(policy) != tpmcrypto.DigestSize(alg) {
		return tcg.TPMRCSize.P(1)
	}
	p := hierarchy.Policy{Hash: alg, Digest: bytes.Clone(policy)}
	if i, ok := engine.ACTOf(c.Handles[0]); ok {
		d.Clear.ACTPolicies[i] = p
		return nil
	}
	d.Hierarchies().SetPolicy(c.Handles[0], p)
	return nil
}

// flushAll removes every object of a hierarchy, transient and persistent.
func flushAll(d *engine.Device, h tcg.TPMHandle) {
	d.FlushHierarchy(h)
	for k, o := range d.Perm.Objects {
		if hierarchy.Base(o.Hierarchy) == h {
			o.Wipe()
			delete(d.Perm.Objects, k)
		}
	}
}

// changePPS is TPM2_ChangePPS, which replaces the platform primary seed.
func changePPS(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	flushAll(d, tcg.TPMRHPlatform)
	return d.Hierarchies().ChangePlatformSeed(d.Cfg.Rand)
}

// changeEPS is TPM2_ChangeEPS, which replaces the endorsement primary seed.
func changeEPS(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	flushAll(d, tcg.TPMRHEndorsement)
	return d.Hierarchies().ChangeEndorsementSeed(d.Cfg.Rand)
}

// clearCommand is TPM2_Clear, which removes the owner: the objects, indices and
// authorization values of the storage and endorsement hierarchies.
//
//	TPM_RC_DISABLED  TPM2_ClearControl turned it off
func clearCommand(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	if d.Perm.Hierarchies.DisableClear {
		return tcg.TPMRCDisabled
	}
	flushAll(d, tcg.TPMRHOwner)
	flushAll(d, tcg.TPMRHEndorsement)
	d.Perm.NV.ClearOwner()
	if err := d.Hierarchies().ClearOwner(d.Cfg.Rand); err != nil {
		return err
	}
	d.Perm.DA = lockout.New()
	d.Perm.ResetCount = 0
	d.Reset.RestartCount = 0
	d.Perm.ClearCount++
	d.Vol.Clock.Set(0, d.Cfg.Now())
	d.Vol.Clock.Safe = true
	d.Vol.PCRs.Touch() // policies over PCRs have to be evaluated again
	return nil
}

// clearControl is TPM2_ClearControl, which allows or forbids TPM2_Clear.
//
//	TPM_RC_AUTH_FAIL  lockout authorization cannot turn TPM2_Clear on again
func clearControl(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	disable := r.Next().YesNo()
	if err := r.End(); err != nil {
		return err
	}
	if c.Handles[0] == tcg.TPMRHLockout && !disable {
		return tcg.TPMRCAuthFail
	}
	d.Perm.Hierarchies.DisableClear = disable
	return nil
}

// hierarchyChangeAuth is TPM2_HierarchyChangeAuth, which sets the authorization
// value of a hierarchy or of lockout.
//
//	TPM_RC_SIZE  longer than the digest that protects context
func hierarchyChangeAuth(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	auth := tcg.TrimAuth(r.Next().Digest())
	if err := r.End(); err != nil {
		return err
	}
	if len(auth) > hierarchy.ProofSize {
		return tcg.TPMRCSize.P(1)
	}
	d.Hierarchies().SetAuth(c.Handles[0], bytes.Clone(auth))
	return nil
}

// createPrimary is TPM2_CreatePrimary, which creates an object from a primary
// seed and loads it. Response codes are those of create.
func createPrimary(d *engine.Device, c *dispatch.Call) error {
	p, err := readCreation(c)
	if err != nil {
		return err
	}
	root := c.Handles[0]
	if rc := object.CheckCreation(&p.public, nil, hierarchy.Limits(root), len(p.sensitive.Data)); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if rc := d.Vol.Objects.Room(); rc != tcg.TPMRCSuccess {
		return rc
	}
	o, rc := createObject(d, p, primarySource(d.Hierarchies().Secrets(root).Seed, p))
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	o.Primary = true
	o.Finish(root, nil)
	c.OutHandle, _ = d.Vol.Objects.Add(o)
	writeCreation(d, c, o, p, nil, root)
	c.Out.Sized(o.Name)
	return nil
}

// Read-only mode: TPM2_ReadOnlyControl (Part 3, 24.9, Table 207).

// readOnlyControl is TPM2_ReadOnlyControl, which enters or leaves read-only
// mode.
func readOnlyControl(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	state := r.Next().YesNo()
	if err := r.End(); err != nil {
		return err
	}
	d.Clear.ReadOnly = state
	return nil
}
