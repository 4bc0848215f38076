package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/tcg"
)

// NewTable returns the table of all commands, by section of Part 3. The file of a
// handler is named after its section.
func NewTable() *dispatch.Table {
	return dispatch.NewTable(map[tcg.TPMCC]dispatch.Handler{
		// Section 9 - Start-up.
		tcg.TPMCCStartup:  startup,
		tcg.TPMCCShutdown: shutdown,

		// Section 10 - Testing.
		tcg.TPMCCSelfTest:            selfTest,
		tcg.TPMCCIncrementalSelfTest: incrementalSelfTest,
		tcg.TPMCCGetTestResult:       getTestResult,

		// Section 11 - Session Commands.
		tcg.TPMCCStartAuthSession: startAuthSession,
		tcg.TPMCCPolicyRestart:    policyRestart,

		// Section 12 - Object Commands.
		tcg.TPMCCCreateLoaded:       createLoaded,
		tcg.TPMCCMakeCredential:     makeCredential,
		tcg.TPMCCActivateCredential: activateCredential,
		tcg.TPMCCCreate:             create,
		tcg.TPMCCLoad:               load,
		tcg.TPMCCLoadExternal:       loadExternal,
		tcg.TPMCCReadPublic:         readPublic,
		tcg.TPMCCUnseal:             unseal,
		tcg.TPMCCObjectChangeAuth:   objectChangeAuth,

		// Section 13 - Duplication Commands.
		tcg.TPMCCDuplicate: duplicate,
		tcg.TPMCCRewrap:    rewrap,
		tcg.TPMCCImport:    importObject,

		// Section 14 - Asymmetric Primitives.
		tcg.TPMCCRSAEncrypt:    rsaEncrypt,
		tcg.TPMCCRSADecrypt:    rsaDecrypt,
		tcg.TPMCCECDHKeyGen:    ecdhKeyGen,
		tcg.TPMCCECDHZGen:      ecdhZGen,
		tcg.TPMCCECCParameters: eccParameters,
		tcg.TPMCCZGen2Phase:    zgen2Phase,
		tcg.TPMCCECCEncrypt:    eccEncrypt,
		tcg.TPMCCECCDecrypt:    eccDecrypt,
		tcg.TPMCCEncapsulate:   encapsulate,
		tcg.TPMCCDecapsulate:   decapsulate,

		// Section 15 - Symmetric Primitives.
		tcg.TPMCCHash:            hash,
		tcg.TPMCCHMAC:            mac,
		tcg.TPMCCEncryptDecrypt:  encryptDecrypt,
		tcg.TPMCCEncryptDecrypt2: encryptDecrypt2,

		// Section 16 - Random Number Generator.
		tcg.TPMCCGetRandom:  getRandom,
		tcg.TPMCCStirRandom: stirRandom,

		// Section 17 - Hash/HMAC/Event/Signature Sequences.
		tcg.TPMCCHashSequenceStart:     hashSequenceStart,
		tcg.TPMCCHMACStart:             macStart,
		tcg.TPMCCSequenceUpdate:        sequenceUpdate,
		tcg.TPMCCSequenceComplete:      sequenceComplete,
		tcg.TPMCCEventSequenceComplete: eventSequenceComplete,
		tcg.TPMCCSignSequenceStart:     signSequenceStart,
		tcg.TPMCCVerifySequenceStart:   verifySequenceStart,

		// Section 18 - Attestation Commands.
		tcg.TPMCCCertify:               certify,
		tcg.TPMCCCertifyCreation:       certifyCreation,
		tcg.TPMCCQuote:                 quote,
		tcg.TPMCCGetTime:               getTime,
		tcg.TPMCCGetSessionAuditDigest: getSessionAuditDigest,
		tcg.TPMCCGetCommandAuditDigest: getCommandAuditDigest,
		tcg.TPMCCCertifyX509:           certifyX509,

		// Section 19 - Ephemeral EC Keys.
		tcg.TPMCCCommit:      commit,
		tcg.TPMCCECEphemeral: ecEphemeral,

		// Section 20 - Signing and Signature Verification.
		tcg.TPMCCVerifySignature:        verifySignature,
		tcg.TPMCCSign:                   signCommand,
		tcg.TPMCCVerifySequenceComplete: verifySequenceComplete,
		tcg.TPMCCVerifyDigestSignature:  verifyDigestSignature,
		tcg.TPMCCSignSequenceComplete:   signSequenceComplete,
		tcg.TPMCCSignDigest:             signDigest,

		// Section 21 - Command Audit.
		tcg.TPMCCSetCommandCodeAuditStatus: setCommandCodeAuditStatus,

		// Section 22 - Integrity Collection (PCR).
		tcg.TPMCCPCRExtend:        pcrExtendCommand,
		tcg.TPMCCPCREvent:         pcrEvent,
		tcg.TPMCCPCRRead:          pcrRead,
		tcg.TPMCCPCRReset:         pcrResetCommand,
		tcg.TPMCCPCRAllocate:      pcrAllocateCommand,
		tcg.TPMCCPCRSetAuthValue:  pcrSetAuthValue,
		tcg.TPMCCPCRSetAuthPolicy: pcrSetAuthPolicy,

		// Section 23 - Enhanced Authorization (EA) Commands.
		tcg.TPMCCPolicyOR:                policyOR,
		tcg.TPMCCPolicyPCR:               policyPCR,
		tcg.TPMCCPolicyLocality:          policyLocality,
		tcg.TPMCCPolicyCommandCode:       policyCommandCode,
		tcg.TPMCCPolicyPhysicalPresence:  policyPhysicalPresence,
		tcg.TPMCCPolicyCpHash:            policyCpHash,
		tcg.TPMCCPolicyNameHash:          policyNameHash,
		tcg.TPMCCPolicyTemplate:          policyTemplate,
		tcg.TPMCCPolicyDuplicationSelect: policyDuplicationSelect,
		tcg.TPMCCPolicyAuthValue:         policyAuthValue,
		tcg.TPMCCPolicyPassword:          policyPassword,
		tcg.TPMCCPolicyGetDigest:         policyGetDigest,
		tcg.TPMCCPolicyNvWritten:         policyNvWritten,
		tcg.TPMCCPolicyParameters:        policyParameters,
		tcg.TPMCCPolicyCounterTimer:      policyCounterTimer,
		tcg.TPMCCPolicyNV:                policyNV,
		tcg.TPMCCPolicyCapability:        policyCapability,
		tcg.TPMCCPolicyTransportSPDM:     policyTransportSPDM,
		tcg.TPMCCPolicySigned:            policySigned,
		tcg.TPMCCPolicySecret:            policySecret,
		tcg.TPMCCPolicyTicket:            policyTicket,
		tcg.TPMCCPolicyAuthorize:         policyAuthorize,
		tcg.TPMCCPolicyAuthorizeNV:       policyAuthorizeNV,

		// Section 24 - Hierarchy Commands.
		tcg.TPMCCHierarchyControl:    hierarchyControl,
		tcg.TPMCCSetPrimaryPolicy:    setPrimaryPolicy,
		tcg.TPMCCChangePPS:           changePPS,
		tcg.TPMCCChangeEPS:           changeEPS,
		tcg.TPMCCClear:               clearCommand,
		tcg.TPMCCClearControl:        clearControl,
		tcg.TPMCCHierarchyChangeAuth: hierarchyChangeAuth,
		tcg.TPMCCCreatePrimary:       createPrimary,
		tcg.TPMCCReadOnlyControl:     readOnlyControl,

		// Section 25 - Dictionary Attack Functions.
		tcg.TPMCCDictionaryAttackLockReset:  dictionaryAttackLockReset,
		tcg.TPMCCDictionaryAttackParameters: dictionaryAttackParameters,

		// Section 26 - Miscellaneous Management Functions.
		tcg.TPMCCPPCommands:      ppCommands,
		tcg.TPMCCSetAlgorithmSet: setAlgorithmSet,

		// Section 28 - Context Management.
		tcg.TPMCCContextSave:  contextSave,
		tcg.TPMCCContextLoad:  contextLoad,
		tcg.TPMCCFlushContext: flushContext,
		tcg.TPMCCEvictControl: evictControl,

		// Section 29 - Clocks and Timers.
		tcg.TPMCCReadClock:       readClock,
		tcg.TPMCCClockSet:        clockSet,
		tcg.TPMCCClockRateAdjust: clockRateAdjust,

		// Section 30 - Capability Commands.
		tcg.TPMCCGetCapability: getCapability,
		tcg.TPMCCTestParms:     testParms,
		tcg.TPMCCSetCapability: setCapability,

		// Section 31 - Non-volatile Storage.
		tcg.TPMCCNVWrite:                nvWrite,
		tcg.TPMCCNVIncrement:            nvIncrement,
		tcg.TPMCCNVExtend:               nvExtend,
		tcg.TPMCCNVSetBits:              nvSetBits,
		tcg.TPMCCNVWriteLock:            nvWriteLock,
		tcg.TPMCCNVGlobalWriteLock:      nvGlobalWriteLock,
		tcg.TPMCCNVRead:                 nvRead,
		tcg.TPMCCNVReadLock:             nvReadLock,
		tcg.TPMCCNVChangeAuth:           nvChangeAuth,
		tcg.TPMCCNVCertify:              nvCertify,
		tcg.TPMCCNVDefineSpace:          nvDefineSpace,
		tcg.TPMCCNVUndefineSpace:        nvUndefineSpace,
		tcg.TPMCCNVUndefineSpaceSpecial: nvUndefineSpaceSpecial,
		tcg.TPMCCNVReadPublic:           nvReadPublic,
		tcg.TPMCCNVDefineSpace2:         nvDefineSpace2,
		tcg.TPMCCNVReadPublic2:          nvReadPublic2,

		// Section 33 - Authenticated Countdown Timer.
		tcg.TPMCCACTSetTimeout: actSetTimeout,
	})
}
