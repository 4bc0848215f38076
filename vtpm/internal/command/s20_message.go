package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// verifySequenceComplete is TPM2_VerifySequenceComplete, which verifies the
// signature over a sequence's message and returns a ticket for it. The other
// response codes are those of signatureSequence.
//
//	TPM_RC_SCHEME     not the key's scheme
//	TPM_RC_SIGNATURE  the signature is not the key's over the message
func verifySequenceComplete(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var sig tcg.TPMTSignature
	sig.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	s, rc := signatureSequence(d, c, true)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	defer s.Wipe()
	o := d.Object(c.Handles[1])
	v := s.Hash.Sum(nil)
	if s.MAC {
		rc = verifyMAC(o, v, &sig)
	} else {
		rc = verifyByKey(d, o, s.Signature.Context, v, &sig)
	}
	if rc != tcg.TPMRCSuccess {
		return rc.P(1)
	}
	t := tcg.NullTicket(tcg.TPMSTMessageVerified)
	if k := s.Signature.Ticket; k != nil {
		k.Write(o.Name)
		t.Hierarchy, t.Digest = o.Hierarchy, k.Sum(nil)
	}
	t.Marshal(&c.Out)
	dropSequence(c, c.Handles[0])
	return nil
}

// signSequenceComplete is TPM2_SignSequenceComplete, which adds the last data to a
// sequence and signs its message. No scheme here needs the message in one piece
// (TPM_RC_ONE_SHOT_SIGNATURE). The other response codes are those of
// signatureSequence.
//
//	TPM_RC_ATTRIBUTES  the key signs certificates only
//	TPM_RC_NO_RESULT   too many attempts were rejected (errata of version 1.85, 2.4)
//	TPM_RC_PARMS       the interface does not carry the key's signatures
//	TPM_RC_RANGE       the counter of an anonymous scheme is of no open commit
//	TPM_RC_VALUE       the key is restricted, and the message begins like a structure
//	                   of the TPM's own; or the counter of an anonymous scheme was used
func signSequenceComplete(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().MaxBuffer()
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[1])
	if o.Has(tcg.TPMAObjectX509Sign) {
		return tcg.TPMRCAttributes.H(2)
	}
	s, rc := signatureSequence(d, c, false)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	defer s.Wipe()
	s.Write(data)
	if o.Has(tcg.TPMAObjectRestricted) && !s.Safe() {
		return tcg.TPMRCValue.P(1)
	}
	v := s.Hash.Sum(nil)
	sig := tcg.TPMTSignature{SigAlg: s.Signature.Scheme, Hash: s.Alg, HMAC: v}
	if !s.MAC {
		if sig, rc = signByKey(d, o, s.Signature.Context, v); rc != tcg.TPMRCSuccess {
			return rc
		}
	}
	sig.Marshal(&c.Out)
	dropSequence(c, c.Handles[0])
	return nil
}
