package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// verifyDigestSignature is TPM2_VerifyDigestSignature, which verifies a signature
// over a digest and returns a ticket for it; a null one if the digest is an external
// mu (errata of version 1.85, 2.5). The other response codes are those of
// checkDigest.
//
//	TPM_RC_SCHEME     not the key's scheme
//	TPM_RC_SIGNATURE  the signature is not the key's over the digest
func verifyDigestSignature(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	context := r.Next().SignatureCtx()
	v := r.Next().Digest()
	var sig tcg.TPMTSignature
	sig.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if rc := checkDigest(o, context, v); rc != tcg.TPMRCSuccess {
		return rc
	}
	if rc := verifyByKey(d, o, context, v, &sig); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	t := tcg.NullTicket(tcg.TPMSTDigestVerified)
	if alg := o.KeyScheme().HashAlg; alg != 0 {
		t.HashAlg = alg
		if hasTicket(o, context) {
			t.Hierarchy, t.Digest = o.Hierarchy, digestTicket(d, o.Hierarchy, v, o.Name, alg)
		}
	}
	t.Marshal(&c.Out)
	return nil
}

// signDigest is TPM2_SignDigest, which signs a digest with the scheme of the key. The
// other response codes are those of checkDigest.
//
//	TPM_RC_ATTRIBUTES  the key signs certificates only
//	TPM_RC_NO_RESULT   too many attempts were rejected (errata of version 1.85, 2.4)
//	TPM_RC_PARMS       the interface does not carry the key's signatures
//	TPM_RC_RANGE       the counter of an anonymous scheme is of no open commit
//	TPM_RC_TICKET      a restricted key, and no ticket that says the digest is not of
//	                   a structure of the TPM's own; or a ticket that is not valid
//	TPM_RC_VALUE       the counter of an anonymous scheme was used
func signDigest(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	context := r.Next().SignatureCtx()
	v := r.Next().Digest()
	var ticket tcg.TPMTTk
	ticket.UnmarshalHashCheck(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if rc := checkDigest(o, context, v); rc != tcg.TPMRCSuccess {
		return rc
	}
	if o.Has(tcg.TPMAObjectX509Sign) {
		return tcg.TPMRCAttributes.H(1)
	}
	if (o.Has(tcg.TPMAObjectRestricted) || len(ticket.Digest) != 0) && !isSafe(d, &ticket, o.KeyScheme().HashAlg, v) {
		return tcg.TPMRCTicket.P(3)
	}
	sig, rc := signByKey(d, o, context, v)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	sig.Marshal(&c.Out)
	return nil
}

// isSafe reports whether a ticket says that a digest of alg is not of a structure of
// the TPM's own. No ticket says so of an external mu, whose alg is 0.
func isSafe(d *engine.Device, ticket *tcg.TPMTTk, alg tcg.TPMAlgID, v []byte) bool {
	return alg != 0 && d.Hierarchies().Enabled(ticket.Hierarchy) && len(ticket.Digest) != 0 &&
		tpmcrypto.Equal(ticket.Digest, hashTicket(d, ticket.Hierarchy, alg, v))
}

// checkDigest checks a key, a context and a digest for the commands that sign and
// verify digests.
//
//	TPM_RC_EXT_MU  an ML-DSA key that does not allow an external mu
//	TPM_RC_KEY     not a signing key
//	TPM_RC_SCHEME  the key has no scheme, or signs messages
//	TPM_RC_SIZE    the context is none that the scheme takes, or the digest not of its
//	               size
func checkDigest(o *object.Object, context, v []byte) tcg.TPMRC {
	if !isSigner(o) {
		return tcg.TPMRCKey.H(1)
	}
	s := o.KeyScheme()
	size := tpmcrypto.MuSize
	switch {
	case s.Scheme == tcg.TPMAlgNull, s.Scheme == tcg.TPMAlgHMAC:
		return tcg.TPMRCScheme.H(1)
	case s.Scheme != tcg.TPMAlgMLDSA:
		size = tpmcrypto.MustSize(s.HashAlg)
	case !o.Public.MLDSA.AllowExternalMu:
		return tcg.TPMRCExtMu.H(1)
	}
	if !takesContext(s.Scheme, context, false) {
		return tcg.TPMRCSize.P(1)
	}
	if len(v) != size {
		return tcg.TPMRCSize.P(2)
	}
	return tcg.TPMRCSuccess
}
