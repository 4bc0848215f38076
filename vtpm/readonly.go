package vtpm

import "stubtpm/vtpm/tcg"

// Read-only mode: TPM2_ReadOnlyControl (Part 3, 24.9, Table 207).

// readOnlyControl is TPM2_ReadOnlyControl.
func (d *Device) readOnlyControl(c *call) error {
	r := c.reader()
	state := r.next().YesNo()
	if err := r.end(); err != nil {
		return err
	}
	d.clear.readOnly = state
	return nil
}

// readOnlyRefuses reports whether a command may not run in read-only mode,
// whatever it is about.
func readOnlyRefuses(c *tcg.CommandSpec) bool {
	return c.ReadOnly != tcg.ReadOnlyAllows && c.ReadOnly != tcg.ReadOnlyByIndex
}

// readOnlyRefusesIndex reports whether a command may not run in read-only mode
// because of the NV index that it is for: one whose content persists, or whose
// PIN would be counted. Preconditions: handles have been checked.
func (d *Device) readOnlyRefusesIndex(c *call) bool {
	if c.spec.ReadOnly != tcg.ReadOnlyByIndex {
		return false
	}
	switch c.spec.Code {
	case tcg.TPMCCNVWrite, tcg.TPMCCNVExtend, tcg.TPMCCNVSetBits, tcg.TPMCCNVWriteLock, tcg.TPMCCNVReadLock:
		const volatile = tcg.TPMANVOrderly | tcg.TPMANVClearSTClear
		x := d.perm.nv.indices[c.handles[1]]
		return x == nil || x.public.Attributes&volatile != volatile
	case tcg.TPMCCPolicySecret:
		x := d.perm.nv.indices[c.handles[0]]
		return x != nil && x.isPIN()
	}
	return true
}
