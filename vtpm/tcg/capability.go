package tcg

// A TPMSCapabilityData is what TPM2_GetCapability returns (Part 2, Table 139).
// Only the member that belongs to Capability has a meaning.
type TPMSCapabilityData struct {
	Capability TPMCap

	Algorithms    []TPMSAlgProperty     // TPM_CAP_ALGS
	Handles       []TPMHandle           // TPM_CAP_HANDLES
	Command       []TPMACC              // TPM_CAP_COMMANDS
	Commands      []TPMCC               // TPM_CAP_PP_COMMANDS, TPM_CAP_AUDIT_COMMANDS
	AssignedPCR   TPMLPCRSelection      // TPM_CAP_PCRS
	TPMProperties []TPMSTaggedProperty  // TPM_CAP_TPM_PROPERTIES
	PCRProperties []TPMSTaggedPCRSelect // TPM_CAP_PCR_PROPERTIES
	ECCCurves     []TPMECCCurve         // TPM_CAP_ECC_CURVES
	AuthPolicies  []TPMSTaggedPolicy    // TPM_CAP_AUTH_POLICIES
	ACTData       []TPMSACTData         // TPM_CAP_ACT
	PubKeys       []TPMTPublic          // TPM_CAP_PUB_KEYS
	SPDMSessions  []TPMSSPDMSessionInfo // TPM_CAP_SPDM_SESSION_INFO
	VendorData    [][]byte              // TPM_CAP_VENDOR_PROPERTY
}

// Elements of capability lists (Part 2, Tables 116 to 121).
type (
	// TPMSAlgProperty is an algorithm and what it is for.
	TPMSAlgProperty struct {
		Alg           TPMAlgID
		AlgProperties TPMAAlgorithm
	}
	// TPMSTaggedProperty is a property and its value.
	TPMSTaggedProperty struct {
		Property TPMPT
		Value    uint32
	}
	// TPMSTaggedPCRSelect is a property and the PCRs that have it.
	TPMSTaggedPCRSelect struct {
		Tag TPMPTPCR
		TPMSPCRSelect
	}
	// TPMSTaggedPolicy is a permanent handle and its policy.
	TPMSTaggedPolicy struct {
		Handle     TPMHandle
		PolicyHash TPMTHA
	}
	// TPMSACTData is the state of an authenticated countdown timer.
	TPMSACTData struct {
		Handle     TPMHandle
		Timeout    uint32 // seconds
		Attributes TPMAACT
	}
	// TPMSSPDMSessionInfo is the keys of an SPDM session.
	TPMSSPDMSessionInfo struct {
		ReqKeyName, TPMKeyName []byte
	}
)

// marshalList appends a count and what each appends for every element.
func marshalList[T any](w *Writer, l []T, each func(w *Writer, v *T)) {
	w.Uint32(uint32(len(l)))
	for i := range l {
		each(w, &l[i])
	}
}

// Marshal appends c. The caller keeps the list within MaxCapBuffer.
func (c *TPMSCapabilityData) Marshal(w *Writer) {
	w.Uint32(uint32(c.Capability))
	switch c.Capability {
	case TPMCapAlgs:
		marshalList(w, c.Algorithms, func(w *Writer, v *TPMSAlgProperty) {
			w.Alg(v.Alg)
			w.Uint32(uint32(v.AlgProperties))
		})
	case TPMCapHandles:
		marshalList(w, c.Handles, func(w *Writer, v *TPMHandle) { w.Handle(*v) })
	case TPMCapCommands:
		marshalList(w, c.Command, func(w *Writer, v *TPMACC) { w.Uint32(uint32(*v)) })
	case TPMCapPPCommands, TPMCapAuditCommands:
		marshalList(w, c.Commands, func(w *Writer, v *TPMCC) { w.Uint32(uint32(*v)) })
	case TPMCapPCRs:
		c.AssignedPCR.Marshal(w)
	case TPMCapTPMProperties:
		marshalList(w, c.TPMProperties, func(w *Writer, v *TPMSTaggedProperty) {
			w.Uint32(uint32(v.Property))
			w.Uint32(v.Value)
		})
	case TPMCapPCRProperties:
		marshalList(w, c.PCRProperties, func(w *Writer, v *TPMSTaggedPCRSelect) {
			w.Uint32(uint32(v.Tag))
			v.TPMSPCRSelect.Marshal(w)
		})
	case TPMCapECCCurves:
		marshalList(w, c.ECCCurves, func(w *Writer, v *TPMECCCurve) { w.Uint16(uint16(*v)) })
	case TPMCapAuthPolicies:
		marshalList(w, c.AuthPolicies, func(w *Writer, v *TPMSTaggedPolicy) {
			w.Handle(v.Handle)
			v.PolicyHash.Marshal(w)
		})
	case TPMCapACT:
		marshalList(w, c.ACTData, func(w *Writer, v *TPMSACTData) {
			w.Handle(v.Handle)
			w.Uint32(v.Timeout)
			w.Uint32(uint32(v.Attributes))
		})
	case TPMCapPubKeys:
		marshalList(w, c.PubKeys, func(w *Writer, v *TPMTPublic) { v.Marshal2B(w) })
	case TPMCapSPDMSessionInfo:
		marshalList(w, c.SPDMSessions, func(w *Writer, v *TPMSSPDMSessionInfo) {
			w.Sized(v.ReqKeyName)
			w.Sized(v.TPMKeyName)
		})
	case TPMCapVendorProperty:
		marshalList(w, c.VendorData, func(w *Writer, v *[]byte) { w.Sized(*v) })
	}
}

// A TPMSSetCapabilityData is what TPM2_SetCapability sets (Part 2, Table 140).
// The content of Data depends on SetCapability.
type TPMSSetCapabilityData struct {
	SetCapability TPMCap
	Data          []byte
}

// Unmarshal2B reads a TPM2B_SET_CAPABILITY_DATA, which aliases r's bytes
// (Part 2, Table 141). Since what follows the capability is the capability's
// own, Data is all of it.
func (c *TPMSSetCapabilityData) Unmarshal2B(r *Reader) {
	b := r.Sized(MaxDigestBuffer)
	if r.err == 0 && len(b) == 0 {
		r.Fail(TPMRCSize)
		return
	}
	in := NewReader(b, r.Profile)
	c.SetCapability = in.Cap()
	c.Data = in.Rest()
	if in.err != 0 {
		r.Fail(in.err)
	}
}
