package tcg

// A TPMTTk is a ticket: the TPM's own evidence that it has seen something
// before (Part 2, Table 109).
type TPMTTk struct {
	Tag       TPMST
	Hierarchy TPMHandle
	HashAlg   TPMAlgID // metadata of TPM_ST_DIGEST_VERIFIED only
	Digest    []byte
}

// Part 2's names for the kinds of ticket.
type (
	TPMTTKCreation  = TPMTTk // Table 110
	TPMTTKVerified  = TPMTTk // Table 113
	TPMTTKAuth      = TPMTTk // Table 114
	TPMTTKHashCheck = TPMTTk // Table 115
)

// NullTicket returns the ticket that stands for none.
func NullTicket(tag TPMST) TPMTTk {
	return TPMTTk{Tag: tag, Hierarchy: TPMRHNull, HashAlg: TPMAlgNull}
}

func (t *TPMTTk) unmarshal(r *Reader, tags ...TPMST) {
	*t = TPMTTk{Tag: TPMST(r.Uint16())}
	known := false
	for _, tag := range tags {
		known = known || t.Tag == tag
	}
	if !known {
		r.Fail(TPMRCTag)
	}
	t.Hierarchy = r.Handle(TPMIRHHierarchy)
	if t.Tag == TPMSTDigestVerified {
		t.HashAlg = r.HashAlgPlus()
		if t.HashAlg == TPMAlgNull && t.Hierarchy != TPMRHNull {
			r.Fail(TPMRCHash)
		}
	}
	t.Digest = r.Digest()
}

// UnmarshalCreation reads a TPMT_TK_CREATION: TPM_RC_TAG, TPM_RC_VALUE for the
// hierarchy, as do the readers of the other kinds.
func (t *TPMTTk) UnmarshalCreation(r *Reader) { t.unmarshal(r, TPMSTCreation) }

// UnmarshalVerified reads a TPMT_TK_VERIFIED.
func (t *TPMTTk) UnmarshalVerified(r *Reader) {
	t.unmarshal(r, TPMSTVerified, TPMSTMessageVerified, TPMSTDigestVerified)
}

// UnmarshalAuth reads a TPMT_TK_AUTH.
func (t *TPMTTk) UnmarshalAuth(r *Reader) { t.unmarshal(r, TPMSTAuthSigned, TPMSTAuthSecret) }

// UnmarshalHashCheck reads a TPMT_TK_HASHCHECK.
func (t *TPMTTk) UnmarshalHashCheck(r *Reader) { t.unmarshal(r, TPMSTHashCheck) }

// Marshal appends t.
func (t *TPMTTk) Marshal(w *Writer) {
	w.Uint16(uint16(t.Tag))
	w.Handle(t.Hierarchy)
	if t.Tag == TPMSTDigestVerified {
		w.Alg(t.HashAlg)
	}
	w.Sized(t.Digest)
}
