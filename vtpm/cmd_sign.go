package vtpm

import (
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Part 3, section 20 - Signing and Signature Verification.
var signingCommands = commandTable{
	tcg.TPMCCVerifySignature: (*Device).verifySignature,
	tcg.TPMCCSign:            (*Device).signCommand,
}

// verifySignature is TPM2_VerifySignature.
//
//	TPM_RC_ATTRIBUTES  the key does not sign
//	TPM_RC_HANDLE      an HMAC key of which only the public part is loaded
//	TPM_RC_SCHEME      not a scheme of the key
//	TPM_RC_SIGNATURE   the signature is not the key's over the digest
func (d *Device) verifySignature(c *call) error {
	r := c.reader()
	v := r.next().Digest()
	var sig tcg.TPMTSignature
	sig.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if o.seq != nil || !o.has(tcg.TPMAObjectSignEncrypt) {
		return tcg.TPMRCAttributes.H(1)
	}
	switch rc := d.verify(o, v, &sig); rc {
	case tcg.TPMRCSuccess:
	case tcg.TPMRCHandle:
		return rc.H(1)
	case tcg.TPMRCSize:
		return rc.P(1)
	default:
		return rc.P(2)
	}
	t := tcg.NullTicket(tcg.TPMSTVerified)
	if hierarchy.Base(o.hierarchy) != tcg.TPMRHNull && len(o.name) != 0 {
		t.Hierarchy = o.hierarchy
		t.Digest = d.verifiedTicket(o.hierarchy, v, o.name)
	}
	t.Marshal(&c.out)
	return nil
}

// signCommand is TPM2_Sign.
//
//	TPM_RC_ATTRIBUTES  the key does not sign, or signs certificates only
//	TPM_RC_KEY         not a signing key
//	TPM_RC_SCHEME      not a scheme of the key
//	TPM_RC_SIZE        digest is not of the scheme's size
//	TPM_RC_TICKET      a restricted key, and no ticket that says the digest is
//	                   not of a structure of the TPM's own
func (d *Device) signCommand(c *call) error {
	r := c.reader()
	v := r.next().Digest()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.next(), true)
	var ticket tcg.TPMTTk
	ticket.UnmarshalHashCheck(r.next())
	if err := r.end(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if o.seq != nil || !o.has(tcg.TPMAObjectSignEncrypt) || o.public.Type == tcg.TPMAlgSymCipher {
		return tcg.TPMRCKey.H(1)
	}
	if o.has(tcg.TPMAObjectX509Sign) {
		return tcg.TPMRCAttributes.H(1)
	}
	s, rc := signScheme(o, asked)
	if rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if o.has(tcg.TPMAObjectRestricted) || len(ticket.Digest) != 0 {
		if !d.hierarchies().Enabled(ticket.Hierarchy) || len(ticket.Digest) == 0 ||
			!tpmcrypto.Equal(ticket.Digest, d.hashTicket(ticket.Hierarchy, s.HashAlg, v)) {
			return tcg.TPMRCTicket.P(3)
		}
	}
	if len(v) != hashSize(s.HashAlg) {
		return tcg.TPMRCSize.P(1)
	}
	sig, rc := d.sign(o, s, v)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	sig.Marshal(&c.out)
	return nil
}
