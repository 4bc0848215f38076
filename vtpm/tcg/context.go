package tcg

// A TPMSContext is a saved session or object (Part 2, Table 260).
type TPMSContext struct {
	Sequence    uint64
	SavedHandle TPMHandle
	Hierarchy   TPMHandle
	ContextBlob []byte
}

// Unmarshal reads a TPMS_CONTEXT, which aliases r's bytes: TPM_RC_VALUE for a
// handle, TPM_RC_SIZE.
func (c *TPMSContext) Unmarshal(r *Reader) {
	c.Sequence = r.Uint64()
	c.SavedHandle = r.Handle(TPMIDHSaved)
	c.Hierarchy = r.Handle(TPMIRHHierarchy)
	c.ContextBlob = r.ContextData()
}

// Marshal appends c.
func (c *TPMSContext) Marshal(w *Writer) {
	w.Uint64(c.Sequence)
	w.Handle(c.SavedHandle)
	w.Handle(c.Hierarchy)
	w.Sized(c.ContextBlob)
}

// A TPMSAuthCommand is one session of a command (Part 2, Table 156).
type TPMSAuthCommand struct {
	Handle            TPMHandle
	Nonce             []byte
	SessionAttributes TPMASession
	HMAC              []byte // HMAC or password
}

// Unmarshal reads a TPMS_AUTH_COMMAND, which aliases r's bytes: TPM_RC_VALUE
// for the handle, TPM_RC_SIZE, TPM_RC_RESERVED_BITS.
func (a *TPMSAuthCommand) Unmarshal(r *Reader) {
	a.Handle = r.HandlePlus(TPMISHAuthSession)
	a.Nonce = r.Digest()
	a.SessionAttributes.Unmarshal(r)
	a.HMAC = r.Digest()
}

// Marshal appends a.
func (a *TPMSAuthCommand) Marshal(w *Writer) {
	w.Handle(a.Handle)
	w.Sized(a.Nonce)
	w.Uint8(uint8(a.SessionAttributes))
	w.Sized(a.HMAC)
}

// A TPMSAuthResponse is one session of a response (Part 2, Table 157).
type TPMSAuthResponse struct {
	Nonce             []byte
	SessionAttributes TPMASession
	HMAC              []byte
}

// Unmarshal reads a TPMS_AUTH_RESPONSE.
func (a *TPMSAuthResponse) Unmarshal(r *Reader) {
	a.Nonce = r.Digest()
	a.SessionAttributes.Unmarshal(r)
	a.HMAC = r.Digest()
}

// Marshal appends a.
func (a *TPMSAuthResponse) Marshal(w *Writer) {
	w.Sized(a.Nonce)
	w.Uint8(uint8(a.SessionAttributes))
	w.Sized(a.HMAC)
}

// A TPMSIDObject is a credential as TPM2_MakeCredential wraps it (Part 2, Table
// 244), which a TPM2B_ID_OBJECT holds. EncIdentity is not sized: its size is
// encrypted with it.
type TPMSIDObject struct {
	IntegrityHMAC []byte
	EncIdentity   []byte
}

// Unmarshal reads the content of a TPM2B_ID_OBJECT, all that r has.
func (o *TPMSIDObject) Unmarshal(r *Reader) {
	o.IntegrityHMAC = r.Digest()
	o.EncIdentity = r.Rest()
}

// Marshal appends o.
func (o *TPMSIDObject) Marshal(w *Writer) {
	w.Sized(o.IntegrityHMAC)
	w.Bytes(o.EncIdentity)
}

// A TPMSACOutput is what an attached component tells (Part 2, TPMS_AC_OUTPUT).
type TPMSACOutput struct {
	Tag, Data uint32
}

// Marshal appends o.
func (o *TPMSACOutput) Marshal(w *Writer) {
	w.Uint32(o.Tag)
	w.Uint32(o.Data)
}
