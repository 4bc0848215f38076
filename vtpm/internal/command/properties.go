package command

import (
	"stubtpm/vtpm/internal/clock"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
)

// Identity of the implementation (Part 2, "TPM_PT").
const (
	manufacturer    = 'S'<<24 | 'T'<<16 | 'U'<<8 | 'B'
	vendorString    = "stubtpm vTPM 2.0"
	firmwareVersion = 0x00000001_00000000

	specFamily   = '2'<<24 | '.'<<16 | '0'<<8
	specRevision = 185
	specYear     = 0 // since version 185
	specErrata   = 1 // version of the errata, of 2026-03-12 (errata 2.1)
)

// A property is one TPM_PT and how its value is found.
type property struct {
	tag   tcg.TPMPT
	value uint32
}

func vendorWord(i int) uint32 {
	var w uint32
	for j := range 4 {
		w <<= 8
		if k := 4*i + j; k < len(vendorString) {
			w |= uint32(vendorString[k])
		}
	}
	return w
}

// listProperties lists the TPM_PT from the one asked for to the end of its group
// of 256 values (Part 3, 30.2.1).
func listProperties(d *engine.Device, l *capList) {
	l.begin(8)
	var group []property
	switch l.from / ptGroup {
	case uint32(tcg.TPMPTFamilyIndicator) / ptGroup:
		group = fixedProperties(d)
	case uint32(tcg.TPMPTPermanent) / ptGroup:
		group = variableProperties(d)
	}
	for _, p := range group {
		if l.want(uint32(p.tag)) {
			l.w.Uint32(uint32(p.tag))
			l.w.Uint32(p.value)
		}
	}
}

// ptGroup is how many properties a group has (Part 2, 6.13, PT_GROUP).
const ptGroup = 0x100

func fixedProperties(d *engine.Device) []property {
	commands := d.CommandCount()
	all := []property{
		{tcg.TPMPTFamilyIndicator, specFamily},
		{tcg.TPMPTLevel, 0},
		{tcg.TPMPTRevision, specRevision},
		{tcg.TPMPTDayofYear, specErrata},
		{tcg.TPMPTYear, specYear},
		{tcg.TPMPTManufacturer, manufacturer},
		{tcg.TPMPTVendorString1, vendorWord(0)},
		{tcg.TPMPTVendorString2, vendorWord(1)},
		{tcg.TPMPTVendorString3, vendorWord(2)},
		{tcg.TPMPTVendorString4, vendorWord(3)},
		{tcg.TPMPTVendorTPMType, 1},
		{tcg.TPMPTFirmwareVersion1, firmwareVersion >> 32},
		{tcg.TPMPTFirmwareVersion2, firmwareVersion & 0xFFFFFFFF},
		{tcg.TPMPTInputBuffer, tcg.MaxDigestBuffer},
		{tcg.TPMPTHRTransientMin, object.MaxTransient},
		{tcg.TPMPTHRPersistentMin, object.MaxPersistentObjects},
		{tcg.TPMPTHRLoadedMin, session.MaxLoaded},
		{tcg.TPMPTActiveSessionsMax, session.MaxActive},
		{tcg.TPMPTPCRCount, pcr.Count},
		{tcg.TPMPTPCRSelectMin, pcr.Count / 8},
		{tcg.TPMPTContextGapMax, session.ContextGap},
		{tcg.TPMPTNVCountersMax, 0},
		{tcg.TPMPTNVIndexMax, uint32(d.Profile.NVIndexSize())},
		{tcg.TPMPTMemory, uint32(tcg.TPMAMemorySharedNV | tcg.TPMAMemoryObjectCopiedToRAM)},
		{tcg.TPMPTClockUpdate, clock.SaveInterval},
		{tcg.TPMPTContextHash, uint32(engine.ContextHash)},
		{tcg.TPMPTContextSym, uint32(tcg.TPMAlgAES)},
		{tcg.TPMPTContextSymSize, 256},
		{tcg.TPMPTOrderlyCount, nv.OrderlyCount},
		{tcg.TPMPTMaxCommandSize, d.BufferSize.Load()},
		{tcg.TPMPTMaxResponseSize, d.BufferSize.Load()},
		{tcg.TPMPTMaxDigest, d.LargestDigest()},
		{tcg.TPMPTMaxObjectContext, uint32(objectContextSize(d))},
		{tcg.TPMPTMaxSessionContext, maxSessionContext},
		{tcg.TPMPTPSFamilyIndicator, 1}, // PC Client
		{tcg.TPMPTPSLevel, 0},
		{tcg.TPMPTPSRevision, 0x00000106},
		{tcg.TPMPTPSDayOfYear, 24},
		{tcg.TPMPTPSYear, 2024},
		{tcg.TPMPTSplitMax, engine.CommitSlots},
		{tcg.TPMPTTotalCommands, commands},
		{tcg.TPMPTLibraryCommands, commands},
		{tcg.TPMPTVendorCommands, 0},
		{tcg.TPMPTNVBufferMax, nv.MaxBuffer},
		{tcg.TPMPTModes, 0},
		{tcg.TPMPTMaxCapBuffer, tcg.MaxCapBuffer},
		{tcg.TPMPTFirmwareSVN, uint32(d.SVN())},
		{tcg.TPMPTFirmwareMaxSVN, 0xFFFF},
	}
	if hasML(d.Profile) {
		all = append(all, property{tcg.TPMPTMLParameterSets, uint32(mlParameterSets(d.Offered()))})
	}
	return all
}

// Upper bounds of a saved context in bytes.
const (
	maxObjectContext  = 2048
	maxMLContext      = 3328 // of a TPM that has keys of ML-KEM or ML-DSA
	maxSessionContext = 1024
)

// hasML reports whether the profile has keys of ML-KEM, ML-DSA or HashML-DSA.
func hasML(p *tcg.Profile) bool {
	return p.HasAlg(tcg.TPMAlgMLKEM) || p.HasAlg(tcg.TPMAlgMLDSA) || p.HasAlg(tcg.TPMAlgHashMLDSA)
}

// objectContextSize is the size in bytes of the largest saved context of an object
// (TPM_PT_MAX_OBJECT_CONTEXT).
func objectContextSize(d *engine.Device) int {
	if hasML(d.Profile) {
		return maxMLContext
	}
	return maxObjectContext
}

// mlParameterSets is what TPM_PT_ML_PARAMETER_SETS says (Part 2, Table 47).
func mlParameterSets(p *tcg.Profile) tcg.TPMAMLParameterSet {
	var sets tcg.TPMAMLParameterSet
	for _, s := range []struct {
		alg tcg.TPMAlgID
		set uint16
		bit tcg.TPMAMLParameterSet
	}{
		{tcg.TPMAlgMLKEM, tcg.TPMMLKEM512, tcg.TPMAMLParameterSetMLKEM512},
		{tcg.TPMAlgMLKEM, tcg.TPMMLKEM768, tcg.TPMAMLParameterSetMLKEM768},
		{tcg.TPMAlgMLKEM, tcg.TPMMLKEM1024, tcg.TPMAMLParameterSetMLKEM1024},
		{tcg.TPMAlgMLDSA, tcg.TPMMLDSA44, tcg.TPMAMLParameterSetMLDSA44},
		{tcg.TPMAlgMLDSA, tcg.TPMMLDSA65, tcg.TPMAMLParameterSetMLDSA65},
		{tcg.TPMAlgMLDSA, tcg.TPMMLDSA87, tcg.TPMAMLParameterSetMLDSA87},
	} {
		if p.MLSet(s.alg, s.set) {
			sets |= s.bit
		}
	}
	if p.HasAlg(tcg.TPMAlgMLDSA) {
		sets |= tcg.TPMAMLParameterSetExtMu
	}
	return sets
}

func variableProperties(d *engine.Device) []property {
	var permanent tcg.TPMAPermanent
	set := func(on bool, bit tcg.TPMAPermanent) {
		if on {
			permanent |= bit
		}
	}
	da := &d.Perm.DA
	set(len(d.Hierarchies().Auth(tcg.TPMRHOwner)) != 0, tcg.TPMAPermanentOwnerAuthSet)
	set(len(d.Hierarchies().Auth(tcg.TPMRHEndorsement)) != 0, tcg.TPMAPermanentEndorsementAuthSet)
	set(len(d.Hierarchies().Auth(tcg.TPMRHLockout)) != 0, tcg.TPMAPermanentLockoutAuthSet)
	set(d.Perm.Hierarchies.DisableClear, tcg.TPMAPermanentDisableClear)
	set(da.Locked(), tcg.TPMAPermanentInLockout)
	set(true, tcg.TPMAPermanentTPMGeneratedEPS)

	var startup tcg.TPMAStartupClear
	for _, s := range []struct {
		on  bool
		bit tcg.TPMAStartupClear
	}{
		{d.Clear.Hierarchies.PlatformEnable, tcg.TPMAStartupClearPHEnable},
		{d.Clear.Hierarchies.OwnerEnable, tcg.TPMAStartupClearSHEnable},
		{d.Clear.Hierarchies.EndorsementEnable, tcg.TPMAStartupClearEHEnable},
		{d.Clear.Hierarchies.PlatformNVEnable, tcg.TPMAStartupClearPHEnableNV},
		{d.Clear.ReadOnly, tcg.TPMAStartupClearReadOnly},
		{d.Vol.Orderly, tcg.TPMAStartupClearOrderly},
	} {
		if s.on {
			startup |= s.bit
		}
	}

	counters := uint32(0)
	for _, x := range d.Perm.NV.Indices {
		if x.Kind() == tcg.TPMNTCounter {
			counters++
		}
	}
	active, transient := d.Reset.Contexts.Active(), d.Vol.Objects.Count()
	loaded := uint32(d.Vol.Sessions.Count())
	room := uint32(max(nv.MaxBytes-d.Perm.NV.Used(d.PersistentUnits()), 0))
	return []property{
		{tcg.TPMPTPermanent, uint32(permanent)},
		{tcg.TPMPTStartupClear, uint32(startup)},
		{tcg.TPMPTHRNVIndex, uint32(len(d.IndexHandles()))},
		{tcg.TPMPTHRLoaded, loaded},
		{tcg.TPMPTHRLoadedAvail, session.MaxLoaded - loaded},
		{tcg.TPMPTHRActive, active},
		{tcg.TPMPTHRActiveAvail, session.MaxActive - active},
		{tcg.TPMPTHRTransientAvail, object.MaxTransient - transient},
		{tcg.TPMPTHRPersistent, uint32(len(d.Perm.Objects))},
		{tcg.TPMPTHRPersistentAvail, min(room/nv.PersistentSize, uint32(object.MaxPersistentObjects-d.PersistentUnits()))},
		{tcg.TPMPTNVCounters, counters},
		{tcg.TPMPTNVCountersAvail, min(room/(nv.Overhead+8), uint32(max(nv.MaxIndices-len(d.Perm.NV.Indices), 0)))},
		{tcg.TPMPTAlgorithmSet, d.Perm.AlgorithmSet},
		{tcg.TPMPTLoadedCurves, curveCount(d)},
		{tcg.TPMPTLockoutCounter, da.FailedTries},
		{tcg.TPMPTMaxAuthFail, da.MaxTries},
		{tcg.TPMPTLockoutInterval, da.RecoveryTime},
		{tcg.TPMPTLockoutRecovery, da.LockoutRecovery},
		{tcg.TPMPTNVWriteRecovery, 0},
		{tcg.TPMPTAuditCounter0, uint32(d.Perm.AuditCounter >> 32)},
		{tcg.TPMPTAuditCounter1, uint32(d.Perm.AuditCounter)},
	}
}

func curveCount(d *engine.Device) (n uint32) {
	for id := tcg.TPMECCCurve(0); id < 128; id++ {
		if d.Profile.HasCurve(id) {
			n++
		}
	}
	return n
}
