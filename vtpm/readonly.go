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
// whatever it is about: it makes objects or changes what persists.
func readOnlyRefuses(code tcg.TPMCC) bool {
	switch code {
	case tcg.TPMCCCreate, tcg.TPMCCObjectChangeAuth, tcg.TPMCCCreateLoaded,
		tcg.TPMCCSetCommandCodeAuditStatus,
		tcg.TPMCCPCRAllocate, tcg.TPMCCPCRSetAuthPolicy, tcg.TPMCCPCRSetAuthValue,
		tcg.TPMCCCreatePrimary, tcg.TPMCCHierarchyControl, tcg.TPMCCSetPrimaryPolicy,
		tcg.TPMCCChangePPS, tcg.TPMCCChangeEPS, tcg.TPMCCClear, tcg.TPMCCClearControl,
		tcg.TPMCCHierarchyChangeAuth,
		tcg.TPMCCDictionaryAttackParameters,
		tcg.TPMCCPPCommands, tcg.TPMCCSetAlgorithmSet,
		tcg.TPMCCFieldUpgradeStart, tcg.TPMCCFieldUpgradeData,
		tcg.TPMCCEvictControl,
		tcg.TPMCCClockSet, tcg.TPMCCClockRateAdjust,
		tcg.TPMCCSetCapability,
		tcg.TPMCCNVDefineSpace, tcg.TPMCCNVDefineSpace2, tcg.TPMCCNVUndefineSpace, tcg.TPMCCNVUndefineSpaceSpecial,
		tcg.TPMCCNVIncrement, tcg.TPMCCNVGlobalWriteLock, tcg.TPMCCNVChangeAuth:
		return true
	}
	return false
}

// readOnlyRefusesIndex reports whether a command may not run in read-only mode
// because of the NV index that it is for: one whose content persists, or whose
// PIN would be counted. Preconditions: handles have been checked.
func (d *Device) readOnlyRefusesIndex(c *call) bool {
	switch c.spec.Code {
	case tcg.TPMCCNVWrite, tcg.TPMCCNVExtend, tcg.TPMCCNVSetBits, tcg.TPMCCNVWriteLock, tcg.TPMCCNVReadLock:
		const volatile = tcg.TPMANVOrderly | tcg.TPMANVClearSTClear
		x := d.perm.nv[c.handles[1]]
		return x == nil || x.public.Attributes&volatile != volatile
	case tcg.TPMCCPolicySecret:
		x := d.perm.nv[c.handles[0]]
		return x != nil && x.isPIN()
	}
	return false
}
