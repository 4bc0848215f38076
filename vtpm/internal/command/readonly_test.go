package command

import (
	"encoding/binary"
	"slices"
	"testing"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/tcg"
)

// readOnlyTable is Part 3, 24.9, Table 207 in the words of the standard's
// commands: what is refused, what depends on the NV index, and what runs although it
// may change the permanent state. All others run, and leave that alone.
var readOnlyTable = struct{ refused, byIndex, runs []tcg.TPMCC }{
	refused: []tcg.TPMCC{
		tcg.TPMCCCreate, tcg.TPMCCCreateLoaded, tcg.TPMCCCreatePrimary, tcg.TPMCCObjectChangeAuth,
		tcg.TPMCCSetCommandCodeAuditStatus, tcg.TPMCCPCRAllocate, tcg.TPMCCPCRSetAuthPolicy, tcg.TPMCCPCRSetAuthValue,
		tcg.TPMCCHierarchyControl, tcg.TPMCCSetPrimaryPolicy, tcg.TPMCCChangePPS, tcg.TPMCCChangeEPS, tcg.TPMCCClear,
		tcg.TPMCCClearControl, tcg.TPMCCHierarchyChangeAuth, tcg.TPMCCDictionaryAttackParameters,
		tcg.TPMCCPPCommands, tcg.TPMCCSetAlgorithmSet, tcg.TPMCCFieldUpgradeStart, tcg.TPMCCFieldUpgradeData,
		tcg.TPMCCEvictControl, tcg.TPMCCClockSet, tcg.TPMCCClockRateAdjust, tcg.TPMCCSetCapability,
		tcg.TPMCCNVDefineSpace, tcg.TPMCCNVDefineSpace2, tcg.TPMCCNVUndefineSpace, tcg.TPMCCNVUndefineSpaceSpecial,
		tcg.TPMCCNVIncrement, tcg.TPMCCNVGlobalWriteLock, tcg.TPMCCNVChangeAuth,
	},
	byIndex: []tcg.TPMCC{
		tcg.TPMCCNVWrite, tcg.TPMCCNVExtend, tcg.TPMCCNVSetBits, tcg.TPMCCNVWriteLock, tcg.TPMCCNVReadLock,
		tcg.TPMCCPolicySecret,
	},
	runs: []tcg.TPMCC{tcg.TPMCCStartup, tcg.TPMCCShutdown, tcg.TPMCCDictionaryAttackLockReset},
}

// TestReadOnlyEveryCommand sends every code in read-only mode: exactly those of
// the table are refused, before their handles are looked at.
func TestReadOnlyEveryCommand(t *testing.T) {
	t.Parallel()
	for code := tcg.TPMCCFirst; code <= tcg.TPMCCLast; code++ {
		spec := tcg.CommandByCode(code)
		if spec == nil {
			continue
		}
		if spec.ReadOnly == tcg.ReadOnlyUnknown {
			t.Errorf("%s has no rule for read-only mode", spec.Name)
		}
		d, s, _ := newTestDevice(t)
		if !d.Implements(code) {
			continue
		}
		listed := slices.Contains(slices.Concat(readOnlyTable.refused, readOnlyTable.byIndex, readOnlyTable.runs), code)
		if !listed && !spec.Has(tcg.AttrReads) && !spec.Has(tcg.AttrVolatile) {
			t.Errorf("%s may change the permanent state: put it into a list of readOnlyTable", spec.Name)
		}
		d.Clear.ReadOnly = true
		saves := s.saves
		w := tcg.Writer{}
		w.Uint16(uint16(tcg.TPMSTNoSessions))
		w.Uint32(dispatch.HeaderSize)
		w.Uint32(uint32(code))
		rc := tcg.TPMRC(binary.BigEndian.Uint32(d.Execute(0, w.B)[6:]))
		if refused := slices.Contains(readOnlyTable.refused, code); refused != (rc == tcg.TPMRCReadOnly) {
			t.Errorf("%s: %#x, to be refused: %v", spec.Name, uint32(rc), refused)
		}
		if byIndex := slices.Contains(readOnlyTable.byIndex, code); byIndex != (spec.ReadOnly == tcg.ReadOnlyByIndex) {
			t.Errorf("%s: the rule is %d, by index: %v", spec.Name, spec.ReadOnly, byIndex)
		}
		if rc == tcg.TPMRCReadOnly && s.saves != saves {
			t.Errorf("%s was refused, and the state was saved", spec.Name)
		}
	}
}

// TestReadOnlyByIndex: a command for an index whose content persists, or whose
// PIN would be counted, is refused; one for an index that is lost with power is
// not.
func TestReadOnlyByIndex(t *testing.T) {
	t.Parallel()
	const persists, volatile, pin tcg.TPMHandle = 0x01800001, 0x01800002, 0x01800003
	d, _, _ := newTestDevice(t)
	g := guess{t, d}
	g.define(persists, 0, nil, 0)
	g.define(volatile, tcg.TPMANVOrderly|tcg.TPMANVClearSTClear, nil, 0)
	g.define(pin, pinAttrs(tcg.TPMNTPinFail), nil, 5)
	d.Clear.ReadOnly = true
	s := g.policy(tcg.TPMRHNull)
	for _, code := range readOnlyTable.byIndex {
		refuses := func(h tcg.TPMHandle) bool {
			hs := handles(tcg.TPMRHOwner, h)
			if code == tcg.TPMCCPolicySecret {
				hs = handles(h, s)
			}
			rc, _, _ := rawTPM{t, d}.send(code, hs, nil)
			return rc == tcg.TPMRCReadOnly
		}
		if !refuses(pin) {
			t.Errorf("%s runs for a PIN index", code)
		}
		if code != tcg.TPMCCPolicySecret && !refuses(persists) {
			t.Errorf("%s runs for an index that persists", code)
		}
		if refuses(volatile) {
			t.Errorf("%s is refused for an index that is lost with power", code)
		}
	}
	for _, spec := range []tcg.CommandSpec{{Code: tcg.TPMCCStartup}, {Code: 0x1FF}} {
		if !dispatch.ReadOnlyRefuses(&spec) {
			t.Errorf("command %#x, which has no rule for read-only mode, runs", uint32(spec.Code))
		}
	}
}

// TestNVRoleOfCommands: each command that takes an NV index for its USER role
// reports whether that is for a write or a read; what says neither is refused.
func TestNVRoleOfCommands(t *testing.T) {
	t.Parallel()
	for code := tcg.TPMCCFirst; code <= tcg.TPMCCLast; code++ {
		spec := tcg.CommandByCode(code)
		if spec == nil {
			continue
		}
		takes := false
		for i := range spec.Handles {
			h := &spec.Handles[i]
			takes = takes || h.Role == tcg.RoleUser && h.Check(0x01800001) == tcg.TPMRCSuccess
		}
		read, write := spec.Has(tcg.AttrNVRead), spec.Has(tcg.AttrNVWrite)
		if takes != (read || write) || read && write {
			t.Errorf("%s: USER role of an index %v, for a read %v, for a write %v", spec.Name, takes, read, write)
		}
	}
}
