package stream

// Session attributes (Part 2, TPMA_SESSION).
const (
	attrContinue  = 1 << 0
	attrExclusive = 1 << 1
	attrDecrypt   = 1 << 5
	attrEncrypt   = 1 << 6
	attrReset     = 1 << 2 // auditReset: CLEAR in a response, which not every TPM does
	attrAudit     = 1 << 7
)

// Object attributes (Part 2, TPMA_OBJECT).
const (
	attrFixedTPM    = 1 << 1
	attrSTClear     = 1 << 2
	attrFixedParent = 1 << 4
	attrOrigin      = 1 << 5
	attrUserAuth    = 1 << 6
	attrAdminPolicy = 1 << 7
	attrNoDA        = 1 << 10
	attrRestricted  = 1 << 16
	attrDecryptKey  = 1 << 17
	attrSignKey     = 1 << 18
)

// NV attributes (Part 2, TPMA_NV).
const (
	nvPPWrite     = 1 << 0
	nvOwnerWrite  = 1 << 1
	nvAuthWrite   = 1 << 2
	nvPolicyWrite = 1 << 3
	nvPolicyDel   = 1 << 10
	nvWriteLocked = 1 << 11
	nvWriteAll    = 1 << 12
	nvWriteDefine = 1 << 13
	nvWriteSTCl   = 1 << 14
	nvGlobalLock  = 1 << 15
	nvPPRead      = 1 << 16
	nvOwnerRead   = 1 << 17
	nvAuthRead    = 1 << 18
	nvPolicyRead  = 1 << 19
	nvNoDA        = 1 << 25
	nvOrderly     = 1 << 26
	nvClearSTCl   = 1 << 27
	nvReadSTCl    = 1 << 31
	nvPlatform    = 1 << 30
)
