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

func (p *authorizationParams) read(r *dispatch.Params) {
	p.nonceTPM = r.Next().Digest()
	p.cpHashA = r.Next().Digest()
	p.policyRef = r.Next().Digest()
	p.expiration = int32(r.Next().Uint32())
}

// check checks the parameters that do not depend on a signature and returns
// the time, in ms of Time, at which the authorization expires; 0 if it does
// not.
func checkAuthorization(d *engine.Device, s *session.Session, p *authorizationParams) (uint64, tcg.TPMRC) {
	if s.Trial {
		return 0, tcg.TPMRCSuccess
	}
	if len(p.nonceTPM) != 0 && !bytes.Equal(p.nonceTPM, s.NonceTPM) {
		return 0, tcg.TPMRCValue.P(1)
	}
	var timeout uint64
	if p.expiration != 0 {
		seconds := uint64(max(int64(p.expiration), -int64(p.expiration)))
		// With the session's nonce, the time counts from the session's start;
		// without, it is a value of Time (Part 3, 23.2.2).
		base, ok := uint64(0), true
		if len(p.nonceTPM) != 0 {
			base, ok = sessionStart(d, s)
		}
		timeout = base + 1000*seconds
		if !ok || timeout < d.TimeNow() {
			return 0, tcg.TPMRCExpired.P(4)
		}
	}
	if len(p.cpHashA) != 0 {
		if len(p.cpHashA) != tpmcrypto.MustSize(s.Hash) {
			return 0, tcg.TPMRCSize.P(2)
		}
		if s.Policy.HashRestricted(s.Policy.CPHash) ||
			s.Policy.CPHash != nil && !bytes.Equal(s.Policy.CPHash, p.cpHashA) {
			return 0, tcg.TPMRCCPHash
		}
	}
	return timeout, tcg.TPMRCSuccess
}

// sessionStart is the value of Time, in ms, when the session started. A session that
// was saved before the TPM was started again has none.
func sessionStart(d *engine.Device, s *session.Session) (ms uint64, ok bool) {
	return s.Policy.Start, s.Policy.StartEpoch == d.Vol.Clock.Epoch
}

// applyAuthorization records in the session what was proven.
func applyAuthorization(d *engine.Device, s *session.Session, code tcg.TPMCC, name, ref, cpHash []byte, timeout uint64) {
	s.Policy.UpdateRef(s.Hash, code, name, ref)
	if len(cpHash) != 0 {
		s.Policy.CPHash = bytes.Clone(cpHash)
	}
	if timeout != 0 {
		s.Policy.Limit(timeout, d.Vol.Clock.Epoch)
	}
}

// writeAuthTicket writes timeout and policyTicket. A negative expiration asks
// for a ticket; else, or with none, both are empty.
func writeAuthTicket(d *engine.Device, c *dispatch.Call, tag tcg.TPMST, root tcg.TPMHandle, p *authorizationParams,
	timeout uint64, name []byte, none bool) {
	if p.expiration >= 0 || none {
		c.Out.Sized(nil)
		t := tcg.TPMTTk{Tag: tag, Hierarchy: tcg.TPMRHNull}
		t.Marshal(&c.Out)
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
	c.Out.Sized(w.B)
	t := tcg.TPMTTk{Tag: tag, Hierarchy: root}
	t.Digest = authTicket(d, root, tag, w.B, p.cpHashA, p.policyRef, name)
	t.Marshal(&c.Out)
}

// authTicket is the digest of a TPMT_TK_AUTH (Part 2, table "TPMT_TK_AUTH").
// Lengths separate the variable parts.
func authTicket(d *engine.Device, h tcg.TPMHandle, tag tcg.TPMST, timeout, cpHash, ref, name []byte) []byte {
	var w tcg.Writer
	for _, b := range [][]byte{timeout, cpHash, ref, name} {
		w.Sized(b)
	}
	// Time begins again at _TPM_Init, and with it what a timeout means.
	return d.TicketHMAC(h, tag, w.B, binary.BigEndian.AppendUint32(nil, d.Perm.ResetCount), binary.BigEndian.AppendUint32(nil, d.Perm.ClearCount), binary.BigEndian.AppendUint32(nil, d.Vol.Clock.Epoch))
}

// policySigned is TPM2_PolicySigned, which requires a signature by a key.
//
//	TPM_RC_CPHASH       another cpHash restricts the session
//	TPM_RC_EXPIRED      expiration has passed
//	TPM_RC_HANDLE       an HMAC key of which only the public part is loaded
//	TPM_RC_POLICY_FAIL  the signature is not the authority's
//	TPM_RC_SCHEME       the signature's scheme is not that of a key of this type
//	TPM_RC_SIZE         cpHashA is not of the session's algorithm
//	TPM_RC_VALUE        nonceTPM is not the session's
func policySigned(d *engine.Device, c *dispatch.Call) error {
	var p authorizationParams
	var sig tcg.TPMTSignature
	r := c.Reader()
	p.read(r)
	sig.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	o, s := d.Object(c.Handles[0]), d.Session(c.Handles[1])
	timeout, rc := checkAuthorization(d, s, &p)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	if !s.Trial {
		// What the authority agreed to.
		toBeSigned := bytes.Join([][]byte{p.nonceTPM, binary.BigEndian.AppendUint32(nil, uint32(p.expiration)), p.cpHashA, p.policyRef}, nil)
		switch rc := verifyMessage(d, o, toBeSigned, &sig); rc {
		case tcg.TPMRCSuccess:
		case tcg.TPMRCSignature:
			return tcg.TPMRCPolicyFail
		default:
			return rc.P(5)
		}
	}
	applyAuthorization(d, s, tcg.TPMCCPolicySigned, o.Name, p.policyRef, p.cpHashA, timeout)
	writeAuthTicket(d, c, tcg.TPMSTAuthSigned, o.Hierarchy, &p, timeout, o.Name, s.Trial)
	return nil
}

// policySecret is TPM2_PolicySecret, which requires that another entity's
// authorization was proven. The dispatcher has checked the secret.
//
//	TPM_RC_CPHASH   another cpHash restricts the session
//	TPM_RC_EXPIRED  expiration has passed
//	TPM_RC_MODE     a policy session that does not prove the secret; from the
//	                dispatcher
//	TPM_RC_SIZE     cpHashA is not of the session's algorithm
//	TPM_RC_VALUE    nonceTPM is not the session's
func policySecret(d *engine.Device, c *dispatch.Call) error {
	var p authorizationParams
	r := c.Reader()
	p.read(r)
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[1])
	timeout, rc := checkAuthorization(d, s, &p)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	name := c.Names[0]
	applyAuthorization(d, s, tcg.TPMCCPolicySecret, name, p.policyRef, p.cpHashA, timeout)
	// A ticket would be a use that a PIN Pass index does not count (Part 1,
	// 34.2.8.3).
	x := d.Index(c.Handles[0])
	none := s.Trial || x != nil && x.Kind() == tcg.TPMNTPinPass
	writeAuthTicket(d, c, tcg.TPMSTAuthSecret, entityHierarchy(d, c.Handles[0]), &p, timeout, name, none)
	return nil
}

// entityHierarchy is the hierarchy whose proof a ticket about h uses.
func entityHierarchy(d *engine.Device, h tcg.TPMHandle) tcg.TPMHandle {
	switch h.Type() {
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		return d.Object(h).Hierarchy
	case tcg.TPMHTNVIndex:
		if d.Index(h).Has(tcg.TPMANVPlatformCreate) {
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

// policyTicket is TPM2_PolicyTicket, which takes a ticket in place of the
// signature or secret for which it was given.
//
//	TPM_RC_ATTRIBUTES  a trial session, which a ticket says nothing to
//	TPM_RC_CPHASH      another cpHash restricts the session
//	TPM_RC_EXPIRED     the ticket has expired
//	TPM_RC_SIZE        timeout is not one that this TPM made, or cpHashA is not of
//	                   the session's algorithm
//	TPM_RC_TICKET      the ticket is not valid, or its hierarchy is disabled
func policyTicket(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	timeout := r.Next().Timeout()
	cpHash := r.Next().Digest()
	ref := r.Next().Digest()
	name := r.Next().Name()
	var ticket tcg.TPMTTk
	ticket.UnmarshalAuth(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	if s.Trial {
		return tcg.TPMRCAttributes.H(1)
	}
	if len(timeout) != 8 {
		return tcg.TPMRCSize.P(1)
	}
	tr := tcg.NewReader(timeout, nil)
	expires := tr.Uint64() &^ (1 << 63)
	if len(cpHash) != 0 {
		if len(cpHash) != tpmcrypto.MustSize(s.Hash) {
			return tcg.TPMRCSize.P(2)
		}
		if s.Policy.HashRestricted(s.Policy.CPHash) ||
			s.Policy.CPHash != nil && !bytes.Equal(s.Policy.CPHash, cpHash) {
			return tcg.TPMRCCPHash
		}
	}
	if !d.Hierarchies().Enabled(ticket.Hierarchy) ||
		!tpmcrypto.Equal(ticket.Digest, authTicket(d, ticket.Hierarchy, ticket.Tag, timeout, cpHash, ref, name)) {
		return tcg.TPMRCTicket.P(5)
	}
	if expires < d.TimeNow() {
		return tcg.TPMRCExpired.P(1)
	}
	code := tcg.TPMCCPolicySigned
	if ticket.Tag == tcg.TPMSTAuthSecret {
		code = tcg.TPMCCPolicySecret
	}
	applyAuthorization(d, s, code, name, ref, cpHash, expires)
	return nil
}

// policyAuthorize is TPM2_PolicyAuthorize, which replaces the policy so far by
// the key that approved it.
//
//	TPM_RC_HASH    the name's algorithm is not implemented
//	TPM_RC_POLICY  the ticket is not one for approvedPolicy and policyRef, and the key
//	TPM_RC_SIZE    the name is not of its algorithm's size
//	TPM_RC_VALUE   approvedPolicy is not the session's digest
func policyAuthorize(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	approved := r.Next().Digest()
	ref := r.Next().Digest()
	keySign := r.Next().Name()
	var ticket tcg.TPMTTk
	ticket.UnmarshalVerified(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	if len(keySign) < 2 {
		return tcg.TPMRCSize.P(3)
	}
	alg := tcg.TPMAlgID(binary.BigEndian.Uint16(keySign))
	n := tpmcrypto.DigestSize(alg)
	if n == 0 || !d.Profile.HasAlg(alg) {
		return tcg.TPMRCHash.P(3)
	}
	if len(keySign) != 2+n {
		return tcg.TPMRCSize.P(3)
	}
	if !s.Trial {
		if !bytes.Equal(approved, s.Policy.Digest) {
			return tcg.TPMRCValue.P(1)
		}
		if !d.Hierarchies().Enabled(ticket.Hierarchy) || len(ticket.Digest) == 0 ||
			!tpmcrypto.Equal(ticket.Digest, approvalTicket(d, &ticket, approved, ref, keySign, alg)) {
			return tcg.TPMRCPolicy
		}
	}
	s.Policy.ZeroDigest()
	s.Policy.UpdateRef(s.Hash, tcg.TPMCCPolicyAuthorize, keySign, ref)
	return nil
}

// approvalTicket is the digest that a ticket has which says that a key signed a
// policy: its message, its digest by the algorithm in the ticket, or, for
// TPM2_VerifySignature, that by the algorithm of the key's Name (Part 3, 23.16.2).
func approvalTicket(d *engine.Device, t *tcg.TPMTTk, approved, ref, keySign []byte, nameAlg tcg.TPMAlgID) []byte {
	switch {
	case t.Tag == tcg.TPMSTMessageVerified:
		return d.TicketHMAC(t.Hierarchy, t.Tag, approved, ref, keySign)
	case t.Tag == tcg.TPMSTVerified:
		return verifiedTicket(d, t.Hierarchy, tpmcrypto.Digest(nameAlg, approved, ref), keySign)
	case tpmcrypto.DigestSize(t.HashAlg) == 0:
		return nil // which is no ticket's
	}
	return digestTicket(d, t.Hierarchy, tpmcrypto.Digest(t.HashAlg, approved, ref), keySign, t.HashAlg)
}

// policyAuthorizeNV is TPM2_PolicyAuthorizeNV, which replaces the policy so far
// by the NV index that holds it.
//
//	TPM_RC_HASH          the index holds a policy of another algorithm
//	TPM_RC_INSUFFICIENT  the index is too small for a policy
//	TPM_RC_NV_LOCKED, TPM_RC_NV_UNINITIALIZED, TPM_RC_NV_AUTHORIZATION
//	                     the index cannot be read
//	TPM_RC_VALUE         the policy in the index is not the session's digest
func policyAuthorizeNV(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	x, s := d.Index(c.Handles[1]), d.Session(c.Handles[2])
	if !s.Trial {
		if rc := x.Readable(c.Handles[0]); rc != tcg.TPMRCSuccess {
			return rc
		}
		// The index holds a TPMT_HA: algorithm and digest.
		if len(x.Data) < 2 {
			return tcg.TPMRCInsufficient
		}
		alg := tcg.TPMAlgID(binary.BigEndian.Uint16(x.Data))
		if tpmcrypto.DigestSize(alg) == 0 || alg != s.Hash {
			return tcg.TPMRCHash
		}
		if len(x.Data) < 2+tpmcrypto.MustSize(alg) {
			return tcg.TPMRCInsufficient
		}
		if !bytes.Equal(x.Data[2:2+tpmcrypto.MustSize(alg)], s.Policy.Digest) {
			return tcg.TPMRCValue
		}
	}
	s.Policy.ZeroDigest()
	s.Policy.Update(s.Hash, tcg.TPMCCPolicyAuthorizeNV, x.Name())
	return nil
}
