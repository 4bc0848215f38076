package dispatch

import (
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// ReadOnlyRefuses reports whether a command may not run in read-only mode,
// whatever it is about.
func ReadOnlyRefuses(c *tcg.CommandSpec) bool {
	return c.ReadOnly != tcg.ReadOnlyAllows && c.ReadOnly != tcg.ReadOnlyByIndex
}

// readOnlyRefusesIndex reports whether a command may not run in read-only mode
// because of the NV index that it is for: one whose content persists, or whose
// PIN would be counted. Preconditions: handles have been checked.
func readOnlyRefusesIndex(d *engine.Device, c *Call) bool {
	if c.Spec.ReadOnly != tcg.ReadOnlyByIndex {
		return false
	}
	switch c.Spec.Code {
	case tcg.TPMCCNVWrite, tcg.TPMCCNVExtend, tcg.TPMCCNVSetBits, tcg.TPMCCNVWriteLock, tcg.TPMCCNVReadLock:
		const volatile = tcg.TPMANVOrderly | tcg.TPMANVClearSTClear
		x := d.Index(c.Handles[1])
		return x == nil || x.Public.Attributes&volatile != volatile
	case tcg.TPMCCPolicySecret:
		x := d.Index(c.Handles[0])
		return x != nil && x.IsPIN()
	}
	return true
}
