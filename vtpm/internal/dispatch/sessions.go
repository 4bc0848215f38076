package dispatch

import (
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// maxSessions is how many sessions one command has at most.
const maxSessions = 3

// An authorization is one entry of a command's session area.
type authorization struct {
	s           *session.Session // nil for a password
	nonceCaller []byte
	attrs       tcg.TPMASession
	value       []byte // HMAC or password

	IncludeAuth bool          // the entity's authorization value is part of the HMAC key
	handle      tcg.TPMHandle // of the entity authorized, valid if forHandle
	forHandle   bool
}

// readSessions takes the session area, if the command has one (Part 3, 5.5). A
// fault of the n-th session is reported as of session n. What is left are the
// parameters.
func readSessions(d *engine.Device, c *Call) error {
	if c.hasSessions {
		if err := readSessionArea(d, c, &c.rest); err != nil {
			return err
		}
	}
	c.Sent = c.rest.Rest()
	c.Params = c.Sent
	return nil
}

func readSessionArea(d *engine.Device, c *Call, r *tcg.Reader) error {
	if c.Spec.Has(tcg.AttrNoSessions) {
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
	area := tcg.NewReader(r.Bytes(int(n)), d.Profile)
	var audit, decrypt, encrypt bool
	for area.Len() > 0 {
		i := c.nSessions
		if i == maxSessions {
			return tcg.TPMRCAuthSize
		}
		a, rc := readSession(d, c, &area)
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
		c.Sessions[i] = a
		c.nSessions++
	}
	return nil
}

func readSession(d *engine.Device, c *Call, r *tcg.Reader) (a authorization, rc tcg.TPMRC) {
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
	if a.s = d.Session(h); a.s == nil {
		return a, tcg.TPMRCReferenceS0
	}
	for i := range c.nSessions {
		if c.Sessions[i].s == a.s {
			return a, tcg.TPMRCHandle
		}
	}
	if a.attrs&tcg.TPMASessionAudit != 0 {
		if a.s.Policy != nil {
			return a, tcg.TPMRCAttributes
		}
	} else if a.attrs&(tcg.TPMASessionAuditExclusive|tcg.TPMASessionAuditReset) != 0 {
		return a, tcg.TPMRCAttributes
	}
	if a.attrs&tcg.TPMASessionDecrypt != 0 {
		if c.Spec.DecryptSize() == 0 {
			return a, tcg.TPMRCAttributes
		}
		if a.s.Symmetric.Algorithm == tcg.TPMAlgNull {
			return a, tcg.TPMRCSymmetric
		}
	}
	if a.attrs&tcg.TPMASessionEncrypt != 0 {
		if c.Spec.EncryptSize() == 0 {
			return a, tcg.TPMRCAttributes
		}
		if a.s.Symmetric.Algorithm == tcg.TPMAlgNull {
			return a, tcg.TPMRCSymmetric
		}
	}
	return a, tcg.TPMRCSuccess
}

// decryptSession and encryptSession return the session that de- or encrypts
// the first parameter, or nil.
func (c *Call) decryptSession() *authorization { return c.sessionWith(tcg.TPMASessionDecrypt) }

func (c *Call) encryptSession() *authorization { return c.sessionWith(tcg.TPMASessionEncrypt) }

func (c *Call) auditSession() *authorization { return c.sessionWith(tcg.TPMASessionAudit) }

func (c *Call) sessionWith(attr tcg.TPMASession) *authorization {
	for i := range c.nSessions {
		if c.Sessions[i].attrs&attr != 0 {
			return &c.Sessions[i]
		}
	}
	return nil
}

// renewNonces gives each session the nonceTPM of the response.
func renewNonces(d *engine.Device, c *Call) {
	for i := range c.nSessions {
		if s := c.Sessions[i].s; s != nil {
			s.NonceTPM = d.Random(len(s.NonceTPM))
		}
	}
}

// writeSessions writes the session area of a response.
func writeSessions(d *engine.Device, c *Call, w *tcg.Writer) {
	for i := range c.nSessions {
		a := &c.Sessions[i]
		if a.s == nil {
			w.Sized(nil)
			w.Uint8(uint8(tcg.TPMASessionContinueSession))
			w.Sized(nil)
			continue
		}
		attrs := a.attrs
		if attrs&tcg.TPMASessionAudit != 0 {
			attrs &^= tcg.TPMASessionAuditExclusive | tcg.TPMASessionAuditReset
			if d.Vol.Exclusive == a.s.Handle {
				attrs |= tcg.TPMASessionAuditExclusive
			}
		}
		w.Sized(a.s.NonceTPM)
		w.Uint8(uint8(attrs))
		w.Sized(responseHMAC(d, c, a, attrs))
	}
}

// endSessions flushes the sessions that the command does not continue. A policy
// session that authorized it starts again (Part 1, "Policy Session Continuation").
func endSessions(d *engine.Device, c *Call) {
	for i := range c.nSessions {
		a := &c.Sessions[i]
		switch {
		case a.s == nil:
		case a.attrs&tcg.TPMASessionContinueSession == 0:
			d.FlushSession(a.s)
		case a.s.Policy != nil && a.forHandle:
			a.s.Policy.Restart(a.s.Hash)
		}
	}
}

func responseHMAC(d *engine.Device, c *Call, a *authorization, attrs tcg.TPMASession) []byte {
	if p := a.s.Policy; p != nil && a.forHandle && p.PasswordNeeded {
		return nil
	}
	key := hmacKey(d, a)
	if len(key) == 0 && len(a.value) == 0 {
		return nil
	}
	return tpmcrypto.MAC(a.s.Hash, key, c.rpHash(a.s.Hash), a.s.NonceTPM, a.nonceCaller, []byte{byte(attrs)})
}
