package command

import (
	"bytes"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// signSequenceStart is TPM2_SignSequenceStart, which starts a sequence for the
// signature of a message of any length. The key's authorization is checked when it
// ends. The other response codes are those of newSignature.
//
//	TPM_RC_ATTRIBUTES     the key signs certificates only, or is a restricted HMAC
//	                      key, which signs digests (Part 3, 20.6.1)
//	TPM_RC_OBJECT_MEMORY  no free slot
func signSequenceStart(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	auth := tcg.TrimAuth(r.Next().Digest())
	context := r.Next().SignatureCtx()
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	s, rc := newSignature(d, o, context, false)
	switch {
	case rc == tcg.TPMRCSize:
		return rc.P(2)
	case rc != tcg.TPMRCSuccess:
		return rc.H(1)
	case o.Has(tcg.TPMAObjectX509Sign), o.Public.Type == tcg.TPMAlgKeyedHash && o.Has(tcg.TPMAObjectRestricted):
		return tcg.TPMRCAttributes.H(1)
	}
	s.Auth = bytes.Clone(auth)
	return addSequence(d, c, s)
}

// verifySequenceStart is TPM2_VerifySequenceStart, which starts a sequence for the
// verification of a signature over a message of any length. The other response
// codes are those of newSignature.
//
//	TPM_RC_OBJECT_MEMORY  no free slot
//	TPM_RC_SIZE           a hint, which no scheme here takes
func verifySequenceStart(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	auth := tcg.TrimAuth(r.Next().Digest())
	hint := r.Next().SignatureHint()
	context := r.Next().SignatureCtx()
	if err := r.End(); err != nil {
		return err
	}
	s, rc := newSignature(d, d.Object(c.Handles[0]), context, true)
	switch {
	case rc == tcg.TPMRCSize:
		return rc.P(3)
	case rc != tcg.TPMRCSuccess:
		return rc.H(1)
	case len(hint) != 0:
		return tcg.TPMRCSize.P(2)
	}
	s.Auth = bytes.Clone(auth)
	return addSequence(d, c, s)
}

// isSigner reports whether o is a key that signs messages or digests.
func isSigner(o *object.Object) bool {
	return o.Seq == nil && o.Has(tcg.TPMAObjectSignEncrypt) && o.Public.Type != tcg.TPMAlgSymCipher
}

// newSignature begins a sequence by which a key signs, or a signature of it is
// verified.
//
//	TPM_RC_HANDLE  an HMAC key of which only the public part is loaded
//	TPM_RC_KEY     not a signing key
//	TPM_RC_SCHEME  the key has no scheme, or it is to verify by an anonymous one
//	TPM_RC_SIZE    the context is none that the scheme takes
func newSignature(d *engine.Device, o *object.Object, context []byte, verifies bool) (*object.Sequence, tcg.TPMRC) {
	if !isSigner(o) {
		return nil, tcg.TPMRCKey
	}
	scheme := o.KeyScheme()
	switch {
	case scheme.Scheme == tcg.TPMAlgNull, scheme.Scheme == tcg.TPMAlgECDAA && verifies:
		return nil, tcg.TPMRCScheme
	case o.Public.Type == tcg.TPMAlgKeyedHash && o.PublicOnly:
		return nil, tcg.TPMRCHandle
	case !takesContext(scheme.Scheme, context, true):
		return nil, tcg.TPMRCSize
	}
	d.Need(o.Public.Type, scheme.Scheme, scheme.HashAlg)
	s := &object.Sequence{Alg: scheme.HashAlg, Signature: &object.Signature{
		Verify: verifies, Scheme: scheme.Scheme, Key: sequenceKey(d, o), Context: bytes.Clone(context),
	}}
	var err error
	switch scheme.Scheme {
	case tcg.TPMAlgHMAC:
		s.MAC = true
		s.Hash, err = tpmcrypto.NewHMAC(s.Alg, o.Sensitive.Sensitive)
	case tcg.TPMAlgMLDSA:
		var k *tpmcrypto.MLDSAPublic
		if k, err = o.MLDSAPublic(); err == nil {
			s.Hash = k.NewMu(context)
		}
	case tcg.TPMAlgSM2:
		var k *tpmcrypto.ECCPublic
		s.Hash = tpmcrypto.MustHash(s.Alg)
		if k, err = o.ECCPublic(); err == nil {
			s.Prefix(k.SM2ID(s.Alg, context))
		}
	default:
		s.Hash = tpmcrypto.MustHash(s.Alg)
	}
	if err != nil {
		return nil, tpmcrypto.ResponseCode(err)
	}
	if verifies && hasTicket(o, context) {
		tag := tcg.TPMSTMessageVerified
		s.Signature.Ticket, err = tpmcrypto.NewHMAC(engine.ContextHash, d.Hierarchies().Proof(o.Hierarchy))
		tpmcrypto.Must(err)
		s.Signature.Ticket.Write([]byte{byte(tag >> 8), byte(tag)})
	}
	return s, tcg.TPMRCSuccess
}

// takesContext reports whether a scheme takes a context, with a message or with a
// digest (Part 2, Table 220; Part 3, Table 115). An external mu and a digest of SM2
// have theirs in them already, so that another would be ignored.
func takesContext(scheme tcg.TPMAlgID, context []byte, message bool) bool {
	switch scheme {
	case tcg.TPMAlgHashMLDSA:
		return true
	case tcg.TPMAlgMLDSA, tcg.TPMAlgSM2:
		return message || len(context) == 0
	case tcg.TPMAlgECDAA: // the counter of TPM2_Commit
		return len(context) == 2
	}
	return len(context) == 0
}

// hasTicket reports whether a ticket says that a key's signature was verified: a
// signature with a context is none that TPM2_PolicyAuthorize takes (Part 3, 23.16.1),
// and the ticket would not say that it had one.
func hasTicket(o *object.Object, context []byte) bool {
	return hierarchy.Base(o.Hierarchy) != tcg.TPMRHNull && len(o.Name) != 0 && len(context) == 0
}

// sequenceKey tells a key from others, for TPM_RC_SIGN_CONTEXT_KEY: by its hierarchy,
// as long as that has the same proof, its public area, and, since that need not bind
// the secret of an HMAC key without a Name, by that secret.
func sequenceKey(d *engine.Device, o *object.Object) []byte {
	var w tcg.Writer
	w.Handle(o.Hierarchy)
	o.Public.Marshal(&w)
	var secret []byte
	if o.Public.Type == tcg.TPMAlgKeyedHash && !o.PublicOnly {
		secret = o.Sensitive.Sensitive
	}
	return tpmcrypto.MAC(engine.ContextHash, d.Hierarchies().Proof(o.Hierarchy), w.B, secret)
}

// signatureSequence returns a copy of the signature sequence that a command completes
// with the key of its second handle, so that what fails leaves the sequence as it is.
//
//	TPM_RC_MODE              the handle is not of such a sequence
//	TPM_RC_SIGN_CONTEXT_KEY  the key is not the one with which the sequence began
func signatureSequence(d *engine.Device, c *dispatch.Call, verifies bool) (*object.Sequence, tcg.TPMRC) {
	s, rc := sequenceOf(d, c.Handles[0])
	if rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	if s.Signature == nil || s.Signature.Verify != verifies {
		return nil, tcg.TPMRCMode.H(1)
	}
	o := d.Object(c.Handles[1])
	if o.Seq != nil || !tpmcrypto.Equal(sequenceKey(d, o), s.Signature.Key) {
		return nil, tcg.TPMRCSignContextKey.H(2)
	}
	return s.Fork(), tcg.TPMRCSuccess
}
