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

// operands are the parameters that TPM2_PolicyNV and PolicyCounterTimer share.
type operands struct {
	b         []byte
	offset    uint16
	operation tcg.TPMEO
}

func readOperands(c *dispatch.Call) (o operands, err error) {
	r := c.Reader()
	o.b = r.Next().Digest()
	o.offset = r.Next().Uint16()
	o.operation = r.Next().EO()
	return o, r.End()
}

// args is the digest over the operands that goes into the policy.
func (o *operands) args(alg tcg.TPMAlgID) []byte {
	return tpmcrypto.Digest(alg, o.b, binary.BigEndian.AppendUint16(nil, uint16(o.offset)), binary.BigEndian.AppendUint16(nil, uint16(o.operation)))
}

// policyCounterTimer is TPM2_PolicyCounterTimer, which requires that a
// comparison with TPMS_TIME_INFO holds. That Time be less than a number is a
// limit of the session, in seconds from its start, since version 1.83.
//
//	TPM_RC_EXPIRED  the session's limit has passed
//	TPM_RC_POLICY   the comparison fails
//	TPM_RC_RANGE    offset and size reach beyond TPMS_TIME_INFO
//	TPM_RC_VALUE    offset beyond it, or a limit of more than 68 years
func policyCounterTimer(d *engine.Device, c *dispatch.Call) error {
	o, err := readOperands(c)
	if err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	if !s.Trial {
		rc := compareTime(d, &o)
		if o.offset == 0 && len(o.b) == 8 && o.operation == tcg.TPMEOUnsignedLT {
			rc = limitSession(d, s, uint64(binary.BigEndian.Uint32(o.b))<<32|uint64(binary.BigEndian.Uint32(o.b[4:])))
		}
		if rc != tcg.TPMRCSuccess {
			return rc
		}
	}
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyCounterTimer, o.args(s.Hash))
	return nil
}

func compareTime(d *engine.Device, o *operands) tcg.TPMRC {
	info := d.TimeInfo()
	data := tcg.Marshal(&info)
	switch {
	case int(o.offset) > len(data):
		return tcg.TPMRCValue.P(2)
	case len(o.b) > len(data)-int(o.offset):
		return tcg.TPMRCRange
	case !compare(data[o.offset:][:len(o.b)], o.b, o.operation):
		return tcg.TPMRCPolicy
	}
	return tcg.TPMRCSuccess
}

// limitSession lets a policy session end so many seconds after its start.
func limitSession(d *engine.Device, s *session.Session, seconds uint64) tcg.TPMRC {
	if seconds > 1<<31-1 {
		return tcg.TPMRCValue.P(1)
	}
	start, ok := sessionStart(d, s)
	limit := start + 1000*seconds
	if !ok || limit < d.TimeNow() {
		return tcg.TPMRCExpired.P(1)
	}
	s.Policy.Limit(limit, d.Vol.Clock.Epoch)
	return tcg.TPMRCSuccess
}

// policyNV is TPM2_PolicyNV, which requires that a comparison with the content
// of an NV index holds.
//
//	TPM_RC_POLICY            the comparison fails
//	TPM_RC_NV_RANGE          offset and size reach beyond the index's data
//	TPM_RC_NV_LOCKED, TPM_RC_NV_UNINITIALIZED, TPM_RC_NV_AUTHORIZATION
//	                         the index cannot be read
//	TPM_RC_VALUE             offset beyond the index's data
func policyNV(d *engine.Device, c *dispatch.Call) error {
	o, err := readOperands(c)
	if err != nil {
		return err
	}
	s := d.Session(c.Handles[2])
	x := d.Index(c.Handles[1])
	if !s.Trial {
		if rc := x.Readable(c.Handles[0]); rc != tcg.TPMRCSuccess {
			return rc
		}
		if int(o.offset) > len(x.Data) {
			return tcg.TPMRCValue.P(2)
		}
		if len(o.b) > len(x.Data)-int(o.offset) {
			return tcg.TPMRCNVRange
		}
		if !compare(x.Data[o.offset:][:len(o.b)], o.b, o.operation) {
			return tcg.TPMRCPolicy
		}
	}
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyNV, o.args(s.Hash), x.Name())
	return nil
}

// compare evaluates a op b for numbers of equal size, big-endian (Part 2,
// "TPM_EO").
func compare(a, b []byte, op tcg.TPMEO) bool {
	unsigned := bytes.Compare(a, b)
	signed := unsigned
	if len(a) > 0 && (a[0]^b[0])&0x80 != 0 {
		signed = -unsigned // of different signs, the one with the high bit is less
	}
	switch op {
	case tcg.TPMEOEq:
		return unsigned == 0
	case tcg.TPMEONeq:
		return unsigned != 0
	case tcg.TPMEOSignedGT:
		return signed > 0
	case tcg.TPMEOUnsignedGT:
		return unsigned > 0
	case tcg.TPMEOSignedLT:
		return signed < 0
	case tcg.TPMEOUnsignedLT:
		return unsigned < 0
	case tcg.TPMEOSignedGE:
		return signed >= 0
	case tcg.TPMEOUnsignedGE:
		return unsigned >= 0
	case tcg.TPMEOSignedLE:
		return signed <= 0
	case tcg.TPMEOUnsignedLE:
		return unsigned <= 0
	}
	for i := range a {
		if op == tcg.TPMEOBitSet && a[i]&b[i] != b[i] || op == tcg.TPMEOBitClear && a[i]&b[i] != 0 {
			return false
		}
	}
	return op == tcg.TPMEOBitSet || op == tcg.TPMEOBitClear
}

// Policy commands of versions 1.83 and 1.84 (Part 3, sections 23.24 on).

// policyCapability is TPM2_PolicyCapability, which requires that a comparison
// holds with one property of a capability. A property that there is not differs
// from everything.
//
//	TPM_RC_POLICY  the comparison fails
//	TPM_RC_RANGE   offset and size reach beyond the property's data
//	TPM_RC_VALUE   not a capability of single properties, or offset beyond the
//	               data
func policyCapability(d *engine.Device, c *dispatch.Call) error {
	var o operands
	r := c.Reader()
	o.b = r.Next().Digest()
	o.offset = r.Next().Uint16()
	o.operation = r.Next().EO()
	capability := r.Next().Cap()
	property := r.Next().Uint32()
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	if !s.Trial {
		data, rc := capabilityEntry(d, capability, property)
		if rc != tcg.TPMRCSuccess {
			return rc
		}
		if rc := o.compareWith(data); rc != tcg.TPMRCSuccess {
			return rc
		}
	}
	args := tpmcrypto.Digest(s.Hash, o.b, binary.BigEndian.AppendUint16(nil, uint16(o.offset)), binary.BigEndian.AppendUint16(nil, uint16(o.operation)),
		binary.BigEndian.AppendUint32(nil, uint32(capability)), binary.BigEndian.AppendUint32(nil, property))
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyCapability, args)
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
// TPM2_GetCapability writes it, or nil if the property is not listed (Part 3, Table 184).
// TPM_RC_VALUE if the capability is no list by properties.
func capabilityEntry(d *engine.Device, capability tcg.TPMCap, property uint32) ([]byte, tcg.TPMRC) {
	if capability == tcg.TPMCapPCRs {
		return nil, tcg.TPMRCValue.P(4)
	}
	var w tcg.Writer
	w.Uint32(uint32(capability))
	w.Uint32(property)
	w.Uint32(1)
	inner := &dispatch.Call{Params: w.B, Sent: w.B, Profile: d.Profile}
	switch err := getCapability(d, inner); err {
	case nil:
	case tcg.TPMRCValue.P(1):
		return nil, tcg.TPMRCValue.P(4)
	default:
		return nil, tcg.TPMRCSuccess // a handle type, say, that has no list
	}
	// YES/NO, capability and count, then the entry. The list begins at the
	// property or, if it is not listed, at the next.
	const before = 1 + 4 + 4
	if len(inner.Out.B) <= before || binary.BigEndian.Uint32(inner.Out.B[5:]) != 1 {
		return nil, tcg.TPMRCSuccess
	}
	entry := inner.Out.B[before:]
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

// policyTransportSPDM is TPM2_PolicyTransportSPDM, which requires that the
// command comes by a secure channel. This TPM is not reached by SPDM, so that
// the policy can be computed and never be met.
//
//	TPM_RC_HASH   a Name does not begin with a hash algorithm
//	TPM_RC_SIZE   a Name has not the size of its digest
//	TPM_RC_VALUE  the session needs a secure channel already
func policyTransportSPDM(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	requester := r.Next().Name()
	tpm := r.Next().Name()
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	if s.Policy.Transport != nil {
		return tcg.TPMRCValue
	}
	for i, name := range [][]byte{requester, tpm} {
		if rc := checkObjectName(d, name); rc != tcg.TPMRCSuccess {
			return rc.P(i + 1)
		}
	}
	var keys []byte
	if len(requester)+len(tpm) != 0 {
		var w tcg.Writer
		w.Sized(requester)
		w.Sized(tpm)
		keys = tpmcrypto.Digest(s.Hash, w.B)
	}
	s.Policy.Transport = append([]byte{1}, keys...)
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyTransportSPDM, keys)
	return nil
}

// checkObjectName checks the form of the Name of an object, or none.
func checkObjectName(d *engine.Device, name []byte) tcg.TPMRC {
	if len(name) == 0 {
		return tcg.TPMRCSuccess
	}
	r := tcg.NewReader(name, d.Profile)
	alg := r.HashAlg()
	if rc := r.Err(); rc != tcg.TPMRCSuccess {
		return rc
	}
	if r.Len() != tpmcrypto.MustSize(alg) {
		return tcg.TPMRCSize
	}
	return tcg.TPMRCSuccess
}
