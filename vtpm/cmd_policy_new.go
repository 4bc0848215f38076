package vtpm

import (
	"encoding/binary"
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
// a capability. A property that there is not differs from everything.
//
//	TPM_RC_POLICY  the comparison fails
//	TPM_RC_RANGE   offset and size reach beyond the property's data
//	TPM_RC_VALUE   not a capability of single properties, or offset beyond the
//	               data
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
		if rc := o.compareWith(data); rc != tcg.TPMRCSuccess {
			return rc
		}
	}
	args := digest(s.hash, o.b, binary.BigEndian.AppendUint16(nil, uint16(o.offset)), binary.BigEndian.AppendUint16(nil, uint16(o.operation)),
		binary.BigEndian.AppendUint32(nil, uint32(capability)), binary.BigEndian.AppendUint32(nil, property))
	s.policy.update(s.hash, tcg.TPMCCPolicyCapability, args)
	return nil
}

// compareWith compares operand A, nil for a property that there is not, with
// operand B.
func (o *operands) compareWith(data []byte) tcg.TPMRC {
	switch {
	case data == nil:
		if o.operation != tcg.TPMEONeq {
			return tcg.TPMRCPolicy
		}
	case int(o.offset) > len(data):
		return tcg.TPMRCValue.P(2)
	case len(o.b) > len(data)-int(o.offset):
		return tcg.TPMRCRange
	case !compare(data[o.offset:][:len(o.b)], o.b, o.operation):
		return tcg.TPMRCPolicy
	}
	return tcg.TPMRCSuccess
}

// capabilityEntry is the one entry of a capability list for a property, as
// TPM2_GetCapability writes it, or nil if there is none (Part 3, Table 184).
// TPM_RC_VALUE if the capability is no list by properties.
func (d *Device) capabilityEntry(capability tcg.TPMCap, property uint32) ([]byte, tcg.TPMRC) {
	if capability == tcg.TPMCapPCRs {
		return nil, tcg.TPMRCValue.P(4)
	}
	var w tcg.Writer
	w.Uint32(uint32(capability))
	w.Uint32(property)
	w.Uint32(1)
	inner := &call{params: w.B, sent: w.B, profile: d.profile}
	switch err := d.getCapability(inner); err {
	case nil:
	case tcg.TPMRCValue.P(1):
		return nil, tcg.TPMRCValue.P(4)
	default:
		return nil, tcg.TPMRCSuccess // a handle type, say, that has no list
	}
	// YES/NO, capability and count, then the entry. The list begins at the
	// property or, if there is none, at the next.
	const before = 1 + 4 + 4
	if len(inner.out.B) <= before || binary.BigEndian.Uint32(inner.out.B[5:]) != 1 {
		return nil, tcg.TPMRCSuccess
	}
	entry := inner.out.B[before:]
	var at uint32
	switch capability {
	case tcg.TPMCapAlgs, tcg.TPMCapECCCurves:
		at = uint32(entry[0])<<8 | uint32(entry[1])
	case tcg.TPMCapCommands:
		const commandIndex = 0xFFFF // of TPMA_CC
		at = binary.BigEndian.Uint32(entry) & commandIndex
	default:
		at = binary.BigEndian.Uint32(entry)
	}
	if at != property {
		return nil, tcg.TPMRCSuccess
	}
	return entry, tcg.TPMRCSuccess
}

// policyTransportSPDM is TPM2_PolicyTransportSPDM. This TPM is not reached by
// SPDM, so that the policy can be computed and never be met.
//
//	TPM_RC_HASH   a Name does not begin with a hash algorithm
//	TPM_RC_SIZE   a Name has not the size of its digest
//	TPM_RC_VALUE  the session needs a secure channel already
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
	for i, name := range [][]byte{requester, tpm} {
		if rc := d.checkObjectName(name); rc != tcg.TPMRCSuccess {
			return rc.P(i + 1)
		}
	}
	var keys []byte
	if len(requester)+len(tpm) != 0 {
		var w tcg.Writer
		w.Sized(requester)
		w.Sized(tpm)
		keys = digest(s.hash, w.B)
	}
	s.policy.transport = append([]byte{1}, keys...)
	s.policy.update(s.hash, tcg.TPMCCPolicyTransportSPDM, keys)
	return nil
}

// checkObjectName checks the form of the Name of an object, or none.
func (d *Device) checkObjectName(name []byte) tcg.TPMRC {
	if len(name) == 0 {
		return tcg.TPMRCSuccess
	}
	r := tcg.NewReader(name, d.profile)
	alg := r.HashAlg()
	if rc := r.Err(); rc != tcg.TPMRCSuccess {
		return rc
	}
	if r.Len() != hashSize(alg) {
		return tcg.TPMRCSize
	}
	return tcg.TPMRCSuccess
}
