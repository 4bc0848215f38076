package vtpm

import (
	"bytes"
	"encoding/binary"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Policy commands that prove an authorization by a signature, a secret, a
// ticket or a signed policy.

// authorizationParams are the parameters that TPM2_PolicySigned and
// TPM2_PolicySecret share.
type authorizationParams struct {
	nonceTPM   []byte
	cpHashA    []byte
	policyRef  []byte
	expiration int32
}

func (p *authorizationParams) read(r *params) {
	p.nonceTPM = r.next().Digest()
	p.cpHashA = r.next().Digest()
	p.policyRef = r.next().Digest()
	p.expiration = int32(r.next().Uint32())
}

// check checks the parameters that do not depend on a signature and returns
// the time, in ms of Time, at which the authorization expires; 0 if it does
// not.
func (d *Device) checkAuthorization(s *session, p *authorizationParams) (uint64, tcg.TPMRC) {
	if s.trial {
		return 0, tcg.TPMRCSuccess
	}
	if len(p.nonceTPM) != 0 && !bytes.Equal(p.nonceTPM, s.nonceTPM) {
		return 0, tcg.TPMRCValue.P(1)
	}
	var timeout uint64
	if p.expiration != 0 {
		seconds := uint64(max(int64(p.expiration), -int64(p.expiration)))
		// With the session's nonce, the time counts from the session's start;
		// without, it is a value of Time (Part 3, 23.2.2).
		base, ok := uint64(0), true
		if len(p.nonceTPM) != 0 {
			base, ok = d.sessionStart(s)
		}
		timeout = base + 1000*seconds
		if !ok || timeout < d.timeNow() {
			return 0, tcg.TPMRCExpired.P(4)
		}
	}
	if len(p.cpHashA) != 0 {
		if len(p.cpHashA) != hashSize(s.hash) {
			return 0, tcg.TPMRCSize.P(2)
		}
		if s.policy.hashRestricted(s.policy.cpHash) ||
			s.policy.cpHash != nil && !bytes.Equal(s.policy.cpHash, p.cpHashA) {
			return 0, tcg.TPMRCCPHash
		}
	}
	return timeout, tcg.TPMRCSuccess
}

// sessionStart is the value of Time, in ms, when the session started. A session that
// was saved before the TPM was started anew has none.
func (d *Device) sessionStart(s *session) (ms uint64, ok bool) {
	return s.policy.start, s.policy.startEpoch == d.vol.clock.Epoch
}

// applyAuthorization records in the session what was proven.
func (d *Device) applyAuthorization(s *session, code tcg.TPMCC, name, ref, cpHash []byte, timeout uint64) {
	s.policy.updateRef(s.hash, code, name, ref)
	if len(cpHash) != 0 {
		s.policy.cpHash = bytes.Clone(cpHash)
	}
	if timeout != 0 {
		s.policy.limit(timeout, d.vol.clock.Epoch)
	}
}

// writeAuthTicket writes timeout and policyTicket. A negative expiration asks
// for a ticket; else, or with none, both are empty.
func (d *Device) writeAuthTicket(c *call, tag tcg.TPMST, root tcg.TPMHandle, p *authorizationParams,
	timeout uint64, name []byte, none bool) {
	if p.expiration >= 0 || none {
		c.out.Sized(nil)
		t := tcg.TPMTTk{Tag: tag, Hierarchy: tcg.TPMRHNull}
		t.Marshal(&c.out)
		return
	}
	// A ticket that has to die with this session's nonce is told by the top
	// bit of its timeout (Part 3, "TPM2_PolicyTicket").
	var w tcg.Writer
	stamp := timeout
	if len(p.nonceTPM) != 0 {
		stamp |= 1 << 63
	}
	w.Uint64(stamp) // no more than 8 bytes (Part 2, TPM2B_TIMEOUT)
	c.out.Sized(w.B)
	t := tcg.TPMTTk{Tag: tag, Hierarchy: root}
	t.Digest = d.authTicket(root, tag, w.B, p.cpHashA, p.policyRef, name)
	t.Marshal(&c.out)
}

// authTicket is the digest of a TPMT_TK_AUTH (Part 2, table "TPMT_TK_AUTH").
// Lengths separate the variable parts.
func (d *Device) authTicket(h tcg.TPMHandle, tag tcg.TPMST, timeout, cpHash, ref, name []byte) []byte {
	var w tcg.Writer
	for _, b := range [][]byte{timeout, cpHash, ref, name} {
		w.Sized(b)
	}
	// Time begins anew at _TPM_Init, and with it what a timeout means.
	return d.ticketHMAC(h, tag, w.B, binary.BigEndian.AppendUint32(nil, d.perm.resetCount), binary.BigEndian.AppendUint32(nil, d.perm.clearCount), binary.BigEndian.AppendUint32(nil, d.vol.clock.Epoch))
}

// policySigned is TPM2_PolicySigned.
//
//	TPM_RC_CPHASH       another cpHash restricts the session
//	TPM_RC_EXPIRED      expiration has passed
//	TPM_RC_POLICY_FAIL  the signature is not the authority's
//	TPM_RC_SCHEME       the signature's scheme is not that of a key of this type
//	TPM_RC_SIZE         cpHashA is not of the session's algorithm
//	TPM_RC_VALUE        nonceTPM is not the session's
func (d *Device) policySigned(c *call) error {
	var p authorizationParams
	var sig tcg.TPMTSignature
	r := c.reader()
	p.read(r)
	sig.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return err
	}
	o, s := d.object(c.handles[0]), d.session(c.handles[1])
	timeout, rc := d.checkAuthorization(s, &p)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	if !s.trial {
		// aHash covers what the authority agreed to.
		aHash := digest(signatureHash(&sig), p.nonceTPM, binary.BigEndian.AppendUint32(nil, uint32(p.expiration)), p.cpHashA, p.policyRef)
		switch rc := d.verify(o, aHash, &sig); rc {
		case tcg.TPMRCSuccess:
		case tcg.TPMRCSignature:
			return tcg.TPMRCPolicyFail
		default:
			return rc.P(5)
		}
	}
	d.applyAuthorization(s, tcg.TPMCCPolicySigned, o.name, p.policyRef, p.cpHashA, timeout)
	d.writeAuthTicket(c, tcg.TPMSTAuthSigned, o.hierarchy, &p, timeout, o.name, s.trial)
	return nil
}

// policySecret is TPM2_PolicySecret. The dispatcher has checked the secret.
//
//	TPM_RC_CPHASH   another cpHash restricts the session
//	TPM_RC_EXPIRED  expiration has passed
//	TPM_RC_SIZE     cpHashA is not of the session's algorithm
//	TPM_RC_VALUE    nonceTPM is not the session's
func (d *Device) policySecret(c *call) error {
	var p authorizationParams
	r := c.reader()
	p.read(r)
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[1])
	timeout, rc := d.checkAuthorization(s, &p)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	name := c.names[0]
	d.applyAuthorization(s, tcg.TPMCCPolicySecret, name, p.policyRef, p.cpHashA, timeout)
	// A ticket would be a use that a PIN Pass index does not count (Part 1,
	// 34.2.8.3).
	x := d.perm.nv.indices[c.handles[0]]
	none := s.trial || x != nil && x.kind() == tcg.TPMNTPinPass
	d.writeAuthTicket(c, tcg.TPMSTAuthSecret, d.entityHierarchy(c.handles[0]), &p, timeout, name, none)
	return nil
}

// entityHierarchy is the hierarchy whose proof a ticket about h uses.
func (d *Device) entityHierarchy(h tcg.TPMHandle) tcg.TPMHandle {
	switch h.Type() {
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		return d.object(h).hierarchy
	case tcg.TPMHTNVIndex:
		if d.perm.nv.indices[h].has(tcg.TPMANVPlatformCreate) {
			return tcg.TPMRHPlatform
		}
		return tcg.TPMRHOwner
	case tcg.TPMHTPermanent:
		switch h {
		case tcg.TPMRHPlatform, tcg.TPMRHEndorsement, tcg.TPMRHNull:
			return h
		case tcg.TPMRHLockout:
			return tcg.TPMRHOwner
		}
		return tcg.TPMRHOwner
	}
	return tcg.TPMRHNull
}

// policyTicket is TPM2_PolicyTicket.
//
//	TPM_RC_CPHASH   another cpHash restricts the session
//	TPM_RC_EXPIRED  the ticket has expired
//	TPM_RC_SIZE     timeout is not one that this TPM made
//	TPM_RC_TICKET   the ticket is not valid
func (d *Device) policyTicket(c *call) error {
	r := c.reader()
	timeout := r.next().Timeout()
	cpHash := r.next().Digest()
	ref := r.next().Digest()
	name := r.next().Name()
	var ticket tcg.TPMTTk
	ticket.UnmarshalAuth(r.next())
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	if s.trial {
		return tcg.TPMRCAttributes.H(1)
	}
	if len(timeout) != 8 {
		return tcg.TPMRCSize.P(1)
	}
	tr := tcg.NewReader(timeout, nil)
	expires := tr.Uint64() &^ (1 << 63)
	if len(cpHash) != 0 {
		if len(cpHash) != hashSize(s.hash) {
			return tcg.TPMRCSize.P(2)
		}
		if s.policy.hashRestricted(s.policy.cpHash) ||
			s.policy.cpHash != nil && !bytes.Equal(s.policy.cpHash, cpHash) {
			return tcg.TPMRCCPHash
		}
	}
	if !d.hierarchies().Enabled(ticket.Hierarchy) ||
		!tpmcrypto.Equal(ticket.Digest, d.authTicket(ticket.Hierarchy, ticket.Tag, timeout, cpHash, ref, name)) {
		return tcg.TPMRCTicket.P(5)
	}
	if expires < d.timeNow() {
		return tcg.TPMRCExpired.P(1)
	}
	code := tcg.TPMCCPolicySigned
	if ticket.Tag == tcg.TPMSTAuthSecret {
		code = tcg.TPMCCPolicySecret
	}
	d.applyAuthorization(s, code, name, ref, cpHash, expires)
	return nil
}

// policyAuthorize is TPM2_PolicyAuthorize.
//
//	TPM_RC_HASH    the name's algorithm is not implemented
//	TPM_RC_POLICY  the ticket is not one for approvedPolicy and the key
//	TPM_RC_SIZE    the name is not of its algorithm's size
//	TPM_RC_VALUE   approvedPolicy is not the session's digest
func (d *Device) policyAuthorize(c *call) error {
	r := c.reader()
	approved := r.next().Digest()
	ref := r.next().Digest()
	keySign := r.next().Name()
	var ticket tcg.TPMTTk
	ticket.UnmarshalVerified(r.next())
	if err := r.end(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	if len(keySign) < 2 {
		return tcg.TPMRCSize.P(3)
	}
	alg := tcg.TPMAlgID(binary.BigEndian.Uint16(keySign))
	n := tpmcrypto.DigestSize(alg)
	if n == 0 || !d.profile.HasAlg(alg) {
		return tcg.TPMRCHash.P(3)
	}
	if len(keySign) != 2+n {
		return tcg.TPMRCSize.P(3)
	}
	if !s.trial {
		if !bytes.Equal(approved, s.policy.digest) {
			return tcg.TPMRCValue.P(1)
		}
		aHash := digest(alg, approved, ref)
		if !d.hierarchies().Enabled(ticket.Hierarchy) ||
			!tpmcrypto.Equal(ticket.Digest, d.verifiedTicket(ticket.Hierarchy, aHash, keySign)) {
			return tcg.TPMRCPolicy
		}
	}
	s.policy.reset0()
	s.policy.updateRef(s.hash, tcg.TPMCCPolicyAuthorize, keySign, ref)
	return nil
}

// policyAuthorizeNV is TPM2_PolicyAuthorizeNV.
//
//	TPM_RC_HASH   the index holds a policy of another algorithm
//	TPM_RC_VALUE  the policy in the index is not the session's digest
func (d *Device) policyAuthorizeNV(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	x, s := d.perm.nv.indices[c.handles[1]], d.session(c.handles[2])
	if !s.trial {
		if rc := x.readable(c.handles[0]); rc != tcg.TPMRCSuccess {
			return rc
		}
		// The index holds a TPMT_HA: algorithm and digest.
		if len(x.data) < 2 {
			return tcg.TPMRCInsufficient
		}
		alg := tcg.TPMAlgID(binary.BigEndian.Uint16(x.data))
		if tpmcrypto.DigestSize(alg) == 0 || alg != s.hash {
			return tcg.TPMRCHash
		}
		if len(x.data) < 2+hashSize(alg) {
			return tcg.TPMRCInsufficient
		}
		if !bytes.Equal(x.data[2:2+hashSize(alg)], s.policy.digest) {
			return tcg.TPMRCValue
		}
	}
	s.policy.reset0()
	s.policy.update(s.hash, tcg.TPMCCPolicyAuthorizeNV, x.name())
	return nil
}
