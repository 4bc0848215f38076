package vtpm

import "stubtpm/vtpm/tcg"

// Part 3, section 25 - Dictionary Attack Functions.
var dictionaryAttackCommands = commandTable{
	tcg.TPMCCDictionaryAttackLockReset:  (*Device).dictionaryAttackLockReset,
	tcg.TPMCCDictionaryAttackParameters: (*Device).dictionaryAttackParameters,
}

// dictionaryAttackLockReset is TPM2_DictionaryAttackLockReset. By lockoutPolicy it
// also ends the lockout of lockoutAuth (Part 1, 16.8.5).
func (d *Device) dictionaryAttackLockReset(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	d.perm.da.Reset()
	return nil
}

// dictionaryAttackParameters is TPM2_DictionaryAttackParameters.
func (d *Device) dictionaryAttackParameters(c *call) error {
	r := c.reader()
	maxTries := r.next().Uint32()
	recoveryTime := r.next().Uint32()
	lockoutRecovery := r.next().Uint32()
	if err := r.end(); err != nil {
		return err
	}
	d.vol.daTime = d.perm.da.SetParameters(maxTries, recoveryTime, lockoutRecovery, d.cfg.Now())
	return nil
}
