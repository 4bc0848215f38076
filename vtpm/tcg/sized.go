package tcg

// The readers here are Part 2's TPM2B types that carry plain bytes. Each
// refuses more than its limit with TPM_RC_SIZE. What they return aliases the
// bytes that the Reader was made from.

// Digest takes a TPM2B_DIGEST, and so a TPM2B_NONCE, TPM2B_AUTH or
// TPM2B_OPERAND (Part 2, Tables 90 to 94).
func (r *Reader) Digest() []byte { return r.Sized(MaxDigestSize) }

// Data takes a TPM2B_DATA (Part 2, Table 91).
func (r *Reader) Data() []byte { return r.Sized(2 + MaxDigestSize) }

// Event takes a TPM2B_EVENT (Part 2, Table 95).
func (r *Reader) Event() []byte { return r.Sized(MaxEventSize) }

// MaxBuffer takes a TPM2B_MAX_BUFFER (Part 2, Table 96).
func (r *Reader) MaxBuffer() []byte { return r.Sized(MaxDigestBuffer) }

// MaxNVBuffer takes a TPM2B_MAX_NV_BUFFER (Part 2, Table 97).
func (r *Reader) MaxNVBuffer() []byte { return r.Sized(MaxNVBufferSize) }

// Timeout takes a TPM2B_TIMEOUT (Part 2, Table 98).
func (r *Reader) Timeout() []byte { return r.Sized(8) }

// IV takes a TPM2B_IV (Part 2, Table 99).
func (r *Reader) IV() []byte { return r.Sized(MaxSymBlockSize) }

// Name takes a TPM2B_NAME (Part 2, Table 105).
func (r *Reader) Name() []byte { return r.Sized(MaxNameSize) }

// Label takes a TPM2B_LABEL (Part 2, Table 166).
func (r *Reader) Label() []byte { return r.Sized(LabelMaxBuffer) }

// SensitiveData takes a TPM2B_SENSITIVE_DATA (Part 2, Table 170).
func (r *Reader) SensitiveData() []byte { return r.Sized(MaxSymData) }

// PublicKeyRSA takes a TPM2B_PUBLIC_KEY_RSA (Part 2, Table 194).
func (r *Reader) PublicKeyRSA() []byte { return r.Sized(MaxRSAKeyBytes) }

// ECCParameter takes a TPM2B_ECC_PARAMETER (Part 2, Table 197).
func (r *Reader) ECCParameter() []byte { return r.Sized(MaxECCKeyBytes) }

// EncryptedSecret takes a TPM2B_ENCRYPTED_SECRET (Part 2, Table 224).
func (r *Reader) EncryptedSecret() []byte { return r.Sized(MaxEncryptedSecret) }

// Private takes a TPM2B_PRIVATE (Part 2, Table 243).
func (r *Reader) Private() []byte { return r.Sized(MaxPrivateSize) }

// IDObject takes a TPM2B_ID_OBJECT (Part 2, Table 245).
func (r *Reader) IDObject() []byte { return r.Sized(MaxIDObjectSize) }

// ContextData takes a TPM2B_CONTEXT_DATA (Part 2, Table 259).
func (r *Reader) ContextData() []byte { return r.Sized(MaxContextSize) }

// Template takes a TPM2B_TEMPLATE (Part 2, Table 237), whose bytes
// TPMTPublic.UnmarshalTemplate reads.
func (r *Reader) Template() []byte { return r.Sized(maxPublicSize) }

// SignatureCtx takes a TPM2B_SIGNATURE_CTX (Part 2, Table 221).
func (r *Reader) SignatureCtx() []byte { return r.Sized(MaxSignatureCtx) }

// SignatureHint takes a TPM2B_SIGNATURE_HINT (Part 2, Table 222), which only
// EdDSA fills.
func (r *Reader) SignatureHint() []byte { return r.Sized(MaxECCKeyBytes) }

// KEMCiphertext takes a TPM2B_KEM_CIPHERTEXT (Part 2, Table 102).
func (r *Reader) KEMCiphertext() []byte { return r.Sized(MaxMLKEMCTSize) }

// begin2B takes the size of a TPM2B that holds a structure, for end2B. A size
// of zero is TPM_RC_SIZE.
//
// The structure is then read without regard to the size, which is compared
// with what was taken afterwards. So a fault inside the structure comes before
// one of its size.
func (r *Reader) begin2B() (left int) {
	n := int(r.Uint16())
	if n == 0 {
		r.Fail(TPMRCSize)
	}
	return len(r.b) - n
}

// end2B checks that a structure took as many bytes as the size before it said,
// else TPM_RC_SIZE.
func (r *Reader) end2B(left int) {
	if r.err == 0 && len(r.b) != left {
		r.Fail(TPMRCSize)
	}
}

// begin2B leaves room for a size, for end2B.
func (w *Writer) begin2B() int {
	w.B = append(w.B, 0, 0)
	return len(w.B)
}

// end2B fills in the size of what was appended since begin2B.
func (w *Writer) end2B(at int) {
	n := len(w.B) - at
	w.B[at-2], w.B[at-1] = byte(n>>8), byte(n)
}

// clone copies b, so that it outlives the buffer it came from.
func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}
