package vtpm

import (
	"stubtpm/vtpm/internal/clock"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
)

// Identity of the implementation (Part 2, "TPM_PT").
const (
	manufacturer    = 'S'<<24 | 'T'<<16 | 'U'<<8 | 'B'
	vendorString    = "stubtpm vTPM 2.0"
	firmwareVersion = 0x00000001_00000000

	specFamily   = '2'<<24 | '.'<<16 | '0'<<8
	specRevision = 185
	specYear     = 2026
	specDay      = 71 // March 12
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
func (d *Device) listProperties(l *capList) {
	l.begin(8)
	var group []property
	switch l.from / ptGroup {
	case uint32(tcg.TPMPTFamilyIndicator) / ptGroup:
		group = d.fixedProperties()
	case uint32(tcg.TPMPTPermanent) / ptGroup:
		group = d.variableProperties()
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

func (d *Device) fixedProperties() []property {
	commands := d.commandCount()
	return []property{
		{tcg.TPMPTFamilyIndicator, specFamily},
		{tcg.TPMPTLevel, 0},
		{tcg.TPMPTRevision, specRevision},
		{tcg.TPMPTDayofYear, specDay},
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
		{tcg.TPMPTHRTransientMin, maxTransientObjects},
		{tcg.TPMPTHRPersistentMin, maxPersistentObjects},
		{tcg.TPMPTHRLoadedMin, maxLoadedSessions},
		{tcg.TPMPTActiveSessionsMax, maxActiveSessions},
		{tcg.TPMPTPCRCount, pcr.Count},
		{tcg.TPMPTPCRSelectMin, pcr.Count / 8},
		{tcg.TPMPTContextGapMax, contextGap},
		{tcg.TPMPTNVCountersMax, 0},
		{tcg.TPMPTNVIndexMax, uint32(d.profile.NVIndexSize())},
		{tcg.TPMPTMemory, uint32(tcg.TPMAMemorySharedNV | tcg.TPMAMemoryObjectCopiedToRAM)},
		{tcg.TPMPTClockUpdate, clock.SaveInterval},
		{tcg.TPMPTContextHash, uint32(contextHash)},
		{tcg.TPMPTContextSym, uint32(tcg.TPMAlgAES)},
		{tcg.TPMPTContextSymSize, 256},
		{tcg.TPMPTOrderlyCount, orderlyCount},
		{tcg.TPMPTMaxCommandSize, d.bufferSize.Load()},
		{tcg.TPMPTMaxResponseSize, d.bufferSize.Load()},
		{tcg.TPMPTMaxDigest, d.largestDigest()},
		{tcg.TPMPTMaxObjectContext, maxObjectContext},
		{tcg.TPMPTMaxSessionContext, maxSessionContext},
		{tcg.TPMPTPSFamilyIndicator, 1}, // PC Client
		{tcg.TPMPTPSLevel, 0},
		{tcg.TPMPTPSRevision, 0x00000106},
		{tcg.TPMPTPSDayOfYear, 24},
		{tcg.TPMPTPSYear, 2024},
		{tcg.TPMPTSplitMax, commitSlots},
		{tcg.TPMPTTotalCommands, commands},
		{tcg.TPMPTLibraryCommands, commands},
		{tcg.TPMPTVendorCommands, 0},
		{tcg.TPMPTNVBufferMax, maxNVBuffer},
		{tcg.TPMPTModes, 0},
		{tcg.TPMPTMaxCapBuffer, tcg.MaxCapBuffer},
		{tcg.TPMPTFirmwareSVN, uint32(d.svn())},
		{tcg.TPMPTFirmwareMaxSVN, 0xFFFF},
	}
}

// Upper bounds of a saved context in bytes.
const (
	maxObjectContext  = 2048
	maxSessionContext = 1024
)

func (d *Device) variableProperties() []property {
	var permanent tcg.TPMAPermanent
	set := func(on bool, bit tcg.TPMAPermanent) {
		if on {
			permanent |= bit
		}
	}
	da := &d.perm.da
	set(len(d.hierarchies().Auth(tcg.TPMRHOwner)) != 0, tcg.TPMAPermanentOwnerAuthSet)
	set(len(d.hierarchies().Auth(tcg.TPMRHEndorsement)) != 0, tcg.TPMAPermanentEndorsementAuthSet)
	set(len(d.hierarchies().Auth(tcg.TPMRHLockout)) != 0, tcg.TPMAPermanentLockoutAuthSet)
	set(d.perm.hierarchies.DisableClear, tcg.TPMAPermanentDisableClear)
	set(da.Locked(), tcg.TPMAPermanentInLockout)
	set(true, tcg.TPMAPermanentTPMGeneratedEPS)

	var startup tcg.TPMAStartupClear
	for _, s := range []struct {
		on  bool
		bit tcg.TPMAStartupClear
	}{
		{d.clear.hierarchies.PlatformEnable, tcg.TPMAStartupClearPHEnable},
		{d.clear.hierarchies.OwnerEnable, tcg.TPMAStartupClearSHEnable},
		{d.clear.hierarchies.EndorsementEnable, tcg.TPMAStartupClearEHEnable},
		{d.clear.hierarchies.PlatformNVEnable, tcg.TPMAStartupClearPHEnableNV},
		{d.clear.readOnly, tcg.TPMAStartupClearReadOnly},
		{d.vol.orderly, tcg.TPMAStartupClearOrderly},
	} {
		if s.on {
			startup |= s.bit
		}
	}

	counters := uint32(0)
	for _, x := range d.perm.nv.indices {
		if x.kind() == tcg.TPMNTCounter {
			counters++
		}
	}
	active, transient := d.reset.contexts.active(), d.vol.objects.count()
	loaded := uint32(d.vol.sessions.count())
	room := uint32(max(maxNVBytes-d.perm.nv.used(len(d.perm.objects)), 0))
	return []property{
		{tcg.TPMPTPermanent, uint32(permanent)},
		{tcg.TPMPTStartupClear, uint32(startup)},
		{tcg.TPMPTHRNVIndex, uint32(len(d.perm.nv.indices))},
		{tcg.TPMPTHRLoaded, loaded},
		{tcg.TPMPTHRLoadedAvail, maxLoadedSessions - loaded},
		{tcg.TPMPTHRActive, active},
		{tcg.TPMPTHRActiveAvail, maxActiveSessions - active},
		{tcg.TPMPTHRTransientAvail, maxTransientObjects - transient},
		{tcg.TPMPTHRPersistent, uint32(len(d.perm.objects))},
		{tcg.TPMPTHRPersistentAvail, min(room/persistentSize, uint32(maxPersistentObjects-len(d.perm.objects)))},
		{tcg.TPMPTNVCounters, counters},
		{tcg.TPMPTNVCountersAvail, min(room/(nvOverhead+8), uint32(maxNVIndices-len(d.perm.nv.indices)))},
		{tcg.TPMPTAlgorithmSet, d.perm.algorithmSet},
		{tcg.TPMPTLoadedCurves, d.curveCount()},
		{tcg.TPMPTLockoutCounter, da.FailedTries},
		{tcg.TPMPTMaxAuthFail, da.MaxTries},
		{tcg.TPMPTLockoutInterval, da.RecoveryTime},
		{tcg.TPMPTLockoutRecovery, da.LockoutRecovery},
		{tcg.TPMPTNVWriteRecovery, 0},
		{tcg.TPMPTAuditCounter0, uint32(d.perm.auditCounter >> 32)},
		{tcg.TPMPTAuditCounter1, uint32(d.perm.auditCounter)},
	}
}

func (d *Device) curveCount() (n uint32) {
	for id := tcg.TPMECCCurve(0); id < 128; id++ {
		if d.profile.HasCurve(id) {
			n++
		}
	}
	return n
}

// algAttributes says what kind of algorithm id is (TCG Algorithm Registry,
// "TPM_ALG_ID"; Part 2, "TPMA_ALGORITHM").
func algAttributes(id tcg.TPMAlgID) tcg.TPMAAlgorithm {
	const (
		asym    = tcg.TPMAAlgorithmAsymmetric
		sym     = tcg.TPMAAlgorithmSymmetric
		hash    = tcg.TPMAAlgorithmHash
		object  = tcg.TPMAAlgorithmObject
		sign    = tcg.TPMAAlgorithmSigning
		encrypt = tcg.TPMAAlgorithmEncrypting
		method  = tcg.TPMAAlgorithmMethod
	)
	switch id {
	case tcg.TPMAlgRSA, tcg.TPMAlgECC:
		return asym | object
	case tcg.TPMAlgTDES, tcg.TPMAlgAES, tcg.TPMAlgSM4, tcg.TPMAlgCamellia:
		return sym
	case tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512, tcg.TPMAlgSM3256,
		tcg.TPMAlgSHA3256, tcg.TPMAlgSHA3384, tcg.TPMAlgSHA3512:
		return hash
	case tcg.TPMAlgHMAC:
		return hash | sign
	case tcg.TPMAlgMGF1:
		return hash | method
	case tcg.TPMAlgKeyedHash:
		return hash | object | sign | encrypt
	case tcg.TPMAlgXOR:
		return hash | sym
	case tcg.TPMAlgRSASSA, tcg.TPMAlgRSAPSS, tcg.TPMAlgECDSA, tcg.TPMAlgECDAA, tcg.TPMAlgSM2, tcg.TPMAlgECSchnorr:
		return asym | sign
	case tcg.TPMAlgRSAES, tcg.TPMAlgOAEP:
		return asym | encrypt
	case tcg.TPMAlgECDH, tcg.TPMAlgECMQV:
		return asym | method
	case tcg.TPMAlgKDF1SP80056A, tcg.TPMAlgKDF2, tcg.TPMAlgKDF1SP800108:
		return hash | method
	case tcg.TPMAlgSymCipher:
		return object
	case tcg.TPMAlgCMAC:
		return sym | sign
	case tcg.TPMAlgCTR, tcg.TPMAlgOFB, tcg.TPMAlgCBC, tcg.TPMAlgCFB, tcg.TPMAlgECB:
		return sym | encrypt
	}
	return 0
}
