package command

import (
	"bytes"
	"encoding/binary"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// policyOR is TPM2_PolicyOR, which requires that one of several policies was
// met.
//
//	TPM_RC_SIZE   not a list of 2 to 8
//	TPM_RC_VALUE  the session's digest is not in the list
func policyOR(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var list tcg.TPMLDigest
	list.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	found := s.Trial
	for _, v := range list.All() {
		found = found || bytes.Equal(v, s.Policy.Digest)
	}
	if !found {
		return tcg.TPMRCValue.P(1)
	}
	s.Policy.ZeroDigest()
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyOR, list.All()...)
	return nil
}

// policyPCR is TPM2_PolicyPCR, which requires that PCRs have given values.
//
//	TPM_RC_VALUE        the PCRs are not what the caller says
//	TPM_RC_PCR_CHANGED  a PCR changed since this session's last PolicyPCR
func policyPCR(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	want := r.Next().Digest()
	var sel tcg.TPMLPCRSelection
	sel.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	there := d.Vol.PCRs.Filter(&sel)
	have := d.Vol.PCRs.Digest(s.Hash, &there)
	if s.Trial && len(want) != 0 {
		// A trial may state PCRs as they will be, and of another TPM.
		have, there = want, sel
	} else if !s.Trial {
		if s.Policy.PCRChecked && s.Policy.PCRCounter != d.Reset.PCRUpdateCounter {
			return tcg.TPMRCPCRChanged
		}
		if len(want) != 0 && !bytes.Equal(want, have) {
			return tcg.TPMRCValue.P(1)
		}
		s.Policy.PCRChecked = true
		s.Policy.PCRCounter = d.Reset.PCRUpdateCounter
	}
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyPCR, tcg.Marshal(&there), have)
	return nil
}

// policyLocality is TPM2_PolicyLocality, which limits a policy to localities.
//
//	TPM_RC_RANGE  the localities exclude all that are allowed so far, or are none
func policyLocality(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var l tcg.TPMALocality
	l.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	have, want := s.Policy.Locality, uint8(l)
	if want == 0 {
		return tcg.TPMRCRange.P(1)
	}
	switch {
	case have == 0:
		have = want
	case have < 32 != (want < 32):
		return tcg.TPMRCRange.P(1)
	case have < 32:
		if have &= want; have == 0 {
			return tcg.TPMRCRange.P(1)
		}
	case have != want:
		return tcg.TPMRCRange.P(1)
	}
	s.Policy.Locality = have
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyLocality, []byte{want})
	return nil
}

// policyCommandCode is TPM2_PolicyCommandCode, which limits a policy to one
// command.
//
//	TPM_RC_POLICY_CC  code is not implemented
//	TPM_RC_VALUE      the session is bound to another command
func policyCommandCode(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	code := tcg.TPMCC(r.Next().Uint32())
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	if s.Policy.CommandCode != 0 && s.Policy.CommandCode != code {
		return tcg.TPMRCValue.P(1)
	}
	if !d.Implements(code) {
		return tcg.TPMRCPolicyCC.P(1)
	}
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyCommandCode, binary.BigEndian.AppendUint32(nil, uint32(code)))
	s.Policy.CommandCode = code
	return nil
}

// policyPhysicalPresence is TPM2_PolicyPhysicalPresence, which requires that
// physical presence is asserted.
func policyPhysicalPresence(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	s.Policy.PresenceNeeded = true
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyPhysicalPresence)
	return nil
}

// policyHash is the common part of the commands that restrict by a hash.
//
//	TPM_RC_SIZE    not the size of the session's digest
//	TPM_RC_CPHASH  restricted by a hash already; TPM2_PolicyCpHash and
//	               TPM2_PolicyTemplate may repeat their own
func policyHash(d *engine.Device, c *dispatch.Call, field func(p *session.Policy) *[]byte) error {
	r := c.Reader()
	v := r.Next().Digest()
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	own := field(s.Policy)
	again, same := *own != nil, bytes.Equal(*own, v)
	switch c.Spec.Code {
	case tcg.TPMCCPolicyCpHash, tcg.TPMCCPolicyTemplate: // may be repeated
	default:
		same = false
	}
	switch {
	case c.Spec.Code == tcg.TPMCCPolicyTemplate && again && !same:
		return tcg.TPMRCValue.P(1)
	case s.Policy.HashRestricted(*own) || again && !same:
		return tcg.TPMRCCPHash
	case len(v) != tpmcrypto.MustSize(s.Hash):
		return tcg.TPMRCSize.P(1)
	}
	*own = bytes.Clone(v)
	s.Policy.Update(s.Hash, c.Spec.Code, v)
	return nil
}

// policyCpHash is TPM2_PolicyCpHash, which limits a policy to one command with
// its parameters. Response codes are those of policyHash.
func policyCpHash(d *engine.Device, c *dispatch.Call) error {
	return policyHash(d, c, func(p *session.Policy) *[]byte { return &p.CPHash })
}

// policyNameHash is TPM2_PolicyNameHash, which limits a policy to entities by
// their Names. Response codes are those of policyHash.
func policyNameHash(d *engine.Device, c *dispatch.Call) error {
	return policyHash(d, c, func(p *session.Policy) *[]byte { return &p.NameHash })
}

// policyTemplate is TPM2_PolicyTemplate, which limits a policy to objects made
// from one template. Response codes are those of policyHash, and
//
//	TPM_RC_VALUE  another template than before
func policyTemplate(d *engine.Device, c *dispatch.Call) error {
	return policyHash(d, c, func(p *session.Policy) *[]byte { return &p.TemplateHash })
}

// policyDuplicationSelect is TPM2_PolicyDuplicationSelect, which limits a
// policy to duplication for one new parent.
//
//	TPM_RC_CPHASH     restricted by a hash already
//	TPM_RC_POLICY_CC  the session is bound to another command
func policyDuplicationSelect(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	objectName := r.Next().Name()
	parentName := r.Next().Name()
	include := r.Next().YesNo()
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	if s.Policy.HashRestricted(nil) {
		return tcg.TPMRCCPHash
	}
	if cc := s.Policy.CommandCode; cc != 0 && cc != tcg.TPMCCDuplicate {
		return tcg.TPMRCPolicyCC
	}
	// The hash that TPM2_Duplicate has to meet covers both names; the digest
	// covers the object's only where the caller wants it to.
	s.Policy.NameHash = tpmcrypto.Digest(s.Hash, objectName, parentName)
	last := []byte{0}
	if include {
		last[0] = 1
		s.Policy.Update(s.Hash, tcg.TPMCCPolicyDuplicationSelect, objectName, parentName, last)
	} else {
		s.Policy.Update(s.Hash, tcg.TPMCCPolicyDuplicationSelect, parentName, last)
	}
	s.Policy.CommandCode = tcg.TPMCCDuplicate
	return nil
}

// policyAuthValue is TPM2_PolicyAuthValue, which requires an HMAC with the
// entity's authorization value.
func policyAuthValue(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyAuthValue)
	s.Policy.AuthNeeded, s.Policy.PasswordNeeded = true, false
	return nil
}

// policyPassword is TPM2_PolicyPassword, which requires the entity's
// authorization value as a password. Its digest is that of PolicyAuthValue, so
// that one policy allows both ways of giving the value.
func policyPassword(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyAuthValue)
	s.Policy.AuthNeeded, s.Policy.PasswordNeeded = false, true
	return nil
}

// policyGetDigest is TPM2_PolicyGetDigest, which returns the digest of a policy
// session.
func policyGetDigest(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	c.Out.Sized(d.Session(c.Handles[0]).Policy.Digest)
	return nil
}

// policyNvWritten is TPM2_PolicyNvWritten, which requires that an NV index has,
// or has not, been written.
//
//	TPM_RC_VALUE  the session was bound to the other state before
func policyNvWritten(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	written := r.Next().YesNo()
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	if s.Policy.NVWrittenChecked && s.Policy.NVWritten != written {
		return tcg.TPMRCValue.P(1)
	}
	s.Policy.NVWrittenChecked, s.Policy.NVWritten = true, written
	b := []byte{0}
	if written {
		b[0] = 1
	}
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyNvWritten, b)
	return nil
}

// policyParameters is TPM2_PolicyParameters, which limits a policy to the
// parameters of a command. Response codes are those of policyHash.
func policyParameters(d *engine.Device, c *dispatch.Call) error {
	return policyHash(d, c, func(p *session.Policy) *[]byte { return &p.ParametersHash })
}
