package tcg

// A TPMCap selects what TPM2_GetCapability returns.
type TPMCap uint32

// Part 2 v1.85, Table 24 (TPM_CAP).
const (
	TPMCapAlgs            TPMCap = 0x00
	TPMCapHandles         TPMCap = 0x01
	TPMCapCommands        TPMCap = 0x02
	TPMCapPPCommands      TPMCap = 0x03
	TPMCapAuditCommands   TPMCap = 0x04
	TPMCapPCRs            TPMCap = 0x05
	TPMCapTPMProperties   TPMCap = 0x06
	TPMCapPCRProperties   TPMCap = 0x07
	TPMCapECCCurves       TPMCap = 0x08
	TPMCapAuthPolicies    TPMCap = 0x09
	TPMCapACT             TPMCap = 0x0A
	TPMCapPubKeys         TPMCap = 0x0B
	TPMCapSPDMSessionInfo TPMCap = 0x0C
	TPMCapVendorProperty  TPMCap = 0x100

	// TPMCapSettable is the bit of capabilities that TPM2_SetCapability sets
	// (Part 2, Table 26).
	TPMCapSettable TPMCap = 1 << 31
)

// A TPMPT is a property of the TPM.
type TPMPT uint32

// Part 2 v1.85, Table 28 (TPM_PT): where each group of properties begins.
const (
	TPMPTNone  TPMPT = 0
	TPMPTFixed TPMPT = 0x100 // PT_FIXED
	TPMPTVar   TPMPT = 0x200 // PT_VAR
)

// Part 2 v1.85, Table 28 (TPM_PT): properties that only other firmware changes.
const (
	TPMPTFamilyIndicator   TPMPT = 0x100
	TPMPTLevel             TPMPT = 0x101
	TPMPTRevision          TPMPT = 0x102
	TPMPTDayofYear         TPMPT = 0x103
	TPMPTYear              TPMPT = 0x104
	TPMPTManufacturer      TPMPT = 0x105
	TPMPTVendorString1     TPMPT = 0x106
	TPMPTVendorString2     TPMPT = 0x107
	TPMPTVendorString3     TPMPT = 0x108
	TPMPTVendorString4     TPMPT = 0x109
	TPMPTVendorTPMType     TPMPT = 0x10A
	TPMPTFirmwareVersion1  TPMPT = 0x10B
	TPMPTFirmwareVersion2  TPMPT = 0x10C
	TPMPTInputBuffer       TPMPT = 0x10D
	TPMPTHRTransientMin    TPMPT = 0x10E
	TPMPTHRPersistentMin   TPMPT = 0x10F
	TPMPTHRLoadedMin       TPMPT = 0x110
	TPMPTActiveSessionsMax TPMPT = 0x111
	TPMPTPCRCount          TPMPT = 0x112
	TPMPTPCRSelectMin      TPMPT = 0x113
	TPMPTContextGapMax     TPMPT = 0x114
	TPMPTNVCountersMax     TPMPT = 0x116
	TPMPTNVIndexMax        TPMPT = 0x117
	TPMPTMemory            TPMPT = 0x118
	TPMPTClockUpdate       TPMPT = 0x119
	TPMPTContextHash       TPMPT = 0x11A
	TPMPTContextSym        TPMPT = 0x11B
	TPMPTContextSymSize    TPMPT = 0x11C
	TPMPTOrderlyCount      TPMPT = 0x11D
	TPMPTMaxCommandSize    TPMPT = 0x11E
	TPMPTMaxResponseSize   TPMPT = 0x11F
	TPMPTMaxDigest         TPMPT = 0x120
	TPMPTMaxObjectContext  TPMPT = 0x121
	TPMPTMaxSessionContext TPMPT = 0x122
	TPMPTPSFamilyIndicator TPMPT = 0x123
	TPMPTPSLevel           TPMPT = 0x124
	TPMPTPSRevision        TPMPT = 0x125
	TPMPTPSDayOfYear       TPMPT = 0x126
	TPMPTPSYear            TPMPT = 0x127
	TPMPTSplitMax          TPMPT = 0x128
	TPMPTTotalCommands     TPMPT = 0x129
	TPMPTLibraryCommands   TPMPT = 0x12A
	TPMPTVendorCommands    TPMPT = 0x12B
	TPMPTNVBufferMax       TPMPT = 0x12C
	TPMPTModes             TPMPT = 0x12D
	TPMPTMaxCapBuffer      TPMPT = 0x12E
	TPMPTFirmwareSVN       TPMPT = 0x12F
	TPMPTFirmwareMaxSVN    TPMPT = 0x130
	TPMPTMLParameterSets   TPMPT = 0x131

	// TPMPTErrata is the name since v1.85 of what was TPM_PT_DAY_OF_YEAR.
	TPMPTErrata = TPMPTDayofYear
)

// Part 2 v1.85, Table 28 (TPM_PT): properties that commands change.
const (
	TPMPTPermanent         TPMPT = 0x200
	TPMPTStartupClear      TPMPT = 0x201
	TPMPTHRNVIndex         TPMPT = 0x202
	TPMPTHRLoaded          TPMPT = 0x203
	TPMPTHRLoadedAvail     TPMPT = 0x204
	TPMPTHRActive          TPMPT = 0x205
	TPMPTHRActiveAvail     TPMPT = 0x206
	TPMPTHRTransientAvail  TPMPT = 0x207
	TPMPTHRPersistent      TPMPT = 0x208
	TPMPTHRPersistentAvail TPMPT = 0x209
	TPMPTNVCounters        TPMPT = 0x20A
	TPMPTNVCountersAvail   TPMPT = 0x20B
	TPMPTAlgorithmSet      TPMPT = 0x20C
	TPMPTLoadedCurves      TPMPT = 0x20D
	TPMPTLockoutCounter    TPMPT = 0x20E
	TPMPTMaxAuthFail       TPMPT = 0x20F
	TPMPTLockoutInterval   TPMPT = 0x210
	TPMPTLockoutRecovery   TPMPT = 0x211
	TPMPTNVWriteRecovery   TPMPT = 0x212
	TPMPTAuditCounter0     TPMPT = 0x213
	TPMPTAuditCounter1     TPMPT = 0x214
)

// A TPMPTPCR is a property that each PCR has or has not.
type TPMPTPCR uint32

// Part 2 v1.85, Table 29 (TPM_PT_PCR).
const (
	TPMPTPCRSave        TPMPTPCR = 0x00000000
	TPMPTPCRExtendL0    TPMPTPCR = 0x00000001
	TPMPTPCRResetL0     TPMPTPCR = 0x00000002
	TPMPTPCRExtendL1    TPMPTPCR = 0x00000003
	TPMPTPCRResetL1     TPMPTPCR = 0x00000004
	TPMPTPCRExtendL2    TPMPTPCR = 0x00000005
	TPMPTPCRResetL2     TPMPTPCR = 0x00000006
	TPMPTPCRExtendL3    TPMPTPCR = 0x00000007
	TPMPTPCRResetL3     TPMPTPCR = 0x00000008
	TPMPTPCRExtendL4    TPMPTPCR = 0x00000009
	TPMPTPCRResetL4     TPMPTPCR = 0x0000000A
	TPMPTPCRNoIncrement TPMPTPCR = 0x00000011
	TPMPTPCRDRTMReset   TPMPTPCR = 0x00000012
	TPMPTPCRPolicy      TPMPTPCR = 0x00000013
	TPMPTPCRAuth        TPMPTPCR = 0x00000014
)
