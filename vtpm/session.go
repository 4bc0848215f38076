package vtpm

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Limits on sessions (TPM_PT_ACTIVE_SESSIONS_MAX, TPM_PT_HR_LOADED_MIN).
// maxLoadedSessions leaves a resource manager and several tools beside it
// undisturbed.
const (
	maxActiveSessions = 64
	maxLoadedSessions = 16
	maxSessions       = 3 // in one command
)

// A session is an authorization session (Part 1, "Authorizations and
// Acknowledgments").
type session struct {
	handle    tcg.TPMHandle
	policy    *policyState // nil for an HMAC session
	trial     bool
	hash      tcg.TPMAlgID
	symmetric tcg.TPMTSymDef
	nonceTPM  []byte
	key       []byte // sessionKey

	// bind is the entity that an HMAC session is bound to, and the
	// authorization value that it had then: a changed value ends the binding.
	bindName     []byte
	bindAuth     []byte
	bound        bool // an authorization value that was not proven is in key
	daBound      bool // bound to an entity that dictionary attack logic protects
	lockoutBound bool

	audited     bool // auditDigest is in use
	auditDigest []byte
}

func (s *session) wipe() {
	tpmcrypto.Zero(s.key)
	tpmcrypto.Zero(s.bindAuth)
}

// An authorization is one entry of a command's session area.
type authorization struct {
	s           *session // nil for a password
	nonceCaller []byte
	attrs       tcg.TPMASession
	value       []byte // HMAC or password

	includeAuth bool          // the entity's authorization value is part of the HMAC key
	handle      tcg.TPMHandle // of the entity authorized, valid if forHandle
	forHandle   bool
}

// session returns the loaded session with handle h, or nil.
func (d *Device) session(h tcg.TPMHandle) *session { return d.vol.sessions.get(h) }

// flushSession forgets a loaded session and frees its slot.
func (d *Device) flushSession(s *session) {
	i := slotOf(s.handle)
	d.flushed = append(d.flushed, s)
	d.vol.sessions[i] = nil
	d.reset.contexts.release(i)
	if d.vol.exclusive == s.handle {
		d.vol.exclusive = 0
	}
}

// readSessions takes the session area (Part 3, 5.5). A fault of the n-th
// session is reported as of session n.
func (d *Device) readSessions(c *call, r *tcg.Reader) tcg.TPMRC {
	if c.spec.Has(tcg.AttrNoSessions) {
		return tcg.TPMRCAuthContext
	}
	n := int64(r.Uint32())
	if r.Err() != tcg.TPMRCSuccess {
		return tcg.TPMRCAuthSize
	}
	// The smallest session is 9 bytes: handle, two empty buffers, attributes.
	if n < 9 || n > int64(r.Len()) {
		return tcg.TPMRCAuthSize
	}
	area := tcg.NewReader(r.Bytes(int(n)), d.profile)
	var audit, decrypt, encrypt bool
	for area.Len() > 0 {
		i := c.nSessions
		if i == maxSessions {
			return tcg.TPMRCAuthSize
		}
		a, rc := d.readSession(c, &area)
		if rc != tcg.TPMRCSuccess {
			if rc == tcg.TPMRCReferenceS0 {
				return rc + tcg.TPMRC(i)
			}
			return rc.S(i + 1)
		}
		twice := a.attrs&tcg.TPMASessionAudit != 0 && audit ||
			a.attrs&tcg.TPMASessionDecrypt != 0 && decrypt ||
			a.attrs&tcg.TPMASessionEncrypt != 0 && encrypt
		if twice {
			return tcg.TPMRCAttributes.S(i + 1)
		}
		audit = audit || a.attrs&tcg.TPMASessionAudit != 0
		decrypt = decrypt || a.attrs&tcg.TPMASessionDecrypt != 0
		encrypt = encrypt || a.attrs&tcg.TPMASessionEncrypt != 0
		c.sessions[i] = a
		c.nSessions++
	}
	return tcg.TPMRCSuccess
}

func (d *Device) readSession(c *call, r *tcg.Reader) (a authorization, rc tcg.TPMRC) {
	h := tcg.TPMHandle(r.Uint32())
	a.nonceCaller = r.Sized(tcg.MaxDigestSize)
	a.attrs.Unmarshal(r)
	a.value = r.Sized(tcg.MaxDigestSize)
	if rc := r.Err(); rc != tcg.TPMRCSuccess {
		return a, rc
	}
	if h == tcg.TPMRSPW {
		if a.attrs&^tcg.TPMASessionContinueSession != 0 {
			return a, tcg.TPMRCAttributes
		}
		if len(a.nonceCaller) != 0 {
			return a, tcg.TPMRCNonce
		}
		return a, tcg.TPMRCSuccess
	}
	if !h.IsSession() {
		return a, tcg.TPMRCValue
	}
	if a.s = d.session(h); a.s == nil {
		return a, tcg.TPMRCReferenceS0
	}
	for i := range c.nSessions {
		if c.sessions[i].s == a.s {
			return a, tcg.TPMRCHandle
		}
	}
	if a.attrs&tcg.TPMASessionAudit != 0 {
		if a.s.policy != nil {
			return a, tcg.TPMRCAttributes
		}
	} else if a.attrs&(tcg.TPMASessionAuditExclusive|tcg.TPMASessionAuditReset) != 0 {
		return a, tcg.TPMRCAttributes
	}
	if a.attrs&tcg.TPMASessionDecrypt != 0 {
		if c.spec.DecryptSize() == 0 {
			return a, tcg.TPMRCAttributes
		}
		if a.s.symmetric.Algorithm == tcg.TPMAlgNull {
			return a, tcg.TPMRCSymmetric
		}
	}
	if a.attrs&tcg.TPMASessionEncrypt != 0 {
		if c.spec.EncryptSize() == 0 {
			return a, tcg.TPMRCAttributes
		}
		if a.s.symmetric.Algorithm == tcg.TPMAlgNull {
			return a, tcg.TPMRCSymmetric
		}
	}
	return a, tcg.TPMRCSuccess
}

// decryptSession and encryptSession return the session that de- or encrypts
// the first parameter, or nil.
func (c *call) decryptSession() *authorization { return c.sessionWith(tcg.TPMASessionDecrypt) }
func (c *call) encryptSession() *authorization { return c.sessionWith(tcg.TPMASessionEncrypt) }
func (c *call) auditSession() *authorization   { return c.sessionWith(tcg.TPMASessionAudit) }

func (c *call) sessionWith(attr tcg.TPMASession) *authorization {
	for i := range c.nSessions {
		if c.sessions[i].attrs&attr != 0 {
			return &c.sessions[i]
		}
	}
	return nil
}

// cpHash is the digest over command code, names and parameters as sent (Part
// 1, "cpHash").
func (c *call) cpHash(alg tcg.TPMAlgID) []byte {
	for _, h := range c.cpHashes {
		if h.alg == alg {
			return h.digest
		}
	}
	h := newHash(alg)
	cc := uint32(c.spec.Code)
	h.Write([]byte{byte(cc >> 24), byte(cc >> 16), byte(cc >> 8), byte(cc)})
	for i := range c.spec.Handles {
		h.Write(c.names[i])
	}
	h.Write(c.sent)
	v := h.Sum(nil)
	c.cpHashes = append(c.cpHashes, hashValue{alg, v})
	return v
}

// nameHash is the digest over the names of the handles (Part 3,
// TPM2_PolicyNameHash).
func (c *call) nameHash(alg tcg.TPMAlgID) []byte {
	h := newHash(alg)
	for i := range c.spec.Handles {
		h.Write(c.names[i])
	}
	return h.Sum(nil)
}

// rpHash is the digest over response code, command code and response
// parameters (Part 1, "rpHash").
func (c *call) rpHash(alg tcg.TPMAlgID) []byte {
	h := newHash(alg)
	cc := uint32(c.spec.Code)
	h.Write([]byte{0, 0, 0, 0, byte(cc >> 24), byte(cc >> 16), byte(cc >> 8), byte(cc)})
	h.Write(c.out.B)
	return h.Sum(nil)
}

// hmacKey is the session key, with the authorized entity's value appended
// where the session's rules ask for it.
func (d *Device) hmacKey(a *authorization) []byte {
	key := append([]byte(nil), a.s.key...)
	if a.includeAuth {
		key = append(key, d.entityAuth(a.handle)...)
	}
	return key
}

// commandHMAC is the HMAC that session i of the command has to carry (Part 1,
// "HMAC Computation").
func (d *Device) commandHMAC(c *call, i int) []byte {
	a := &c.sessions[i]
	key := d.hmacKey(a)
	if len(key) == 0 && len(a.value) == 0 {
		return nil // an empty HMAC is allowed where there is no secret at all
	}
	var nonceDecrypt, nonceEncrypt []byte
	if i == 0 && a.forHandle {
		// The first session, if it authorizes, vouches for the sessions that
		// encrypt, so that they cannot be exchanged on the way.
		dec, enc := c.decryptSession(), c.encryptSession()
		if dec != nil && dec != a {
			nonceDecrypt = dec.s.nonceTPM
		}
		if enc != nil && enc != a && enc != dec {
			nonceEncrypt = enc.s.nonceTPM
		}
	}
	return hmacSum(a.s.hash, key, c.cpHash(a.s.hash), a.nonceCaller, a.s.nonceTPM,
		nonceDecrypt, nonceEncrypt, []byte{byte(a.attrs)})
}

// parameterKey derives the key that encrypts the first parameter.
func (d *Device) parameterKey(a *authorization) []byte {
	key := append([]byte(nil), a.s.key...)
	if a.forHandle {
		key = append(key, d.entityAuth(a.handle)...)
	}
	return key
}

// decryptParameter decrypts the first parameter where a session asks for it
// (Part 3, 5.7).
func (d *Device) decryptParameter(c *call) tcg.TPMRC {
	a := c.decryptSession()
	if a == nil {
		return tcg.TPMRCSuccess
	}
	if len(c.params) < 2 {
		return tcg.TPMRCInsufficient.P(1)
	}
	n := int(c.params[0])<<8 | int(c.params[1])
	if n > len(c.params)-2 {
		return tcg.TPMRCInsufficient.P(1)
	}
	c.params = append([]byte(nil), c.params...) // the command's bytes stay as they came
	cryptParameter(a.s, d.parameterKey(a), a.nonceCaller, a.s.nonceTPM, c.params[2:2+n], false)
	return tcg.TPMRCSuccess
}

// responseSessions renews the nonces, encrypts the first response parameter
// in place where asked for, and returns the response's session area.
func (d *Device) responseSessions(c *call) []byte {
	for i := range c.nSessions {
		if s := c.sessions[i].s; s != nil {
			s.nonceTPM = d.random(len(s.nonceTPM))
		}
	}
	if a := c.encryptSession(); a != nil && len(c.out.B) >= 2 {
		n := int(c.out.B[0])<<8 | int(c.out.B[1])
		cryptParameter(a.s, d.parameterKey(a), a.s.nonceTPM, a.nonceCaller, c.out.B[2:2+n], true)
	}
	d.audit(c)
	var w tcg.Writer
	for i := range c.nSessions {
		a := &c.sessions[i]
		if a.s == nil {
			w.Sized(nil)
			w.Uint8(uint8(tcg.TPMASessionContinueSession))
			w.Sized(nil)
			continue
		}
		attrs := a.attrs
		if attrs&tcg.TPMASessionAudit != 0 {
			attrs &^= tcg.TPMASessionAuditExclusive | tcg.TPMASessionAuditReset
			if d.vol.exclusive == a.s.handle {
				attrs |= tcg.TPMASessionAuditExclusive
			}
		}
		w.Sized(a.s.nonceTPM)
		w.Uint8(uint8(attrs))
		w.Sized(d.responseHMAC(c, a, attrs))
	}
	for i := range c.nSessions {
		a := &c.sessions[i]
		if a.s == nil {
			continue
		}
		if a.attrs&tcg.TPMASessionContinueSession == 0 {
			d.flushSession(a.s)
		} else if a.s.policy != nil && a.forHandle {
			// A policy session that authorized starts anew (Part 1, "Policy
			// Session Continuation").
			a.s.policy.restart(a.s.hash)
		}
	}
	return w.B
}

func (d *Device) responseHMAC(c *call, a *authorization, attrs tcg.TPMASession) []byte {
	if p := a.s.policy; p != nil && a.forHandle && p.passwordNeeded {
		return nil
	}
	key := d.hmacKey(a)
	if len(key) == 0 && len(a.value) == 0 {
		return nil
	}
	return hmacSum(a.s.hash, key, c.rpHash(a.s.hash), a.s.nonceTPM, a.nonceCaller, []byte{byte(attrs)})
}
