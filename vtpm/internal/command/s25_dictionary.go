package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
)

// dictionaryAttackLockReset is TPM2_DictionaryAttackLockReset, which forgives
// all failed authorizations. By lockoutPolicy it also ends the lockout of
// lockoutAuth (Part 1, 16.8.5).
func dictionaryAttackLockReset(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	d.Perm.DA.Reset()
	return nil
}

// dictionaryAttackParameters is TPM2_DictionaryAttackParameters, which sets how
// many authorizations may fail and when they are forgiven.
func dictionaryAttackParameters(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	maxTries := r.Next().Uint32()
	recoveryTime := r.Next().Uint32()
	lockoutRecovery := r.Next().Uint32()
	if err := r.End(); err != nil {
		return err
	}
	d.Vol.DATime = d.Perm.DA.SetParameters(maxTries, recoveryTime, lockoutRecovery, d.Cfg.Now())
	return nil
}
