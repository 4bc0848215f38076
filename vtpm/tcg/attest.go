package tcg

// A TPMSClockInfo is the clock and the counters beside it (Part 2, Table 142).
type TPMSClockInfo struct {
	Clock        uint64 // milliseconds
	ResetCount   uint32
	RestartCount uint32
	Safe         bool
}

// Unmarshal reads a TPMS_CLOCK_INFO.
func (c *TPMSClockInfo) Unmarshal(r *Reader) {
	*c = TPMSClockInfo{r.Uint64(), r.Uint32(), r.Uint32(), r.YesNo()}
}

// Marshal appends c.
func (c *TPMSClockInfo) Marshal(w *Writer) {
	w.Uint64(c.Clock)
	w.Uint32(c.ResetCount)
	w.Uint32(c.RestartCount)
	w.YesNo(c.Safe)
}

// A TPMSTimeInfo is time and clock (Part 2, Table 143).
type TPMSTimeInfo struct {
	Time      uint64 // milliseconds
	ClockInfo TPMSClockInfo
}

// Unmarshal reads a TPMS_TIME_INFO.
func (t *TPMSTimeInfo) Unmarshal(r *Reader) {
	t.Time = r.Uint64()
	t.ClockInfo.Unmarshal(r)
}

// Marshal appends t.
func (t *TPMSTimeInfo) Marshal(w *Writer) {
	w.Uint64(t.Time)
	t.ClockInfo.Marshal(w)
}

// What a TPMS_ATTEST attests (Part 2, Tables 144 to 151).
type (
	// TPMSTimeAttestInfo is of TPM2_GetTime.
	TPMSTimeAttestInfo struct {
		Time            TPMSTimeInfo
		FirmwareVersion uint64
	}
	// TPMSCertifyInfo is of TPM2_Certify.
	TPMSCertifyInfo struct {
		Name, QualifiedName []byte
	}
	// TPMSQuoteInfo is of TPM2_Quote.
	TPMSQuoteInfo struct {
		PCRSelect TPMLPCRSelection
		PCRDigest []byte
	}
	// TPMSCommandAuditInfo is of TPM2_GetCommandAuditDigest.
	TPMSCommandAuditInfo struct {
		AuditCounter               uint64
		DigestAlg                  TPMAlgID
		AuditDigest, CommandDigest []byte
	}
	// TPMSSessionAuditInfo is of TPM2_GetSessionAuditDigest.
	TPMSSessionAuditInfo struct {
		ExclusiveSession bool
		SessionDigest    []byte
	}
	// TPMSCreationInfo is of TPM2_CertifyCreation.
	TPMSCreationInfo struct {
		ObjectName, CreationHash []byte
	}
	// TPMSNVCertifyInfo is of TPM2_NV_Certify.
	TPMSNVCertifyInfo struct {
		IndexName  []byte
		Offset     uint16
		NVContents []byte
	}
	// TPMSNVDigestCertifyInfo is of TPM2_NV_Certify with a size of zero.
	TPMSNVDigestCertifyInfo struct {
		IndexName, NVDigest []byte
	}
)

// A TPMSAttest is what the TPM signs about itself (Part 2, Table 154). Only
// the member that belongs to Type has a meaning.
type TPMSAttest struct {
	Magic           TPMGenerated
	Type            TPMST
	QualifiedSigner []byte
	ExtraData       []byte
	ClockInfo       TPMSClockInfo
	FirmwareVersion uint64

	Certify      TPMSCertifyInfo         // TPM_ST_ATTEST_CERTIFY
	Creation     TPMSCreationInfo        // TPM_ST_ATTEST_CREATION
	Quote        TPMSQuoteInfo           // TPM_ST_ATTEST_QUOTE
	CommandAudit TPMSCommandAuditInfo    // TPM_ST_ATTEST_COMMAND_AUDIT
	SessionAudit TPMSSessionAuditInfo    // TPM_ST_ATTEST_SESSION_AUDIT
	Time         TPMSTimeAttestInfo      // TPM_ST_ATTEST_TIME
	NV           TPMSNVCertifyInfo       // TPM_ST_ATTEST_NV
	NVDigest     TPMSNVDigestCertifyInfo // TPM_ST_ATTEST_NV_DIGEST
}

// Marshal appends a.
func (a *TPMSAttest) Marshal(w *Writer) {
	w.Uint32(uint32(a.Magic))
	w.Uint16(uint16(a.Type))
	w.Sized(a.QualifiedSigner)
	w.Sized(a.ExtraData)
	a.ClockInfo.Marshal(w)
	w.Uint64(a.FirmwareVersion)
	switch a.Type {
	case TPMSTAttestCertify:
		w.Sized(a.Certify.Name)
		w.Sized(a.Certify.QualifiedName)
	case TPMSTAttestCreation:
		w.Sized(a.Creation.ObjectName)
		w.Sized(a.Creation.CreationHash)
	case TPMSTAttestQuote:
		a.Quote.PCRSelect.Marshal(w)
		w.Sized(a.Quote.PCRDigest)
	case TPMSTAttestCommandAudit:
		w.Uint64(a.CommandAudit.AuditCounter)
		w.Alg(a.CommandAudit.DigestAlg)
		w.Sized(a.CommandAudit.AuditDigest)
		w.Sized(a.CommandAudit.CommandDigest)
	case TPMSTAttestSessionAudit:
		w.YesNo(a.SessionAudit.ExclusiveSession)
		w.Sized(a.SessionAudit.SessionDigest)
	case TPMSTAttestTime:
		a.Time.Time.Marshal(w)
		w.Uint64(a.Time.FirmwareVersion)
	case TPMSTAttestNV:
		w.Sized(a.NV.IndexName)
		w.Uint16(a.NV.Offset)
		w.Sized(a.NV.NVContents)
	case TPMSTAttestNVDigest:
		w.Sized(a.NVDigest.IndexName)
		w.Sized(a.NVDigest.NVDigest)
	}
}

// Unmarshal reads a TPMS_ATTEST, which aliases r's bytes: TPM_RC_VALUE for a
// magic that is not the TPM's, TPM_RC_SELECTOR for its type.
func (a *TPMSAttest) Unmarshal(r *Reader) {
	*a = TPMSAttest{Magic: TPMGenerated(r.Uint32())}
	if a.Magic != TPMGeneratedValue {
		r.Fail(TPMRCValue)
	}
	a.Type = TPMST(r.Uint16())
	a.QualifiedSigner = r.Name()
	a.ExtraData = r.Data()
	a.ClockInfo.Unmarshal(r)
	a.FirmwareVersion = r.Uint64()
	switch a.Type {
	case TPMSTAttestCertify:
		a.Certify = TPMSCertifyInfo{r.Name(), r.Name()}
	case TPMSTAttestCreation:
		a.Creation = TPMSCreationInfo{r.Name(), r.Digest()}
	case TPMSTAttestQuote:
		a.Quote.PCRSelect.Unmarshal(r)
		a.Quote.PCRDigest = r.Digest()
	case TPMSTAttestCommandAudit:
		a.CommandAudit = TPMSCommandAuditInfo{r.Uint64(), r.Alg(), r.Digest(), r.Digest()}
	case TPMSTAttestSessionAudit:
		a.SessionAudit = TPMSSessionAuditInfo{r.YesNo(), r.Digest()}
	case TPMSTAttestTime:
		a.Time.Time.Unmarshal(r)
		a.Time.FirmwareVersion = r.Uint64()
	case TPMSTAttestNV:
		a.NV = TPMSNVCertifyInfo{r.Name(), r.Uint16(), r.MaxNVBuffer()}
	case TPMSTAttestNVDigest:
		a.NVDigest = TPMSNVDigestCertifyInfo{r.Name(), r.Digest()}
	default:
		r.Fail(TPMRCSelector)
	}
}

// Marshal2B appends a as a TPM2B_ATTEST (Part 2, Table 155).
func (a *TPMSAttest) Marshal2B(w *Writer) {
	at := w.begin2B()
	a.Marshal(w)
	w.end2B(at)
}
