package nv

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// CheckPublic checks the public area of an index that is to be defined
// (Part 3, 31.3; Part 2, "TPMA_NV").
func CheckPublic(by tcg.TPMHandle, p *tcg.TPMSNVPublic) tcg.TPMRC {
	a := p.Attributes
	has := func(bits tcg.TPMANV) bool { return a&bits != 0 }
	size := int(p.DataSize)
	switch a.NT() {
	case tcg.TPMNTOrdinary:
		if has(tcg.TPMANVWriteAll) && size > MaxBuffer { // else the profile's limit, which unmarshalling checks
			return tcg.TPMRCSize
		}
	case tcg.TPMNTCounter, tcg.TPMNTBits:
		if size != 8 {
			return tcg.TPMRCSize
		}
	case tcg.TPMNTPinFail, tcg.TPMNTPinPass:
		if size != 8 {
			return tcg.TPMRCSize
		}
		if has(tcg.TPMANVAuthWrite | tcg.TPMANVGlobalLock | tcg.TPMANVWriteDefine) {
			return tcg.TPMRCAttributes
		}
		if a.NT() == tcg.TPMNTPinFail && !has(tcg.TPMANVNoDA) {
			return tcg.TPMRCAttributes
		}
	case tcg.TPMNTExtend:
		if size != tpmcrypto.MustSize(p.NameAlg) {
			return tcg.TPMRCSize
		}
	default:
		return tcg.TPMRCAttributes
	}
	if has(tcg.TPMANVWritten | tcg.TPMANVWriteLocked | tcg.TPMANVReadLocked) {
		return tcg.TPMRCAttributes
	}
	if !has(tcg.TPMANVPPRead|tcg.TPMANVOwnerRead|tcg.TPMANVAuthRead|tcg.TPMANVPolicyRead) ||
		!has(tcg.TPMANVPPWrite|tcg.TPMANVOwnerWrite|tcg.TPMANVAuthWrite|tcg.TPMANVPolicyWrite) {
		return tcg.TPMRCAttributes
	}
	if has(tcg.TPMANVClearSTClear) && (a.NT() == tcg.TPMNTCounter || has(tcg.TPMANVWriteDefine)) {
		return tcg.TPMRCAttributes
	}
	platform := by == tcg.TPMRHPlatform
	if platform != has(tcg.TPMANVPlatformCreate) {
		return tcg.TPMRCAttributes
	}
	if has(tcg.TPMANVPolicyDelete) && !platform {
		return tcg.TPMRCAttributes
	}
	return tcg.TPMRCSuccess
}
