package tcg

// commandTable is Part 3 v1.85's command tables, in its order, each row at
// the place of its code. Codes that the specification does not use have an
// empty row.
var commandTable = [TPMCCLast - TPMCCFirst + 1]CommandSpec{
	TPMCCStartup - TPMCCFirst: {
		Code: TPMCCStartup, Name: "TPM2_Startup", Since: "1.38", Attrs: AttrNV | AttrNoSessions, ReadOnly: ReadOnlyAllows,
		Params: []ParamSpec{{"startupType", "TPM_SU"}},
	},
	TPMCCShutdown - TPMCCFirst: {
		Code: TPMCCShutdown, Name: "TPM2_Shutdown", Since: "1.38", Attrs: AttrNV, ReadOnly: ReadOnlyAllows,
		Params: []ParamSpec{{"shutdownType", "TPM_SU"}},
	},
	TPMCCSelfTest - TPMCCFirst: {
		Code: TPMCCSelfTest, Name: "TPM2_SelfTest", Since: "1.38", Attrs: AttrNV | AttrReads, ReadOnly: ReadOnlyAllows,
		Params: []ParamSpec{{"fullTest", "TPMI_YES_NO"}},
	},
	TPMCCIncrementalSelfTest - TPMCCFirst: {
		Code: TPMCCIncrementalSelfTest, Name: "TPM2_IncrementalSelfTest", Since: "1.38", Attrs: AttrNV | AttrReads, ReadOnly: ReadOnlyAllows,
		Params:   []ParamSpec{{"toTest", "TPML_ALG"}},
		Response: []ParamSpec{{"toDoList", "TPML_ALG"}},
	},
	TPMCCGetTestResult - TPMCCFirst: {
		Code: TPMCCGetTestResult, Name: "TPM2_GetTestResult", Since: "1.38", Attrs: AttrReads, ReadOnly: ReadOnlyAllows,
		Response: []ParamSpec{{"outData", "TPM2B_MAX_BUFFER"}, {"testResult", "TPM_RC"}},
	},
	TPMCCStartAuthSession - TPMCCFirst: {
		Code: TPMCCStartAuthSession, Name: "TPM2_StartAuthSession", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:        []HandleSpec{{"tpmKey", TPMIDHObject, true, RoleNone}, {"bind", TPMIDHEntity, true, RoleNone}},
		Params:         []ParamSpec{{"nonceCaller", "TPM2B_NONCE"}, {"encryptedSalt", "TPM2B_ENCRYPTED_SECRET"}, {"sessionType", "TPM_SE"}, {"symmetric", "TPMT_SYM_DEF+"}, {"authHash", "TPMI_ALG_HASH"}},
		ResponseHandle: &HandleSpec{"sessionHandle", TPMISHAuthSession, false, RoleNone},
		Response:       []ParamSpec{{"nonceTPM", "TPM2B_NONCE"}},
	},
	TPMCCPolicyRestart - TPMCCFirst: {
		Code: TPMCCPolicyRestart, Name: "TPM2_PolicyRestart", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"sessionHandle", TPMISHPolicy, false, RoleNone}},
	},
	TPMCCCreate - TPMCCFirst: {
		Code: TPMCCCreate, Name: "TPM2_Create", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyRefuses,
		Handles:  []HandleSpec{{"parentHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"inSensitive", "TPM2B_SENSITIVE_CREATE"}, {"inPublic", "TPM2B_PUBLIC"}, {"outsideInfo", "TPM2B_DATA"}, {"creationPCR", "TPML_PCR_SELECTION"}},
		Response: []ParamSpec{{"outPrivate", "TPM2B_PRIVATE"}, {"outPublic", "TPM2B_PUBLIC"}, {"creationData", "TPM2B_CREATION_DATA"}, {"creationHash", "TPM2B_DIGEST"}, {"creationTicket", "TPMT_TK_CREATION"}},
	},
	TPMCCLoad - TPMCCFirst: {
		Code: TPMCCLoad, Name: "TPM2_Load", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:        []HandleSpec{{"parentHandle", TPMIDHObject, false, RoleUser}},
		Params:         []ParamSpec{{"inPrivate", "TPM2B_PRIVATE"}, {"inPublic", "TPM2B_PUBLIC"}},
		ResponseHandle: &HandleSpec{"objectHandle", TPMHandleAny, false, RoleNone},
		Response:       []ParamSpec{{"name", "TPM2B_NAME"}},
	},
	TPMCCLoadExternal - TPMCCFirst: {
		Code: TPMCCLoadExternal, Name: "TPM2_LoadExternal", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Params:         []ParamSpec{{"inPrivate", "TPM2B_SENSITIVE"}, {"inPublic", "TPM2B_PUBLIC+"}, {"hierarchy", "TPMI_RH_HIERARCHY"}},
		ResponseHandle: &HandleSpec{"objectHandle", TPMHandleAny, false, RoleNone},
		Response:       []ParamSpec{{"name", "TPM2B_NAME"}},
	},
	TPMCCReadPublic - TPMCCFirst: {
		Code: TPMCCReadPublic, Name: "TPM2_ReadPublic", Since: "1.38", Attrs: AttrReads, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"objectHandle", TPMIDHObject, false, RoleNone}},
		Response: []ParamSpec{{"outPublic", "TPM2B_PUBLIC"}, {"name", "TPM2B_NAME"}, {"qualifiedName", "TPM2B_NAME"}},
	},
	TPMCCActivateCredential - TPMCCFirst: {
		Code: TPMCCActivateCredential, Name: "TPM2_ActivateCredential", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"activateHandle", TPMIDHObject, false, RoleAdmin}, {"keyHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"credentialBlob", "TPM2B_ID_OBJECT"}, {"secret", "TPM2B_ENCRYPTED_SECRET"}},
		Response: []ParamSpec{{"certInfo", "TPM2B_DIGEST"}},
	},
	TPMCCMakeCredential - TPMCCFirst: {
		Code: TPMCCMakeCredential, Name: "TPM2_MakeCredential", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"handle", TPMIDHObject, false, RoleNone}},
		Params:   []ParamSpec{{"credential", "TPM2B_DIGEST"}, {"objectName", "TPM2B_NAME"}},
		Response: []ParamSpec{{"credentialBlob", "TPM2B_ID_OBJECT"}, {"secret", "TPM2B_ENCRYPTED_SECRET"}},
	},
	TPMCCUnseal - TPMCCFirst: {
		Code: TPMCCUnseal, Name: "TPM2_Unseal", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"itemHandle", TPMIDHObject, false, RoleUser}},
		Response: []ParamSpec{{"outData", "TPM2B_SENSITIVE_DATA"}},
	},
	TPMCCObjectChangeAuth - TPMCCFirst: {
		Code: TPMCCObjectChangeAuth, Name: "TPM2_ObjectChangeAuth", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyRefuses,
		Handles:  []HandleSpec{{"objectHandle", TPMIDHObject, false, RoleAdmin}, {"parentHandle", TPMIDHObject, false, RoleNone}},
		Params:   []ParamSpec{{"newAuth", "TPM2B_AUTH"}},
		Response: []ParamSpec{{"outPrivate", "TPM2B_PRIVATE"}},
	},
	TPMCCCreateLoaded - TPMCCFirst: {
		Code: TPMCCCreateLoaded, Name: "TPM2_CreateLoaded", Since: "1.38", Attrs: AttrPP | AttrDeprecated | AttrVolatile, ReadOnly: ReadOnlyRefuses,
		Handles:        []HandleSpec{{"parentHandle", TPMIDHParent, false, RoleUser}},
		Params:         []ParamSpec{{"inSensitive", "TPM2B_SENSITIVE_CREATE"}, {"inPublic", "TPM2B_TEMPLATE"}},
		ResponseHandle: &HandleSpec{"objectHandle", TPMHandleAny, false, RoleNone},
		Response:       []ParamSpec{{"outPrivate", "TPM2B_PRIVATE"}, {"outPublic", "TPM2B_PUBLIC"}, {"name", "TPM2B_NAME"}},
	},
	TPMCCDuplicate - TPMCCFirst: {
		Code: TPMCCDuplicate, Name: "TPM2_Duplicate", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"objectHandle", TPMIDHObject, false, RoleDup}, {"newParentHandle", TPMIDHObject, true, RoleNone}},
		Params:   []ParamSpec{{"encryptionKeyIn", "TPM2B_DATA"}, {"symmetricAlg", "TPMT_SYM_DEF_OBJECT+"}},
		Response: []ParamSpec{{"encryptionKeyOut", "TPM2B_DATA"}, {"duplicate", "TPM2B_PRIVATE"}, {"outSymSeed", "TPM2B_ENCRYPTED_SECRET"}},
	},
	TPMCCRewrap - TPMCCFirst: {
		Code: TPMCCRewrap, Name: "TPM2_Rewrap", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"oldParent", TPMIDHObject, true, RoleUser}, {"newParent", TPMIDHObject, true, RoleNone}},
		Params:   []ParamSpec{{"inDuplicate", "TPM2B_PRIVATE"}, {"name", "TPM2B_NAME"}, {"inSymSeed", "TPM2B_ENCRYPTED_SECRET"}},
		Response: []ParamSpec{{"outDuplicate", "TPM2B_PRIVATE"}, {"outSymSeed", "TPM2B_ENCRYPTED_SECRET"}},
	},
	TPMCCImport - TPMCCFirst: {
		Code: TPMCCImport, Name: "TPM2_Import", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"parentHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"encryptionKey", "TPM2B_DATA"}, {"objectPublic", "TPM2B_PUBLIC"}, {"duplicate", "TPM2B_PRIVATE"}, {"inSymSeed", "TPM2B_ENCRYPTED_SECRET"}, {"symmetricAlg", "TPMT_SYM_DEF_OBJECT+"}},
		Response: []ParamSpec{{"outPrivate", "TPM2B_PRIVATE"}},
	},
	TPMCCRSAEncrypt - TPMCCFirst: {
		Code: TPMCCRSAEncrypt, Name: "TPM2_RSA_Encrypt", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleNone}},
		Params:   []ParamSpec{{"message", "TPM2B_PUBLIC_KEY_RSA"}, {"inScheme", "TPMT_RSA_DECRYPT+"}, {"label", "TPM2B_DATA"}},
		Response: []ParamSpec{{"outData", "TPM2B_PUBLIC_KEY_RSA"}},
	},
	TPMCCRSADecrypt - TPMCCFirst: {
		Code: TPMCCRSADecrypt, Name: "TPM2_RSA_Decrypt", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"cipherText", "TPM2B_PUBLIC_KEY_RSA"}, {"inScheme", "TPMT_RSA_DECRYPT+"}, {"label", "TPM2B_DATA"}},
		Response: []ParamSpec{{"message", "TPM2B_PUBLIC_KEY_RSA"}},
	},
	TPMCCECDHKeyGen - TPMCCFirst: {
		Code: TPMCCECDHKeyGen, Name: "TPM2_ECDH_KeyGen", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleNone}},
		Response: []ParamSpec{{"zPoint", "TPM2B_ECC_POINT"}, {"pubPoint", "TPM2B_ECC_POINT"}},
	},
	TPMCCECDHZGen - TPMCCFirst: {
		Code: TPMCCECDHZGen, Name: "TPM2_ECDH_ZGen", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"inPoint", "TPM2B_ECC_POINT"}},
		Response: []ParamSpec{{"outPoint", "TPM2B_ECC_POINT"}},
	},
	TPMCCECCParameters - TPMCCFirst: {
		Code: TPMCCECCParameters, Name: "TPM2_ECC_Parameters", Since: "1.38", Attrs: AttrReads, ReadOnly: ReadOnlyAllows,
		Params:   []ParamSpec{{"curveID", "TPMI_ECC_CURVE"}},
		Response: []ParamSpec{{"parameters", "TPMS_ALGORITHM_DETAIL_ECC"}},
	},
	TPMCCZGen2Phase - TPMCCFirst: {
		Code: TPMCCZGen2Phase, Name: "TPM2_ZGen_2Phase", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyA", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"inQsB", "TPM2B_ECC_POINT"}, {"inQeB", "TPM2B_ECC_POINT"}, {"inScheme", "TPMI_ECC_KEY_EXCHANGE"}, {"counter", "UINT16"}},
		Response: []ParamSpec{{"outZ1", "TPM2B_ECC_POINT"}, {"outZ2", "TPM2B_ECC_POINT"}},
	},
	TPMCCECCEncrypt - TPMCCFirst: {
		Code: TPMCCECCEncrypt, Name: "TPM2_ECC_Encrypt", Since: "1.62-1.64", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleNone}},
		Params:   []ParamSpec{{"plainText", "TPM2B_MAX_BUFFER"}, {"inScheme", "TPMT_KDF_SCHEME+"}},
		Response: []ParamSpec{{"C1", "TPM2B_ECC_POINT"}, {"C2", "TPM2B_MAX_BUFFER"}, {"C3", "TPM2B_DIGEST"}},
	},
	TPMCCECCDecrypt - TPMCCFirst: {
		Code: TPMCCECCDecrypt, Name: "TPM2_ECC_Decrypt", Since: "1.62-1.64", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"C1", "TPM2B_ECC_POINT"}, {"C2", "TPM2B_MAX_BUFFER"}, {"C3", "TPM2B_DIGEST"}, {"inScheme", "TPMT_KDF_SCHEME+"}},
		Response: []ParamSpec{{"plainText", "TPM2B_MAX_BUFFER"}},
	},
	TPMCCEncapsulate - TPMCCFirst: {
		Code: TPMCCEncapsulate, Name: "TPM2_Encapsulate", Since: "1.85", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleNone}},
		Response: []ParamSpec{{"sharedSecret", "TPM2B_SHARED_SECRET"}, {"ciphertext", "TPM2B_KEM_CIPHERTEXT"}},
	},
	TPMCCDecapsulate - TPMCCFirst: {
		Code: TPMCCDecapsulate, Name: "TPM2_Decapsulate", Since: "1.85", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"ciphertext", "TPM2B_KEM_CIPHERTEXT"}},
		Response: []ParamSpec{{"sharedSecret", "TPM2B_SHARED_SECRET"}},
	},
	TPMCCEncryptDecrypt - TPMCCFirst: {
		Code: TPMCCEncryptDecrypt, Name: "TPM2_EncryptDecrypt", Since: "1.38", Attrs: AttrDeprecated | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"decrypt", "TPMI_YES_NO"}, {"mode", "TPMI_ALG_CIPHER_MODE+"}, {"ivIn", "TPM2B_IV"}, {"inData", "TPM2B_MAX_BUFFER"}},
		Response: []ParamSpec{{"outData", "TPM2B_MAX_BUFFER"}, {"ivOut", "TPM2B_IV"}},
	},
	TPMCCEncryptDecrypt2 - TPMCCFirst: {
		Code: TPMCCEncryptDecrypt2, Name: "TPM2_EncryptDecrypt2", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"inData", "TPM2B_MAX_BUFFER"}, {"decrypt", "TPMI_YES_NO"}, {"mode", "TPMI_ALG_CIPHER_MODE+"}, {"ivIn", "TPM2B_IV"}},
		Response: []ParamSpec{{"outData", "TPM2B_MAX_BUFFER"}, {"ivOut", "TPM2B_IV"}},
	},
	TPMCCHash - TPMCCFirst: {
		Code: TPMCCHash, Name: "TPM2_Hash", Since: "1.38", Attrs: AttrReads, ReadOnly: ReadOnlyAllows,
		Params:   []ParamSpec{{"data", "TPM2B_MAX_BUFFER"}, {"hashAlg", "TPMI_ALG_HASH"}, {"hierarchy", "TPMI_RH_HIERARCHY"}},
		Response: []ParamSpec{{"outHash", "TPM2B_DIGEST"}, {"validation", "TPMT_TK_HASHCHECK"}},
	},
	TPMCCMAC - TPMCCFirst: {
		Code: TPMCCMAC, Name: "TPM2_MAC", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"handle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"buffer", "TPM2B_MAX_BUFFER"}, {"inScheme", "TPMI_ALG_MAC_SCHEME+"}},
		Response: []ParamSpec{{"outMAC", "TPM2B_DIGEST"}},
	},
	TPMCCGetRandom - TPMCCFirst: {
		Code: TPMCCGetRandom, Name: "TPM2_GetRandom", Since: "1.38", Attrs: AttrReads, ReadOnly: ReadOnlyAllows,
		Params:   []ParamSpec{{"bytesRequested", "UINT16"}},
		Response: []ParamSpec{{"randomBytes", "TPM2B_DIGEST"}},
	},
	TPMCCStirRandom - TPMCCFirst: {
		Code: TPMCCStirRandom, Name: "TPM2_StirRandom", Since: "1.38", Attrs: AttrNV | AttrReads, ReadOnly: ReadOnlyAllows,
		Params: []ParamSpec{{"inData", "TPM2B_SENSITIVE_DATA"}},
	},
	TPMCCMACStart - TPMCCFirst: {
		Code: TPMCCMACStart, Name: "TPM2_MAC_Start", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:        []HandleSpec{{"handle", TPMIDHObject, false, RoleUser}},
		Params:         []ParamSpec{{"auth", "TPM2B_AUTH"}, {"inScheme", "TPMI_ALG_MAC_SCHEME+"}},
		ResponseHandle: &HandleSpec{"sequenceHandle", TPMIDHObject, false, RoleNone},
	},
	TPMCCHashSequenceStart - TPMCCFirst: {
		Code: TPMCCHashSequenceStart, Name: "TPM2_HashSequenceStart", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Params:         []ParamSpec{{"auth", "TPM2B_AUTH"}, {"hashAlg", "TPMI_ALG_HASH+"}},
		ResponseHandle: &HandleSpec{"sequenceHandle", TPMIDHObject, false, RoleNone},
	},
	TPMCCSignSequenceStart - TPMCCFirst: {
		Code: TPMCCSignSequenceStart, Name: "TPM2_SignSequenceStart", Since: "1.85", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:        []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleNone}},
		Params:         []ParamSpec{{"auth", "TPM2B_AUTH"}, {"context", "TPM2B_SIGNATURE_CTX"}},
		ResponseHandle: &HandleSpec{"sequenceHandle", TPMIDHObject, false, RoleNone},
	},
	TPMCCVerifySequenceStart - TPMCCFirst: {
		Code: TPMCCVerifySequenceStart, Name: "TPM2_VerifySequenceStart", Since: "1.85", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:        []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleNone}},
		Params:         []ParamSpec{{"auth", "TPM2B_AUTH"}, {"hint", "TPM2B_SIGNATURE_HINT"}, {"context", "TPM2B_SIGNATURE_CTX"}},
		ResponseHandle: &HandleSpec{"sequenceHandle", TPMIDHObject, false, RoleNone},
	},
	TPMCCSequenceUpdate - TPMCCFirst: {
		Code: TPMCCSequenceUpdate, Name: "TPM2_SequenceUpdate", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"sequenceHandle", TPMIDHObject, false, RoleUser}},
		Params:  []ParamSpec{{"buffer", "TPM2B_MAX_BUFFER"}},
	},
	TPMCCSequenceComplete - TPMCCFirst: {
		Code: TPMCCSequenceComplete, Name: "TPM2_SequenceComplete", Since: "1.38", Attrs: AttrFlushed | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"sequenceHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"buffer", "TPM2B_MAX_BUFFER"}, {"hierarchy", "TPMI_RH_HIERARCHY"}},
		Response: []ParamSpec{{"result", "TPM2B_DIGEST"}, {"validation", "TPMT_TK_HASHCHECK"}},
	},
	TPMCCEventSequenceComplete - TPMCCFirst: {
		Code: TPMCCEventSequenceComplete, Name: "TPM2_EventSequenceComplete", Since: "1.38", Attrs: AttrNV | AttrFlushed | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"pcrHandle", TPMIDHPCR, true, RoleUser}, {"sequenceHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"buffer", "TPM2B_MAX_BUFFER"}},
		Response: []ParamSpec{{"results", "TPML_DIGEST_VALUES"}},
	},
	TPMCCCertify - TPMCCFirst: {
		Code: TPMCCCertify, Name: "TPM2_Certify", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"objectHandle", TPMIDHObject, false, RoleAdmin}, {"signHandle", TPMIDHObject, true, RoleUser}},
		Params:   []ParamSpec{{"qualifyingData", "TPM2B_DATA"}, {"inScheme", "TPMT_SIG_SCHEME+"}},
		Response: []ParamSpec{{"certifyInfo", "TPM2B_ATTEST"}, {"signature", "TPMT_SIGNATURE"}},
	},
	TPMCCCertifyCreation - TPMCCFirst: {
		Code: TPMCCCertifyCreation, Name: "TPM2_CertifyCreation", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"signHandle", TPMIDHObject, true, RoleUser}, {"objectHandle", TPMIDHObject, false, RoleNone}},
		Params:   []ParamSpec{{"qualifyingData", "TPM2B_DATA"}, {"creationHash", "TPM2B_DIGEST"}, {"inScheme", "TPMT_SIG_SCHEME+"}, {"creationTicket", "TPMT_TK_CREATION"}},
		Response: []ParamSpec{{"certifyInfo", "TPM2B_ATTEST"}, {"signature", "TPMT_SIGNATURE"}},
	},
	TPMCCQuote - TPMCCFirst: {
		Code: TPMCCQuote, Name: "TPM2_Quote", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"signHandle", TPMIDHObject, true, RoleUser}},
		Params:   []ParamSpec{{"qualifyingData", "TPM2B_DATA"}, {"inScheme", "TPMT_SIG_SCHEME+"}, {"PCRselect", "TPML_PCR_SELECTION"}},
		Response: []ParamSpec{{"quoted", "TPM2B_ATTEST"}, {"signature", "TPMT_SIGNATURE"}},
	},
	TPMCCGetSessionAuditDigest - TPMCCFirst: {
		Code: TPMCCGetSessionAuditDigest, Name: "TPM2_GetSessionAuditDigest", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"privacyAdminHandle", TPMIRHEndorsement, false, RoleUser}, {"signHandle", TPMIDHObject, true, RoleUser}, {"sessionHandle", TPMISHHMAC, false, RoleNone}},
		Params:   []ParamSpec{{"qualifyingData", "TPM2B_DATA"}, {"inScheme", "TPMT_SIG_SCHEME+"}},
		Response: []ParamSpec{{"auditInfo", "TPM2B_ATTEST"}, {"signature", "TPMT_SIGNATURE"}},
	},
	TPMCCGetCommandAuditDigest - TPMCCFirst: {
		Code: TPMCCGetCommandAuditDigest, Name: "TPM2_GetCommandAuditDigest", Since: "1.38", Attrs: AttrNV | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"privacyHandle", TPMIRHEndorsement, false, RoleUser}, {"signHandle", TPMIDHObject, true, RoleUser}},
		Params:   []ParamSpec{{"qualifyingData", "TPM2B_DATA"}, {"inScheme", "TPMT_SIG_SCHEME+"}},
		Response: []ParamSpec{{"auditInfo", "TPM2B_ATTEST"}, {"signature", "TPMT_SIGNATURE"}},
	},
	TPMCCGetTime - TPMCCFirst: {
		Code: TPMCCGetTime, Name: "TPM2_GetTime", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"privacyAdminHandle", TPMIRHEndorsement, false, RoleUser}, {"signHandle", TPMIDHObject, true, RoleUser}},
		Params:   []ParamSpec{{"qualifyingData", "TPM2B_DATA"}, {"inScheme", "TPMT_SIG_SCHEME+"}},
		Response: []ParamSpec{{"timeInfo", "TPM2B_ATTEST"}, {"signature", "TPMT_SIGNATURE"}},
	},
	TPMCCCertifyX509 - TPMCCFirst: {
		Code: TPMCCCertifyX509, Name: "TPM2_CertifyX509", Since: "1.59", Attrs: AttrDeprecated | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"objectHandle", TPMIDHObject, false, RoleAdmin}, {"signHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"reserved", "TPM2B_DATA"}, {"inScheme", "TPMT_SIG_SCHEME+"}, {"partialCertificate", "TPM2B_MAX_BUFFER"}},
		Response: []ParamSpec{{"addedToCertificate", "TPM2B_MAX_BUFFER"}, {"tbsDigest", "TPM2B_DIGEST"}, {"signature", "TPMT_SIGNATURE"}},
	},
	TPMCCCommit - TPMCCFirst: {
		Code: TPMCCCommit, Name: "TPM2_Commit", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"signHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"P1", "TPM2B_ECC_POINT"}, {"s2", "TPM2B_SENSITIVE_DATA"}, {"y2", "TPM2B_ECC_PARAMETER"}},
		Response: []ParamSpec{{"K", "TPM2B_ECC_POINT"}, {"L", "TPM2B_ECC_POINT"}, {"E", "TPM2B_ECC_POINT"}, {"counter", "UINT16"}},
	},
	TPMCCECEphemeral - TPMCCFirst: {
		Code: TPMCCECEphemeral, Name: "TPM2_EC_Ephemeral", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Params:   []ParamSpec{{"curveID", "TPMI_ECC_CURVE"}},
		Response: []ParamSpec{{"Q", "TPM2B_ECC_POINT"}, {"counter", "UINT16"}},
	},
	TPMCCVerifySignature - TPMCCFirst: {
		Code: TPMCCVerifySignature, Name: "TPM2_VerifySignature", Since: "1.38", Attrs: AttrDeprecated | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleNone}},
		Params:   []ParamSpec{{"digest", "TPM2B_DIGEST"}, {"signature", "TPMT_SIGNATURE"}},
		Response: []ParamSpec{{"validation", "TPMT_TK_VERIFIED"}},
	},
	TPMCCVerifySequenceComplete - TPMCCFirst: {
		Code: TPMCCVerifySequenceComplete, Name: "TPM2_VerifySequenceComplete", Since: "1.85", Attrs: AttrFlushed | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"sequenceHandle", TPMIDHObject, false, RoleUser}, {"keyHandle", TPMIDHObject, false, RoleNone}},
		Params:   []ParamSpec{{"signature", "TPMT_SIGNATURE"}},
		Response: []ParamSpec{{"validation", "TPMT_TK_VERIFIED"}},
	},
	TPMCCVerifyDigestSignature - TPMCCFirst: {
		Code: TPMCCVerifyDigestSignature, Name: "TPM2_VerifyDigestSignature", Since: "1.85", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleNone}},
		Params:   []ParamSpec{{"context", "TPM2B_SIGNATURE_CTX"}, {"digest", "TPM2B_DIGEST"}, {"signature", "TPMT_SIGNATURE"}},
		Response: []ParamSpec{{"validation", "TPMT_TK_VERIFIED"}},
	},
	TPMCCSign - TPMCCFirst: {
		Code: TPMCCSign, Name: "TPM2_Sign", Since: "1.38", Attrs: AttrDeprecated | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"digest", "TPM2B_DIGEST"}, {"inScheme", "TPMT_SIG_SCHEME+"}, {"validation", "TPMT_TK_HASHCHECK"}},
		Response: []ParamSpec{{"signature", "TPMT_SIGNATURE"}},
	},
	TPMCCSignSequenceComplete - TPMCCFirst: {
		Code: TPMCCSignSequenceComplete, Name: "TPM2_SignSequenceComplete", Since: "1.85", Attrs: AttrFlushed | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"sequenceHandle", TPMIDHObject, false, RoleUser}, {"keyHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"buffer", "TPM2B_MAX_BUFFER"}},
		Response: []ParamSpec{{"signature", "TPMT_SIGNATURE"}},
	},
	TPMCCSignDigest - TPMCCFirst: {
		Code: TPMCCSignDigest, Name: "TPM2_SignDigest", Since: "1.85", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"keyHandle", TPMIDHObject, false, RoleUser}},
		Params:   []ParamSpec{{"context", "TPM2B_SIGNATURE_CTX"}, {"digest", "TPM2B_DIGEST"}, {"validation", "TPMT_TK_HASHCHECK"}},
		Response: []ParamSpec{{"signature", "TPMT_SIGNATURE"}},
	},
	TPMCCSetCommandCodeAuditStatus - TPMCCFirst: {
		Code: TPMCCSetCommandCodeAuditStatus, Name: "TPM2_SetCommandCodeAuditStatus", Since: "1.38", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"auth", TPMIRHProvision, false, RoleUser}},
		Params:  []ParamSpec{{"auditAlg", "TPMI_ALG_HASH+"}, {"setList", "TPML_CC"}, {"clearList", "TPML_CC"}},
	},
	TPMCCPCRExtend - TPMCCFirst: {
		Code: TPMCCPCRExtend, Name: "TPM2_PCR_Extend", Since: "1.38", Attrs: AttrNV | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"pcrHandle", TPMIDHPCR, true, RoleUser}},
		Params:  []ParamSpec{{"digests", "TPML_DIGEST_VALUES"}},
	},
	TPMCCPCREvent - TPMCCFirst: {
		Code: TPMCCPCREvent, Name: "TPM2_PCR_Event", Since: "1.38", Attrs: AttrNV | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"pcrHandle", TPMIDHPCR, true, RoleUser}},
		Params:   []ParamSpec{{"eventData", "TPM2B_EVENT"}},
		Response: []ParamSpec{{"digests", "TPML_DIGEST_VALUES"}},
	},
	TPMCCPCRRead - TPMCCFirst: {
		Code: TPMCCPCRRead, Name: "TPM2_PCR_Read", Since: "1.38", Attrs: AttrReads, ReadOnly: ReadOnlyAllows,
		Params:   []ParamSpec{{"pcrSelectionIn", "TPML_PCR_SELECTION"}},
		Response: []ParamSpec{{"pcrUpdateCounter", "UINT32"}, {"pcrSelectionOut", "TPML_PCR_SELECTION"}, {"pcrValues", "TPML_DIGEST"}},
	},
	TPMCCPCRAllocate - TPMCCFirst: {
		Code: TPMCCPCRAllocate, Name: "TPM2_PCR_Allocate", Since: "1.38", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles:  []HandleSpec{{"authHandle", TPMIRHPlatform, false, RoleUser}},
		Params:   []ParamSpec{{"pcrAllocation", "TPML_PCR_SELECTION"}},
		Response: []ParamSpec{{"allocationSuccess", "TPMI_YES_NO"}, {"maxPCR", "UINT32"}, {"sizeNeeded", "UINT32"}, {"sizeAvailable", "UINT32"}},
	},
	TPMCCPCRSetAuthPolicy - TPMCCFirst: {
		Code: TPMCCPCRSetAuthPolicy, Name: "TPM2_PCR_SetAuthPolicy", Since: "1.38", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHPlatform, false, RoleUser}},
		Params:  []ParamSpec{{"authPolicy", "TPM2B_DIGEST"}, {"hashAlg", "TPMI_ALG_HASH+"}, {"pcrNum", "TPMI_DH_PCR"}},
	},
	TPMCCPCRSetAuthValue - TPMCCFirst: {
		Code: TPMCCPCRSetAuthValue, Name: "TPM2_PCR_SetAuthValue", Since: "1.38", ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"pcrHandle", TPMIDHPCR, false, RoleUser}},
		Params:  []ParamSpec{{"auth", "TPM2B_DIGEST"}},
	},
	TPMCCPCRReset - TPMCCFirst: {
		Code: TPMCCPCRReset, Name: "TPM2_PCR_Reset", Since: "1.38", Attrs: AttrNV | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"pcrHandle", TPMIDHPCR, false, RoleUser}},
	},
	TPMCCPolicySigned - TPMCCFirst: {
		Code: TPMCCPolicySigned, Name: "TPM2_PolicySigned", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"authObject", TPMIDHObject, false, RoleNone}, {"policySession", TPMISHPolicy, false, RoleNone}},
		Params:   []ParamSpec{{"nonceTPM", "TPM2B_NONCE"}, {"cpHashA", "TPM2B_DIGEST"}, {"policyRef", "TPM2B_NONCE"}, {"expiration", "INT32"}, {"auth", "TPMT_SIGNATURE"}},
		Response: []ParamSpec{{"timeout", "TPM2B_TIMEOUT"}, {"policyTicket", "TPMT_TK_AUTH"}},
	},
	TPMCCPolicySecret - TPMCCFirst: {
		Code: TPMCCPolicySecret, Name: "TPM2_PolicySecret", Since: "1.38", Attrs: AttrNVRead | AttrVolatile, ReadOnly: ReadOnlyByIndex,
		Handles:  []HandleSpec{{"authHandle", TPMIDHEntity, false, RoleUser}, {"policySession", TPMISHPolicy, false, RoleNone}},
		Params:   []ParamSpec{{"nonceTPM", "TPM2B_NONCE"}, {"cpHashA", "TPM2B_DIGEST"}, {"policyRef", "TPM2B_NONCE"}, {"expiration", "INT32"}},
		Response: []ParamSpec{{"timeout", "TPM2B_TIMEOUT"}, {"policyTicket", "TPMT_TK_AUTH"}},
	},
	TPMCCPolicyTicket - TPMCCFirst: {
		Code: TPMCCPolicyTicket, Name: "TPM2_PolicyTicket", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"timeout", "TPM2B_TIMEOUT"}, {"cpHashA", "TPM2B_DIGEST"}, {"policyRef", "TPM2B_NONCE"}, {"authName", "TPM2B_NAME"}, {"ticket", "TPMT_TK_AUTH"}},
	},
	TPMCCPolicyOR - TPMCCFirst: {
		Code: TPMCCPolicyOR, Name: "TPM2_PolicyOR", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"pHashList", "TPML_DIGEST"}},
	},
	TPMCCPolicyPCR - TPMCCFirst: {
		Code: TPMCCPolicyPCR, Name: "TPM2_PolicyPCR", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"pcrDigest", "TPM2B_DIGEST"}, {"pcrs", "TPML_PCR_SELECTION"}},
	},
	TPMCCPolicyLocality - TPMCCFirst: {
		Code: TPMCCPolicyLocality, Name: "TPM2_PolicyLocality", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"locality", "TPMA_LOCALITY"}},
	},
	TPMCCPolicyNV - TPMCCFirst: {
		Code: TPMCCPolicyNV, Name: "TPM2_PolicyNV", Since: "1.38", Attrs: AttrNVRead | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"authHandle", TPMIRHNVAuth, false, RoleUser}, {"nvIndex", TPMIRHNVIndex, false, RoleNone}, {"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"operandB", "TPM2B_OPERAND"}, {"offset", "UINT16"}, {"operation", "TPM_EO"}},
	},
	TPMCCPolicyCounterTimer - TPMCCFirst: {
		Code: TPMCCPolicyCounterTimer, Name: "TPM2_PolicyCounterTimer", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"operandB", "TPM2B_OPERAND"}, {"offset", "UINT16"}, {"operation", "TPM_EO"}},
	},
	TPMCCPolicyCommandCode - TPMCCFirst: {
		Code: TPMCCPolicyCommandCode, Name: "TPM2_PolicyCommandCode", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"code", "TPM_CC"}},
	},
	TPMCCPolicyPhysicalPresence - TPMCCFirst: {
		Code: TPMCCPolicyPhysicalPresence, Name: "TPM2_PolicyPhysicalPresence", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
	},
	TPMCCPolicyCpHash - TPMCCFirst: {
		Code: TPMCCPolicyCpHash, Name: "TPM2_PolicyCpHash", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"cpHashA", "TPM2B_DIGEST"}},
	},
	TPMCCPolicyNameHash - TPMCCFirst: {
		Code: TPMCCPolicyNameHash, Name: "TPM2_PolicyNameHash", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"nameHash", "TPM2B_DIGEST"}},
	},
	TPMCCPolicyDuplicationSelect - TPMCCFirst: {
		Code: TPMCCPolicyDuplicationSelect, Name: "TPM2_PolicyDuplicationSelect", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"objectName", "TPM2B_NAME"}, {"newParentName", "TPM2B_NAME"}, {"includeObject", "TPMI_YES_NO"}},
	},
	TPMCCPolicyAuthorize - TPMCCFirst: {
		Code: TPMCCPolicyAuthorize, Name: "TPM2_PolicyAuthorize", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"approvedPolicy", "TPM2B_DIGEST"}, {"policyRef", "TPM2B_NONCE"}, {"keySign", "TPM2B_NAME"}, {"checkTicket", "TPMT_TK_VERIFIED"}},
	},
	TPMCCPolicyAuthValue - TPMCCFirst: {
		Code: TPMCCPolicyAuthValue, Name: "TPM2_PolicyAuthValue", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
	},
	TPMCCPolicyPassword - TPMCCFirst: {
		Code: TPMCCPolicyPassword, Name: "TPM2_PolicyPassword", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
	},
	TPMCCPolicyGetDigest - TPMCCFirst: {
		Code: TPMCCPolicyGetDigest, Name: "TPM2_PolicyGetDigest", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Response: []ParamSpec{{"policyDigest", "TPM2B_DIGEST"}},
	},
	TPMCCPolicyNvWritten - TPMCCFirst: {
		Code: TPMCCPolicyNvWritten, Name: "TPM2_PolicyNvWritten", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"writtenSet", "TPMI_YES_NO"}},
	},
	TPMCCPolicyTemplate - TPMCCFirst: {
		Code: TPMCCPolicyTemplate, Name: "TPM2_PolicyTemplate", Since: "1.38", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"templateHash", "TPM2B_DIGEST"}},
	},
	TPMCCPolicyAuthorizeNV - TPMCCFirst: {
		Code: TPMCCPolicyAuthorizeNV, Name: "TPM2_PolicyAuthorizeNV", Since: "1.38", Attrs: AttrNVRead | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"authHandle", TPMIRHNVAuth, false, RoleUser}, {"nvIndex", TPMIRHNVIndex, false, RoleNone}, {"policySession", TPMISHPolicy, false, RoleNone}},
	},
	TPMCCPolicyCapability - TPMCCFirst: {
		Code: TPMCCPolicyCapability, Name: "TPM2_PolicyCapability", Since: "1.83", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"operandB", "TPM2B_OPERAND"}, {"offset", "UINT16"}, {"operation", "TPM_EO"}, {"capability", "TPM_CAP"}, {"property", "UINT32"}},
	},
	TPMCCPolicyParameters - TPMCCFirst: {
		Code: TPMCCPolicyParameters, Name: "TPM2_PolicyParameters", Since: "1.83", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"pHash", "TPM2B_DIGEST"}},
	},
	TPMCCPolicyTransportSPDM - TPMCCFirst: {
		Code: TPMCCPolicyTransportSPDM, Name: "TPM2_PolicyTransportSPDM", Since: "1.84", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"reqKeyName", "TPM2B_NAME"}, {"tpmKeyName", "TPM2B_NAME"}},
	},
	TPMCCCreatePrimary - TPMCCFirst: {
		Code: TPMCCCreatePrimary, Name: "TPM2_CreatePrimary", Since: "1.38", Attrs: AttrPP | AttrVolatile, ReadOnly: ReadOnlyRefuses,
		Handles:        []HandleSpec{{"primaryHandle", TPMIRHHierarchy, false, RoleUser}},
		Params:         []ParamSpec{{"inSensitive", "TPM2B_SENSITIVE_CREATE"}, {"inPublic", "TPM2B_PUBLIC"}, {"outsideInfo", "TPM2B_DATA"}, {"creationPCR", "TPML_PCR_SELECTION"}},
		ResponseHandle: &HandleSpec{"objectHandle", TPMHandleAny, false, RoleNone},
		Response:       []ParamSpec{{"outPublic", "TPM2B_PUBLIC"}, {"creationData", "TPM2B_CREATION_DATA"}, {"creationHash", "TPM2B_DIGEST"}, {"creationTicket", "TPMT_TK_CREATION"}, {"name", "TPM2B_NAME"}},
	},
	TPMCCHierarchyControl - TPMCCFirst: {
		Code: TPMCCHierarchyControl, Name: "TPM2_HierarchyControl", Since: "1.38", Attrs: AttrNV | AttrExtensive | AttrPP | AttrVolatile, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHBaseHierarchy, false, RoleUser}},
		Params:  []ParamSpec{{"enable", "TPMI_RH_ENABLES"}, {"state", "TPMI_YES_NO"}},
	},
	TPMCCSetPrimaryPolicy - TPMCCFirst: {
		Code: TPMCCSetPrimaryPolicy, Name: "TPM2_SetPrimaryPolicy", Since: "1.38", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHHierarchyPolicy, false, RoleUser}},
		Params:  []ParamSpec{{"authPolicy", "TPM2B_DIGEST"}, {"hashAlg", "TPMI_ALG_HASH+"}},
	},
	TPMCCChangePPS - TPMCCFirst: {
		Code: TPMCCChangePPS, Name: "TPM2_ChangePPS", Since: "1.38", Attrs: AttrNV | AttrExtensive | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHPlatform, false, RoleUser}},
	},
	TPMCCChangeEPS - TPMCCFirst: {
		Code: TPMCCChangeEPS, Name: "TPM2_ChangeEPS", Since: "1.38", Attrs: AttrNV | AttrExtensive | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHPlatform, false, RoleUser}},
	},
	TPMCCClear - TPMCCFirst: {
		Code: TPMCCClear, Name: "TPM2_Clear", Since: "1.38", Attrs: AttrNV | AttrExtensive | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHClear, false, RoleUser}},
	},
	TPMCCClearControl - TPMCCFirst: {
		Code: TPMCCClearControl, Name: "TPM2_ClearControl", Since: "1.38", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"auth", TPMIRHClear, false, RoleUser}},
		Params:  []ParamSpec{{"disable", "TPMI_YES_NO"}},
	},
	TPMCCHierarchyChangeAuth - TPMCCFirst: {
		Code: TPMCCHierarchyChangeAuth, Name: "TPM2_HierarchyChangeAuth", Since: "1.38", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHHierarchyAuth, false, RoleUser}},
		Params:  []ParamSpec{{"newAuth", "TPM2B_AUTH"}},
	},
	TPMCCReadOnlyControl - TPMCCFirst: {
		Code: TPMCCReadOnlyControl, Name: "TPM2_ReadOnlyControl", Since: "1.84", Attrs: AttrPP | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"authHandle", TPMIRHPlatform, false, RoleUser}},
		Params:  []ParamSpec{{"state", "TPMI_YES_NO"}},
	},
	TPMCCDictionaryAttackLockReset - TPMCCFirst: {
		Code: TPMCCDictionaryAttackLockReset, Name: "TPM2_DictionaryAttackLockReset", Since: "1.38", Attrs: AttrNV, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"lockHandle", TPMIRHLockout, false, RoleUser}},
	},
	TPMCCDictionaryAttackParameters - TPMCCFirst: {
		Code: TPMCCDictionaryAttackParameters, Name: "TPM2_DictionaryAttackParameters", Since: "1.38", Attrs: AttrNV, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"lockHandle", TPMIRHLockout, false, RoleUser}},
		Params:  []ParamSpec{{"newMaxTries", "UINT32"}, {"newRecoveryTime", "UINT32"}, {"lockoutRecovery", "UINT32"}},
	},
	TPMCCPPCommands - TPMCCFirst: {
		Code: TPMCCPPCommands, Name: "TPM2_PP_Commands", Since: "1.38", Attrs: AttrNV | AttrPPRequired, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"auth", TPMIRHPlatform, false, RoleUser}},
		Params:  []ParamSpec{{"setList", "TPML_CC"}, {"clearList", "TPML_CC"}},
	},
	TPMCCSetAlgorithmSet - TPMCCFirst: {
		Code: TPMCCSetAlgorithmSet, Name: "TPM2_SetAlgorithmSet", Since: "1.38", Attrs: AttrNV, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHPlatform, false, RoleUser}},
		Params:  []ParamSpec{{"algorithmSet", "UINT32"}},
	},
	TPMCCFieldUpgradeStart - TPMCCFirst: {
		Code: TPMCCFieldUpgradeStart, Name: "TPM2_FieldUpgradeStart", Since: "1.38", Attrs: AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authorization", TPMIRHPlatform, false, RoleAdmin}, {"keyHandle", TPMIDHObject, false, RoleNone}},
		Params:  []ParamSpec{{"fuDigest", "TPM2B_DIGEST"}, {"manifestSignature", "TPMT_SIGNATURE"}},
	},
	TPMCCFieldUpgradeData - TPMCCFirst: {
		Code: TPMCCFieldUpgradeData, Name: "TPM2_FieldUpgradeData", Since: "1.38", Attrs: AttrNV, ReadOnly: ReadOnlyRefuses,
		Params:   []ParamSpec{{"fuData", "TPM2B_MAX_BUFFER"}},
		Response: []ParamSpec{{"nextDigest", "TPMT_HA+"}, {"firstDigest", "TPMT_HA"}},
	},
	TPMCCFirmwareRead - TPMCCFirst: {
		Code: TPMCCFirmwareRead, Name: "TPM2_FirmwareRead", Since: "1.38", ReadOnly: ReadOnlyAllows,
		Params:   []ParamSpec{{"sequenceNumber", "UINT32"}},
		Response: []ParamSpec{{"fuData", "TPM2B_MAX_BUFFER"}},
	},
	TPMCCContextSave - TPMCCFirst: {
		Code: TPMCCContextSave, Name: "TPM2_ContextSave", Since: "1.38", Attrs: AttrNoSessions | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"saveHandle", TPMIDHContext, false, RoleNone}},
		Response: []ParamSpec{{"context", "TPMS_CONTEXT"}},
	},
	TPMCCContextLoad - TPMCCFirst: {
		Code: TPMCCContextLoad, Name: "TPM2_ContextLoad", Since: "1.38", Attrs: AttrNoSessions | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Params:         []ParamSpec{{"context", "TPMS_CONTEXT"}},
		ResponseHandle: &HandleSpec{"loadedHandle", TPMIDHContext, false, RoleNone},
	},
	TPMCCFlushContext - TPMCCFirst: {
		Code: TPMCCFlushContext, Name: "TPM2_FlushContext", Since: "1.38", Attrs: AttrNoSessions | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Params: []ParamSpec{{"flushHandle", "TPMI_DH_CONTEXT"}},
	},
	TPMCCEvictControl - TPMCCFirst: {
		Code: TPMCCEvictControl, Name: "TPM2_EvictControl", Since: "1.38", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"auth", TPMIRHProvision, false, RoleUser}, {"objectHandle", TPMIDHObject, false, RoleNone}},
		Params:  []ParamSpec{{"persistentHandle", "TPMI_DH_PERSISTENT"}},
	},
	TPMCCReadClock - TPMCCFirst: {
		Code: TPMCCReadClock, Name: "TPM2_ReadClock", Since: "1.38", Attrs: AttrReads, ReadOnly: ReadOnlyAllows,
		Response: []ParamSpec{{"currentTime", "TPMS_TIME_INFO"}},
	},
	TPMCCClockSet - TPMCCFirst: {
		Code: TPMCCClockSet, Name: "TPM2_ClockSet", Since: "1.38", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"auth", TPMIRHProvision, false, RoleUser}},
		Params:  []ParamSpec{{"newTime", "UINT64"}},
	},
	TPMCCClockRateAdjust - TPMCCFirst: {
		Code: TPMCCClockRateAdjust, Name: "TPM2_ClockRateAdjust", Since: "1.38", Attrs: AttrPP | AttrVolatile, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"auth", TPMIRHProvision, false, RoleUser}},
		Params:  []ParamSpec{{"rateAdjust", "TPM_CLOCK_ADJUST"}},
	},
	TPMCCGetCapability - TPMCCFirst: {
		Code: TPMCCGetCapability, Name: "TPM2_GetCapability", Since: "1.38", Attrs: AttrReads, ReadOnly: ReadOnlyAllows,
		Params:   []ParamSpec{{"capability", "TPM_CAP"}, {"property", "UINT32"}, {"propertyCount", "UINT32"}},
		Response: []ParamSpec{{"moreData", "TPMI_YES_NO"}, {"capabilityData", "TPMS_CAPABILITY_DATA"}},
	},
	TPMCCTestParms - TPMCCFirst: {
		Code: TPMCCTestParms, Name: "TPM2_TestParms", Since: "1.38", Attrs: AttrReads, ReadOnly: ReadOnlyAllows,
		Params: []ParamSpec{{"parameters", "TPMT_PUBLIC_PARMS"}},
	},
	TPMCCSetCapability - TPMCCFirst: {
		Code: TPMCCSetCapability, Name: "TPM2_SetCapability", Since: "1.83", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHHierarchyAuth, true, RoleUser}},
		Params:  []ParamSpec{{"setCapabilityData", "TPM2B_SET_CAPABILITY_DATA"}},
	},
	TPMCCNVDefineSpace - TPMCCFirst: {
		Code: TPMCCNVDefineSpace, Name: "TPM2_NV_DefineSpace", Since: "1.38", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHProvision, false, RoleUser}},
		Params:  []ParamSpec{{"auth", "TPM2B_AUTH"}, {"publicInfo", "TPM2B_NV_PUBLIC"}},
	},
	TPMCCNVUndefineSpace - TPMCCFirst: {
		Code: TPMCCNVUndefineSpace, Name: "TPM2_NV_UndefineSpace", Since: "1.38", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHProvision, false, RoleUser}, {"nvIndex", TPMIRHNVDefinedIndex, false, RoleNone}},
	},
	TPMCCNVUndefineSpaceSpecial - TPMCCFirst: {
		Code: TPMCCNVUndefineSpaceSpecial, Name: "TPM2_NV_UndefineSpaceSpecial", Since: "1.38", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"nvIndex", TPMIRHNVDefinedIndex, false, RoleAdmin}, {"platform", TPMIRHPlatform, false, RoleUser}},
	},
	TPMCCNVReadPublic - TPMCCFirst: {
		Code: TPMCCNVReadPublic, Name: "TPM2_NV_ReadPublic", Since: "1.38", Attrs: AttrReads, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"nvIndex", TPMIRHNVLegacyIndex, false, RoleNone}},
		Response: []ParamSpec{{"nvPublic", "TPM2B_NV_PUBLIC"}, {"nvName", "TPM2B_NAME"}},
	},
	TPMCCNVWrite - TPMCCFirst: {
		Code: TPMCCNVWrite, Name: "TPM2_NV_Write", Since: "1.38", Attrs: AttrNV | AttrNVWrite, ReadOnly: ReadOnlyByIndex,
		Handles: []HandleSpec{{"authHandle", TPMIRHNVAuth, false, RoleUser}, {"nvIndex", TPMIRHNVIndex, false, RoleNone}},
		Params:  []ParamSpec{{"data", "TPM2B_MAX_NV_BUFFER"}, {"offset", "UINT16"}},
	},
	TPMCCNVIncrement - TPMCCFirst: {
		Code: TPMCCNVIncrement, Name: "TPM2_NV_Increment", Since: "1.38", Attrs: AttrNV | AttrNVWrite, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHNVAuth, false, RoleUser}, {"nvIndex", TPMIRHNVIndex, false, RoleNone}},
	},
	TPMCCNVExtend - TPMCCFirst: {
		Code: TPMCCNVExtend, Name: "TPM2_NV_Extend", Since: "1.38", Attrs: AttrNV | AttrNVWrite, ReadOnly: ReadOnlyByIndex,
		Handles: []HandleSpec{{"authHandle", TPMIRHNVAuth, false, RoleUser}, {"nvIndex", TPMIRHNVIndex, false, RoleNone}},
		Params:  []ParamSpec{{"data", "TPM2B_MAX_NV_BUFFER"}},
	},
	TPMCCNVSetBits - TPMCCFirst: {
		Code: TPMCCNVSetBits, Name: "TPM2_NV_SetBits", Since: "1.38", Attrs: AttrNV | AttrNVWrite, ReadOnly: ReadOnlyByIndex,
		Handles: []HandleSpec{{"authHandle", TPMIRHNVAuth, false, RoleUser}, {"nvIndex", TPMIRHNVIndex, false, RoleNone}},
		Params:  []ParamSpec{{"bits", "UINT64"}},
	},
	TPMCCNVWriteLock - TPMCCFirst: {
		Code: TPMCCNVWriteLock, Name: "TPM2_NV_WriteLock", Since: "1.38", Attrs: AttrNV | AttrNVWrite, ReadOnly: ReadOnlyByIndex,
		Handles: []HandleSpec{{"authHandle", TPMIRHNVAuth, false, RoleUser}, {"nvIndex", TPMIRHNVIndex, false, RoleNone}},
	},
	TPMCCNVGlobalWriteLock - TPMCCFirst: {
		Code: TPMCCNVGlobalWriteLock, Name: "TPM2_NV_GlobalWriteLock", Since: "1.38", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHProvision, false, RoleUser}},
	},
	TPMCCNVRead - TPMCCFirst: {
		Code: TPMCCNVRead, Name: "TPM2_NV_Read", Since: "1.38", Attrs: AttrNVRead | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"authHandle", TPMIRHNVAuth, false, RoleUser}, {"nvIndex", TPMIRHNVIndex, false, RoleNone}},
		Params:   []ParamSpec{{"size", "UINT16"}, {"offset", "UINT16"}},
		Response: []ParamSpec{{"data", "TPM2B_MAX_NV_BUFFER"}},
	},
	TPMCCNVReadLock - TPMCCFirst: {
		Code: TPMCCNVReadLock, Name: "TPM2_NV_ReadLock", Since: "1.38", Attrs: AttrNV | AttrNVRead, ReadOnly: ReadOnlyByIndex,
		Handles: []HandleSpec{{"authHandle", TPMIRHNVAuth, false, RoleUser}, {"nvIndex", TPMIRHNVIndex, false, RoleNone}},
	},
	TPMCCNVChangeAuth - TPMCCFirst: {
		Code: TPMCCNVChangeAuth, Name: "TPM2_NV_ChangeAuth", Since: "1.38", Attrs: AttrNV, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"nvIndex", TPMIRHNVIndex, false, RoleAdmin}},
		Params:  []ParamSpec{{"newAuth", "TPM2B_AUTH"}},
	},
	TPMCCNVCertify - TPMCCFirst: {
		Code: TPMCCNVCertify, Name: "TPM2_NV_Certify", Since: "1.38", Attrs: AttrNVRead | AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"signHandle", TPMIDHObject, true, RoleUser}, {"authHandle", TPMIRHNVAuth, false, RoleUser}, {"nvIndex", TPMIRHNVIndex, false, RoleNone}},
		Params:   []ParamSpec{{"qualifyingData", "TPM2B_DATA"}, {"inScheme", "TPMT_SIG_SCHEME+"}, {"size", "UINT16"}, {"offset", "UINT16"}},
		Response: []ParamSpec{{"certifyInfo", "TPM2B_ATTEST"}, {"signature", "TPMT_SIGNATURE"}},
	},
	TPMCCNVDefineSpace2 - TPMCCFirst: {
		Code: TPMCCNVDefineSpace2, Name: "TPM2_NV_DefineSpace2", Since: "1.83", Attrs: AttrNV | AttrPP, ReadOnly: ReadOnlyRefuses,
		Handles: []HandleSpec{{"authHandle", TPMIRHProvision, false, RoleUser}},
		Params:  []ParamSpec{{"auth", "TPM2B_AUTH"}, {"publicInfo", "TPM2B_NV_PUBLIC_2"}},
	},
	TPMCCNVReadPublic2 - TPMCCFirst: {
		Code: TPMCCNVReadPublic2, Name: "TPM2_NV_ReadPublic2", Since: "1.83", Attrs: AttrReads, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"nvIndex", TPMIRHNVIndex, false, RoleNone}},
		Response: []ParamSpec{{"nvPublic", "TPM2B_NV_PUBLIC_2"}, {"nvName", "TPM2B_NAME"}},
	},
	TPMCCACGetCapability - TPMCCFirst: {
		Code: TPMCCACGetCapability, Name: "TPM2_AC_GetCapability", Since: "1.59", Attrs: AttrDeprecated, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"ac", TPMIRHAC, false, RoleNone}},
		Params:   []ParamSpec{{"capability", "TPM_AT"}, {"count", "UINT32"}},
		Response: []ParamSpec{{"moreData", "TPMI_YES_NO"}, {"capabilitiesData", "TPML_AC_CAPABILITIES"}},
	},
	TPMCCACSend - TPMCCFirst: {
		Code: TPMCCACSend, Name: "TPM2_AC_Send", Since: "1.59", Attrs: AttrDeprecated | AttrNVRead, ReadOnly: ReadOnlyAllows,
		Handles:  []HandleSpec{{"sendObject", TPMIDHObject, false, RoleDup}, {"authHandle", TPMIRHNVAuth, false, RoleUser}, {"ac", TPMIRHAC, false, RoleNone}},
		Params:   []ParamSpec{{"acDataIn", "TPM2B_MAX_BUFFER"}},
		Response: []ParamSpec{{"acDataOut", "TPMS_AC_OUTPUT"}},
	},
	TPMCCPolicyACSendSelect - TPMCCFirst: {
		Code: TPMCCPolicyACSendSelect, Name: "TPM2_Policy_AC_SendSelect", Since: "1.59", Attrs: AttrDeprecated, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"policySession", TPMISHPolicy, false, RoleNone}},
		Params:  []ParamSpec{{"objectName", "TPM2B_NAME"}, {"authHandleName", "TPM2B_NAME"}, {"acName", "TPM2B_NAME"}, {"includeObject", "TPMI_YES_NO"}},
	},
	TPMCCACTSetTimeout - TPMCCFirst: {
		Code: TPMCCACTSetTimeout, Name: "TPM2_ACT_SetTimeout", Since: "1.59", Attrs: AttrVolatile, ReadOnly: ReadOnlyAllows,
		Handles: []HandleSpec{{"actHandle", TPMIRHACT, false, RoleUser}},
		Params:  []ParamSpec{{"startTimeout", "UINT32"}},
	},
}
