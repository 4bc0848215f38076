package vtpm

import (
	"bytes"
	"encoding/binary"

	"stubtpm/vtpm/tcg"
)

// Part 3, section 23 - Enhanced Authorization (EA) Commands: those that state
// a condition. cmd_policy_auth.go has those that prove an authorization.
var policyCommands = commandTable{
	tcg.TPMCCPolicySigned:            (*Device).policySigned,
	tcg.TPMCCPolicySecret:            (*Device).policySecret,
	tcg.TPMCCPolicyTicket:            (*Device).policyTicket,
	tcg.TPMCCPolicyAuthorize:         (*Device).policyAuthorize,
	tcg.TPMCCPolicyOR:                (*Device).policyOR,
	tcg.TPMCCPolicyPCR:               (*Device).policyPCR,
	tcg.TPMCCPolicyLocality:          (*Device).policyLocality,
	tcg.TPMCCPolicyCommandCode:       (*Device).policyCommandCode,
	tcg.TPMCCPolicyPhysicalPresence:  (*Device).policyPhysicalPresence,
	tcg.TPMCCPolicyCpHash:            (*Device).policyCpHash,
	tcg.TPMCCPolicyNameHash:          (*Device).policyNameHash,
	tcg.TPMCCPolicyDuplicationSelect: (*Device).policyDuplicationSelect,
	tcg.TPMCCPolicyAuthValue:         (*Device).policyAuthValue,
	tcg.TPMCCPolicyPassword:          (*Device).policyPassword,
	tcg.TPMCCPolicyGetDigest:         (*Device).policyGetDigest,
	tcg.TPMCCPolicyNvWritten:         (*Device).policyNvWritten,
	tcg.TPMCCPolicyTemplate:          (*Device).policyTemplate,
	tcg.TPMCCPolicyCounterTimer:      (*Device).policyCounterTimer,
	tcg.TPMCCPolicyNV:                (*Device).policyNV,
	tcg.TPMCCPolicyAuthorizeNV:       (*Device).policyAuthorizeNV,
}

// policyOR is TPM2_PolicyOR.
//
//	TPM_RC_SIZE   not a list of 2 to 8
//	TPM_RC_VALUE  the session's digest is not in the list
func (d *Device) policyOR(c *call) error {
	r := c.reader()
	var list tcg.TPMLDigest
	list.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	found := s.trial
	for _, v := range list.All() {
		found = found || bytes.Equal(v, s.policy.digest)
	}
	if !found {
		return tcg.TPMRCValue.P(1)
	}
	s.policy.reset0()
	s.policy.update(s.hash, tcg.TPMCCPolicyOR, list.All()...)
	return nil
}

// policyPCR is TPM2_PolicyPCR.
//
//	TPM_RC_VALUE        the PCRs are not what the caller says
//	TPM_RC_PCR_CHANGED  a PCR changed since this session's last PolicyPCR
func (d *Device) policyPCR(c *call) error {
	r := c.reader()
	want := r.next().Digest()
	var sel tcg.TPMLPCRSelection
	sel.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	there := d.vol.pcrs.Filter(&sel)
	have := d.vol.pcrs.Digest(s.hash, &there)
	if s.trial && len(want) != 0 {
		// A trial may state PCRs as they will be, and of another TPM.
		have, there = want, sel
	} else if !s.trial {
		if s.policy.pcrChecked && s.policy.pcrCounter != d.reset.pcrUpdateCounter {
			return tcg.TPMRCPCRChanged
		}
		if len(want) != 0 && !bytes.Equal(want, have) {
			return tcg.TPMRCValue.P(1)
		}
		s.policy.pcrChecked = true
		s.policy.pcrCounter = d.reset.pcrUpdateCounter
	}
	s.policy.update(s.hash, tcg.TPMCCPolicyPCR, tcg.Marshal(&there), have)
	return nil
}

// policyLocality is TPM2_PolicyLocality.
//
//	TPM_RC_RANGE  the localities exclude all that are allowed so far
func (d *Device) policyLocality(c *call) error {
	r := c.reader()
	var l tcg.TPMALocality
	l.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	have, want := s.policy.locality, uint8(l)
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
	s.policy.locality = have
	s.policy.update(s.hash, tcg.TPMCCPolicyLocality, []byte{want})
	return nil
}

// policyCommandCode is TPM2_PolicyCommandCode.
//
//	TPM_RC_VALUE  the session is bound to another command
func (d *Device) policyCommandCode(c *call) error {
	r := c.reader()
	code := tcg.TPMCC(r.next().Uint32())
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	if s.policy.commandCode != 0 && s.policy.commandCode != code {
		return tcg.TPMRCValue.P(1)
	}
	if !d.Implements(code) {
		return tcg.TPMRCPolicyCC.P(1)
	}
	s.policy.update(s.hash, tcg.TPMCCPolicyCommandCode, binary.BigEndian.AppendUint32(nil, uint32(code)))
	s.policy.commandCode = code
	return nil
}

// policyPhysicalPresence is TPM2_PolicyPhysicalPresence.
func (d *Device) policyPhysicalPresence(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	s.policy.presenceNeeded = true
	s.policy.update(s.hash, tcg.TPMCCPolicyPhysicalPresence)
	return nil
}

// hashRestricted reports whether a hash other than own restricts the session:
// there is room for one of cpHash, nameHash, parametersHash and templateHash.
func (p *policyState) hashRestricted(own []byte) bool {
	n := 0
	for _, h := range [][]byte{p.cpHash, p.nameHash, p.templateHash, p.parametersHash} {
		if h != nil {
			n++
		}
	}
	if own != nil {
		n--
	}
	return n > 0
}

// policyHash is the common part of the commands that restrict by a hash.
//
//	TPM_RC_SIZE    not the size of the session's digest
//	TPM_RC_CPHASH  restricted by a hash already; TPM2_PolicyCpHash and
//	               TPM2_PolicyTemplate may repeat their own
func (d *Device) policyHash(c *call, field func(p *policyState) *[]byte) error {
	r := c.reader()
	v := r.next().Digest()
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	own := field(s.policy)
	again, same := *own != nil, bytes.Equal(*own, v)
	switch c.spec.Code {
	case tcg.TPMCCPolicyCpHash, tcg.TPMCCPolicyTemplate: // may be repeated
	default:
		same = false
	}
	switch {
	case c.spec.Code == tcg.TPMCCPolicyTemplate && again && !same:
		return tcg.TPMRCValue.P(1)
	case s.policy.hashRestricted(*own) || again && !same:
		return tcg.TPMRCCPHash
	case len(v) != hashSize(s.hash):
		return tcg.TPMRCSize.P(1)
	}
	*own = bytes.Clone(v)
	s.policy.update(s.hash, c.spec.Code, v)
	return nil
}

// policyCpHash is TPM2_PolicyCpHash. Response codes are those of policyHash.
func (d *Device) policyCpHash(c *call) error {
	return d.policyHash(c, func(p *policyState) *[]byte { return &p.cpHash })
}

// policyNameHash is TPM2_PolicyNameHash. Response codes are those of
// policyHash.
func (d *Device) policyNameHash(c *call) error {
	return d.policyHash(c, func(p *policyState) *[]byte { return &p.nameHash })
}

// policyTemplate is TPM2_PolicyTemplate. Response codes are those of
// policyHash, and TPM_RC_VALUE for another template than before.
func (d *Device) policyTemplate(c *call) error {
	return d.policyHash(c, func(p *policyState) *[]byte { return &p.templateHash })
}

// policyDuplicationSelect is TPM2_PolicyDuplicationSelect.
//
//	TPM_RC_CPHASH     restricted by a hash already
//	TPM_RC_POLICY_CC  the session is bound to another command
func (d *Device) policyDuplicationSelect(c *call) error {
	r := c.reader()
	objectName := r.next().Name()
	parentName := r.next().Name()
	include := r.next().YesNo()
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	if s.policy.hashRestricted(nil) {
		return tcg.TPMRCCPHash
	}
	if cc := s.policy.commandCode; cc != 0 && cc != tcg.TPMCCDuplicate {
		return tcg.TPMRCPolicyCC
	}
	// The hash that TPM2_Duplicate has to meet covers both names; the digest
	// covers the object's only where the caller wants it to.
	s.policy.nameHash = digest(s.hash, objectName, parentName)
	last := []byte{0}
	if include {
		last[0] = 1
		s.policy.update(s.hash, tcg.TPMCCPolicyDuplicationSelect, objectName, parentName, last)
	} else {
		s.policy.update(s.hash, tcg.TPMCCPolicyDuplicationSelect, parentName, last)
	}
	s.policy.commandCode = tcg.TPMCCDuplicate
	return nil
}

// policyAuthValue is TPM2_PolicyAuthValue.
func (d *Device) policyAuthValue(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	s.policy.update(s.hash, tcg.TPMCCPolicyAuthValue)
	s.policy.authNeeded, s.policy.passwordNeeded = true, false
	return nil
}

// policyPassword is TPM2_PolicyPassword. Its digest is that of PolicyAuthValue,
// so that one policy allows both ways of giving the value.
func (d *Device) policyPassword(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	s.policy.update(s.hash, tcg.TPMCCPolicyAuthValue)
	s.policy.authNeeded, s.policy.passwordNeeded = false, true
	return nil
}

// policyGetDigest is TPM2_PolicyGetDigest.
func (d *Device) policyGetDigest(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	c.out.Sized(d.session(c.handles[0]).policy.digest)
	return nil
}

// policyNvWritten is TPM2_PolicyNvWritten.
//
//	TPM_RC_VALUE  the session was bound to the other state before
func (d *Device) policyNvWritten(c *call) error {
	r := c.reader()
	written := r.next().YesNo()
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	if s.policy.nvWrittenChecked && s.policy.nvWritten != written {
		return tcg.TPMRCValue.P(1)
	}
	s.policy.nvWrittenChecked, s.policy.nvWritten = true, written
	b := []byte{0}
	if written {
		b[0] = 1
	}
	s.policy.update(s.hash, tcg.TPMCCPolicyNvWritten, b)
	return nil
}

// operands are the parameters that TPM2_PolicyNV and PolicyCounterTimer share.
type operands struct {
	b         []byte
	offset    uint16
	operation tcg.TPMEO
}

func (c *call) readOperands() (o operands, err error) {
	r := c.reader()
	o.b = r.next().Digest()
	o.offset = r.next().Uint16()
	o.operation = r.next().EO()
	return o, r.end()
}

// args is the digest over the operands that goes into the policy.
func (o *operands) args(alg tcg.TPMAlgID) []byte {
	return digest(alg, o.b, binary.BigEndian.AppendUint16(nil, uint16(o.offset)), binary.BigEndian.AppendUint16(nil, uint16(o.operation)))
}

// policyCounterTimer is TPM2_PolicyCounterTimer. That Time be less than a number
// is a limit of the session, in seconds from its start, since version 1.83.
//
//	TPM_RC_EXPIRED  the session's limit has passed
//	TPM_RC_POLICY   the comparison fails
//	TPM_RC_RANGE    offset and size reach beyond TPMS_TIME_INFO
//	TPM_RC_VALUE    offset beyond it, or a limit of more than 68 years
func (d *Device) policyCounterTimer(c *call) error {
	o, err := c.readOperands()
	if err != nil {
		return err
	}
	s := d.session(c.handles[0])
	if !s.trial {
		rc := d.compareTime(&o)
		if o.offset == 0 && len(o.b) == 8 && o.operation == tcg.TPMEOUnsignedLT {
			rc = d.limitSession(s, uint64(binary.BigEndian.Uint32(o.b))<<32|uint64(binary.BigEndian.Uint32(o.b[4:])))
		}
		if rc != tcg.TPMRCSuccess {
			return rc
		}
	}
	s.policy.update(s.hash, tcg.TPMCCPolicyCounterTimer, o.args(s.hash))
	return nil
}

func (d *Device) compareTime(o *operands) tcg.TPMRC {
	info := d.timeInfo()
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
func (d *Device) limitSession(s *session, seconds uint64) tcg.TPMRC {
	if seconds > 1<<31-1 {
		return tcg.TPMRCValue.P(1)
	}
	start, ok := d.sessionStart(s)
	limit := start + 1000*seconds
	if !ok || limit < d.timeNow() {
		return tcg.TPMRCExpired.P(1)
	}
	s.policy.limit(limit, d.vol.clock.Epoch)
	return tcg.TPMRCSuccess
}

// policyNV is TPM2_PolicyNV.
//
//	TPM_RC_POLICY            the comparison fails
//	TPM_RC_NV_RANGE          offset and size reach beyond the index's data
//	TPM_RC_NV_LOCKED, TPM_RC_NV_UNINITIALIZED, TPM_RC_NV_AUTHORIZATION
//	                         the index cannot be read
func (d *Device) policyNV(c *call) error {
	o, err := c.readOperands()
	if err != nil {
		return err
	}
	s := d.session(c.handles[2])
	x := d.perm.nv.indices[c.handles[1]]
	if !s.trial {
		if rc := x.readable(c.handles[0]); rc != tcg.TPMRCSuccess {
			return rc
		}
		if int(o.offset) > len(x.data) {
			return tcg.TPMRCValue.P(2)
		}
		if len(o.b) > len(x.data)-int(o.offset) {
			return tcg.TPMRCNVRange
		}
		if !compare(x.data[o.offset:][:len(o.b)], o.b, o.operation) {
			return tcg.TPMRCPolicy
		}
	}
	s.policy.update(s.hash, tcg.TPMCCPolicyNV, o.args(s.hash), x.name())
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
