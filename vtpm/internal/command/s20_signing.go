package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// verifySignature is TPM2_VerifySignature, which verifies a signature and
// returns a ticket for it.
//
//	TPM_RC_ATTRIBUTES  the key does not sign
//	TPM_RC_HANDLE      an HMAC key of which only the public part is loaded
//	TPM_RC_SCHEME      not a scheme of the key
//	TPM_RC_SIGNATURE   the signature is not the key's over the digest
//	TPM_RC_SIZE        digest is not of the signature's hash algorithm
func verifySignature(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	v := r.Next().Digest()
	var sig tcg.TPMTSignature
	sig.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Seq != nil || !o.Has(tcg.TPMAObjectSignEncrypt) {
		return tcg.TPMRCAttributes.H(1)
	}
	switch rc := verify(d, o, v, &sig); rc {
	case tcg.TPMRCSuccess:
	case tcg.TPMRCHandle:
		return rc.H(1)
	case tcg.TPMRCSize:
		return rc.P(1)
	default:
		return rc.P(2)
	}
	t := tcg.NullTicket(tcg.TPMSTVerified)
	if hierarchy.Base(o.Hierarchy) != tcg.TPMRHNull && len(o.Name) != 0 {
		t.Hierarchy = o.Hierarchy
		t.Digest = verifiedTicket(d, o.Hierarchy, v, o.Name)
	}
	t.Marshal(&c.Out)
	return nil
}

// signCommand is TPM2_Sign, which signs a digest.
//
//	TPM_RC_ATTRIBUTES  the key does not sign, or signs certificates only
//	TPM_RC_KEY         not a signing key
//	TPM_RC_RANGE       the counter in an anonymous scheme is of no open commit
//	TPM_RC_SCHEME      not a scheme of the key
//	TPM_RC_SIZE        digest is not of the scheme's size
//	TPM_RC_TICKET      a restricted key, and no ticket that says the digest is
//	                   not of a structure of the TPM's own
//	TPM_RC_VALUE       the counter in an anonymous scheme was used
func signCommand(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	v := r.Next().Digest()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.Next(), true)
	var ticket tcg.TPMTTk
	ticket.UnmarshalHashCheck(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Seq != nil || !o.Has(tcg.TPMAObjectSignEncrypt) || o.Public.Type == tcg.TPMAlgSymCipher {
		return tcg.TPMRCKey.H(1)
	}
	if o.Has(tcg.TPMAObjectX509Sign) {
		return tcg.TPMRCAttributes.H(1)
	}
	s, rc := object.SignScheme(o, asked)
	if rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if o.IsMLDSA() {
		return tcg.TPMRCScheme.P(2) // Part 3, Table 115
	}
	if (o.Has(tcg.TPMAObjectRestricted) || len(ticket.Digest) != 0) && !isSafe(d, &ticket, s.HashAlg, v) {
		return tcg.TPMRCTicket.P(3)
	}
	if len(v) != tpmcrypto.MustSize(s.HashAlg) {
		return tcg.TPMRCSize.P(1)
	}
	sig, rc := sign(d, o, s, v)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	sig.Marshal(&c.Out)
	return nil
}
