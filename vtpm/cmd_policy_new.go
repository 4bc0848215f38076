package vtpm

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

// Policy commands of versions 1.83 and 1.84 (Part 3, sections 23.24 on).
var newPolicyCommands = commandTable{
	tcg.TPMCCPolicyCapability:    (*Device).policyCapability,
	tcg.TPMCCPolicyParameters:    (*Device).policyParameters,
	tcg.TPMCCPolicyTransportSPDM: (*Device).policyTransportSPDM,
}

// policyParameters is TPM2_PolicyParameters. Response codes are those of
// policyHash.
func (d *Device) policyParameters(c *call) error {
	return d.policyHash(c, func(p *policyState) *[]byte { return &p.parametersHash })
}

// policyCapability is TPM2_PolicyCapability: a comparison with one property of
// a capability.
//
//	TPM_RC_POLICY  the comparison fails
//	TPM_RC_RANGE   offset and size reach beyond the property's data
//	TPM_RC_VALUE   no such capability or property, or offset beyond the data
func (d *Device) policyCapability(c *call) error {
	var o operands
	r := c.reader()
	o.b = r.next().Digest()
	o.offset = r.next().Uint16()
	o.operation = r.next().EO()
	capability := r.next().Cap()
	property := r.next().Uint32()
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	if !s.trial {
		data, rc := d.capabilityEntry(capability, property)
		if rc != tcg.TPMRCSuccess {
			return rc
		}
		if int(o.offset) > len(data) {
			return tcg.TPMRCValue.P(2)
		}
		if len(o.b) > len(data)-int(o.offset) {
			return tcg.TPMRCRange
		}
		if !compare(data[o.offset:][:len(o.b)], o.b, o.operation) {
			return tcg.TPMRCPolicy
		}
	}
	args := digest(s.hash, o.b, be(nil, 2, uint32(o.offset)), be(nil, 2, uint32(o.operation)),
		be(nil, 4, uint32(capability)), be(nil, 4, property))
	s.policy.update(s.hash, tcg.TPMCCPolicyCapability, args)
	return nil
}

// capabilityEntry is the one entry of a capability list for a property, as
// TPM2_GetCapability writes it. TPM_RC_VALUE if there is none.
func (d *Device) capabilityEntry(capability tcg.TPMCap, property uint32) ([]byte, tcg.TPMRC) {
	var w tcg.Writer
	w.Uint32(uint32(capability))
	w.Uint32(property)
	w.Uint32(1)
	inner := &call{params: w.B, sent: w.B, profile: d.profile}
	if err := d.getCapability(inner); err != nil {
		return nil, tcg.TPMRCValue.P(4)
	}
	// YES/NO, capability and count, then the entry.
	const before = 1 + 4 + 4
	if len(inner.out.B) <= before || be32(inner.out.B[5:]) != 1 {
		return nil, tcg.TPMRCValue.P(5)
	}
	return inner.out.B[before:], tcg.TPMRCSuccess
}

// policyTransportSPDM is TPM2_PolicyTransportSPDM. This TPM is not reached by
// SPDM, so that the policy can be computed and never be met.
//
//	TPM_RC_VALUE  the session is bound to other keys already
func (d *Device) policyTransportSPDM(c *call) error {
	r := c.reader()
	requester := r.next().Name()
	tpm := r.next().Name()
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	if s.policy.transport != nil {
		return tcg.TPMRCValue
	}
	hashOf := func(name []byte) []byte {
		if len(name) == 0 {
			return nil
		}
		return digest(s.hash, name)
	}
	s.policy.transport = bytes.Join([][]byte{{1}, requester, tpm}, nil)
	s.policy.update(s.hash, tcg.TPMCCPolicyTransportSPDM, hashOf(requester), hashOf(tpm))
	return nil
}
