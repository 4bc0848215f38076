package vtpm

import (
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// authorize checks that every handle that needs an authorization has one, and
// that each session proves what it claims (Part 3, 5.6).
func (d *Device) authorize(c *call) error {
	need := c.spec.AuthCount()
	if c.nSessions < need {
		return tcg.TPMRCAuthMissing
	}
	if c.nSessions == 0 {
		return nil
	}
	for i := range c.nSessions {
		a := &c.sessions[i]
		if i < need {
			a.forHandle, a.handle = true, c.handles[i]
		}
		if rc := d.authorizeSession(c, i); rc != tcg.TPMRCSuccess {
			return rc.S(i + 1)
		}
	}
	a := c.auditSession()
	if a != nil && a.attrs&tcg.TPMASessionAuditExclusive != 0 && a.s.audited && d.vol.exclusive != a.s.handle {
		return tcg.TPMRCExclusive
	}
	return nil
}

func (d *Device) authorizeSession(c *call, i int) tcg.TPMRC {
	a := &c.sessions[i]
	if a.forHandle {
		return d.authorizeHandle(c, i)
	}
	if a.s == nil {
		return tcg.TPMRCHandle // a password has to be for a handle
	}
	if a.attrs&(tcg.TPMASessionAudit|tcg.TPMASessionDecrypt|tcg.TPMASessionEncrypt) == 0 {
		return tcg.TPMRCAttributes
	}
	return d.checkHMAC(c, i)
}

// authorizeHandle checks the session for the command's i-th handle.
func (d *Device) authorizeHandle(c *call, i int) tcg.TPMRC {
	a := &c.sessions[i]
	h := a.handle
	role := c.spec.Handles[i].Role
	isPolicy := a.s != nil && a.s.policy != nil

	if d.needsPhysicalPresence(c, i) && !d.vol.physicalPresence {
		return tcg.TPMRCPP
	}
	usesAuth := !isPolicy || a.s.policy.usesAuth()
	if usesAuth && d.isCounted(h) {
		if rc := d.settleTries(); rc != tcg.TPMRCSuccess {
			return rc
		}
	}
	if usesAuth && !d.daExempt(h) {
		if rc := d.checkLockout(h); rc != tcg.TPMRCSuccess {
			return rc
		}
	}
	if usesAuth && a.s != nil {
		if rc := d.checkBoundLockout(a.s); rc != tcg.TPMRCSuccess {
			return rc
		}
	}
	if isPolicy {
		if a.s.trial {
			return tcg.TPMRCAttributes
		}
		if !d.policyAvailable(c, h, role) {
			return tcg.TPMRCAuthUnavailable
		}
		if x := d.perm.nv.indices[h]; x != nil && x.isPIN() && usesAuth && !x.pinLeft() {
			return tcg.TPMRCAuthUnavailable
		}
		if rc := d.checkPolicy(c, i); rc != tcg.TPMRCSuccess {
			return rc
		}
		if d.keyUnproven(a) {
			return tcg.TPMRCAttributes
		}
		p := a.s.policy
		if p.passwordNeeded {
			return d.checkPassword(a)
		}
		a.includeAuth = p.authNeeded
		return d.checkHMAC(c, i)
	}
	if d.policyRequired(h, role) {
		return tcg.TPMRCAuthType
	}
	if !d.authValueAvailable(c, h, role) {
		return tcg.TPMRCAuthUnavailable
	}
	if a.s == nil {
		return d.checkPassword(a)
	}
	a.includeAuth = !d.isBoundTo(a.s, h)
	return d.checkHMAC(c, i)
}

// keyUnproven reports whether a policy session would en- or decrypt a parameter
// with a key that comes of an authorization value which nobody proved. Who chose
// the session's other secrets and knows the parameter could search for that value
// without the TPM, where no try is counted (Part 1, 16.6.15 and 16.8.1).
func (d *Device) keyUnproven(a *authorization) bool {
	p := a.s.policy
	if a.attrs&(tcg.TPMASessionDecrypt|tcg.TPMASessionEncrypt) == 0 {
		return false
	}
	if p.passwordNeeded {
		return a.s.bound // the password is checked instead of the HMAC, which would prove it
	}
	// The entity's own value is part of the key even where the policy does not
	// ask for it (Part 1, 18.1). An empty one protects nothing.
	return !p.authNeeded && d.isCounted(a.handle) && len(d.entityAuth(a.handle)) > 0
}

func (d *Device) checkPassword(a *authorization) tcg.TPMRC {
	// Trailing zeros of an authorization value are not part of it (Part 1,
	// "Authorization Value").
	if tpmcrypto.Equal(tcg.TrimAuth(a.value), d.entityAuth(a.handle)) {
		d.authSucceeded(a.handle)
		return tcg.TPMRCSuccess
	}
	return d.authFailed(a.handle)
}

func (d *Device) checkHMAC(c *call, i int) tcg.TPMRC {
	a := &c.sessions[i]
	if rc := d.checkBoundLockout(a.s); rc != tcg.TPMRCSuccess {
		return rc
	}
	if tpmcrypto.Equal(a.value, d.commandHMAC(c, i)) {
		if a.forHandle && (a.includeAuth || a.s.policy == nil) {
			d.authSucceeded(a.handle)
		}
		return tcg.TPMRCSuccess
	}
	rc := tcg.TPMRCBadAuth
	usesValue := a.forHandle && (a.includeAuth || a.s.policy == nil)
	// A session bound to what dictionary attack protects tests that secret,
	// whatever it is used for (Part 1, 16.8.7). A PIN index counts all the same.
	bound := a.s.lockoutBound || a.s.daBound && !(usesValue && !d.daExempt(a.handle))
	if usesValue {
		rc = d.authFailed(a.handle)
	}
	switch {
	case a.s.lockoutBound:
		return d.authFailed(tcg.TPMRHLockout)
	case bound:
		d.countFailure()
		return tcg.TPMRCAuthFail
	}
	return rc
}

// isBoundTo reports whether the session is bound to the entity h and h's
// authorization value is what it was when the session started.
func (d *Device) isBoundTo(s *session, h tcg.TPMHandle) bool {
	if s.bindName == nil {
		return false
	}
	name, rc := d.entityName(h)
	return rc == tcg.TPMRCSuccess && tpmcrypto.Equal(name, s.bindName) && tpmcrypto.Equal(d.entityAuth(h), s.bindAuth)
}

// policyRequired reports whether only a policy authorizes h in this role (Part 3,
// 5.6, items 4 and 5). Of an object only the public part of which is loaded,
// nothing does.
func (d *Device) policyRequired(h tcg.TPMHandle, role tcg.Role) bool {
	o := d.objectOrNil(h)
	switch {
	case role == tcg.RoleUser || o != nil && o.publicOnly:
		return false
	case role == tcg.RoleAdmin && o != nil:
		return o.has(tcg.TPMAObjectAdminWithPolicy)
	}
	return true // DUP role, or an NV index
}

// authValueAvailable reports whether h may be authorized by its
// authorization value for this command and role (Part 1, "Authorization
// Selection Logic for Objects" and its neighbours).
func (d *Device) authValueAvailable(c *call, h tcg.TPMHandle, role tcg.Role) bool {
	switch h.Type() {
	case tcg.TPMHTPCR:
		return true // no PCR has a policy
	case tcg.TPMHTPermanent:
		return hierarchy.HasAuth(h) || h.IsACT() && d.clear.hierarchies.PlatformEnable
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		o := d.object(h)
		if o.seq != nil {
			return true
		}
		if o.publicOnly {
			return false
		}
		attrs := o.public.ObjectAttributes
		return attrs&tcg.TPMAObjectUserWithAuth != 0 && role == tcg.RoleUser ||
			role == tcg.RoleAdmin && attrs&tcg.TPMAObjectAdminWithPolicy == 0
	case tcg.TPMHTNVIndex:
		return d.perm.nv.indices[h].authAvailable(c.spec, role)
	}
	return false
}

// policyAvailable reports whether h has a policy that may authorize this
// command.
func (d *Device) policyAvailable(c *call, h tcg.TPMHandle, role tcg.Role) bool {
	if h.Type() == tcg.TPMHTNVIndex && !d.perm.nv.indices[h].policyAvailable(c.spec, role) {
		return false
	}
	if o := d.objectOrNil(h); o != nil && (o.publicOnly || o.seq != nil) {
		return false
	}
	if t := h.Type(); t == tcg.TPMHTTransient || t == tcg.TPMHTPersistent || t == tcg.TPMHTNVIndex || t == tcg.TPMHTPCR {
		return true // an empty authPolicy is one that no session matches
	}
	p := d.entityPolicy(h)
	return p.Hash != tcg.TPMAlgNull && len(p.Digest) != 0
}
