package dispatch

import (
	"slices"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// authorize checks that every handle that needs an authorization has one, and
// that each session proves what it claims (Part 3, 5.6).
func authorize(d *engine.Device, c *Call) error {
	need := c.Spec.AuthCount()
	if c.nSessions < need {
		return tcg.TPMRCAuthMissing
	}
	if c.nSessions == 0 {
		return nil
	}
	for i := range c.nSessions {
		a := &c.Sessions[i]
		if i < need {
			a.forHandle, a.handle = true, c.Handles[i]
		}
		if rc := authorizeSession(d, c, i); rc != tcg.TPMRCSuccess {
			return rc.S(i + 1)
		}
	}
	a := c.auditSession()
	if a != nil && a.attrs&tcg.TPMASessionAuditExclusive != 0 && a.s.Audited && d.Vol.Exclusive != a.s.Handle {
		return tcg.TPMRCExclusive
	}
	return nil
}

func authorizeSession(d *engine.Device, c *Call, i int) tcg.TPMRC {
	a := &c.Sessions[i]
	if a.forHandle {
		return authorizeHandle(d, c, i)
	}
	if a.s == nil {
		return tcg.TPMRCHandle // a password has to be for a handle
	}
	if a.attrs&(tcg.TPMASessionAudit|tcg.TPMASessionDecrypt|tcg.TPMASessionEncrypt) == 0 {
		return tcg.TPMRCAttributes
	}
	return checkHMAC(d, c, i)
}

// authorizeHandle checks the session for the command's i-th handle.
func authorizeHandle(d *engine.Device, c *Call, i int) tcg.TPMRC {
	a := &c.Sessions[i]
	h := a.handle
	role := c.Spec.Handles[i].Role
	isPolicy := a.s != nil && a.s.Policy != nil

	if needsPhysicalPresence(d, c, i) && !d.Vol.PhysicalPresence {
		return tcg.TPMRCPP
	}
	usesAuth := !isPolicy || a.s.Policy.UsesAuth()
	if usesAuth && d.IsCounted(h) {
		if rc := d.SettleTries(); rc != tcg.TPMRCSuccess {
			return rc
		}
	}
	if usesAuth && !d.DAExempt(h) {
		if rc := d.CheckLockout(h); rc != tcg.TPMRCSuccess {
			return rc
		}
	}
	if usesAuth && a.s != nil {
		if rc := d.CheckBoundLockout(a.s); rc != tcg.TPMRCSuccess {
			return rc
		}
	}
	if isPolicy {
		if a.s.Trial {
			return tcg.TPMRCAttributes
		}
		if !policyAvailable(d, c, h, role) {
			return tcg.TPMRCAuthUnavailable
		}
		if x := d.Index(h); x != nil && x.IsPIN() && usesAuth && !x.PINLeft() {
			return tcg.TPMRCAuthUnavailable
		}
		if rc := checkPolicy(d, c, i); rc != tcg.TPMRCSuccess {
			return rc
		}
		if keyUnproven(d, a) {
			return tcg.TPMRCAttributes
		}
		p := a.s.Policy
		if p.PasswordNeeded {
			return checkPassword(d, a)
		}
		a.IncludeAuth = p.AuthNeeded
		return checkHMAC(d, c, i)
	}
	if policyRequired(d, h, role) {
		return tcg.TPMRCAuthType
	}
	if !authValueAvailable(d, c, h, role) {
		return tcg.TPMRCAuthUnavailable
	}
	if a.s == nil {
		return checkPassword(d, a)
	}
	a.IncludeAuth = !isBoundTo(d, a.s, h)
	return checkHMAC(d, c, i)
}

// keyUnproven reports whether a policy session would en- or decrypt a parameter
// with a key that comes of an authorization value which nobody proved. Who chose
// the session's other secrets and knows the parameter could search for that value
// without the TPM, where no try is counted (Part 1, 16.6.15 and 16.8.1).
func keyUnproven(d *engine.Device, a *authorization) bool {
	p := a.s.Policy
	if a.attrs&(tcg.TPMASessionDecrypt|tcg.TPMASessionEncrypt) == 0 {
		return false
	}
	if p.PasswordNeeded {
		return a.s.Bound // the password is checked instead of the HMAC, which would prove it
	}
	// The entity's own value is part of the key even where the policy does not
	// ask for it (Part 1, 18.1). An empty one protects nothing.
	return !p.AuthNeeded && d.IsCounted(a.handle) && len(d.EntityAuth(a.handle)) > 0
}

func checkPassword(d *engine.Device, a *authorization) tcg.TPMRC {
	// Trailing zeros of an authorization value are not part of it (Part 1,
	// "Authorization Value").
	if tpmcrypto.Equal(tcg.TrimAuth(a.value), d.EntityAuth(a.handle)) {
		d.AuthSucceeded(a.handle)
		return tcg.TPMRCSuccess
	}
	return d.AuthFailed(a.handle)
}

func checkHMAC(d *engine.Device, c *Call, i int) tcg.TPMRC {
	a := &c.Sessions[i]
	if rc := d.CheckBoundLockout(a.s); rc != tcg.TPMRCSuccess {
		return rc
	}
	if tpmcrypto.Equal(a.value, commandHMAC(d, c, i)) {
		if a.forHandle && (a.IncludeAuth || a.s.Policy == nil) {
			d.AuthSucceeded(a.handle)
		}
		return tcg.TPMRCSuccess
	}
	rc := tcg.TPMRCBadAuth
	usesValue := a.forHandle && (a.IncludeAuth || a.s.Policy == nil)
	// A session bound to what dictionary attack protects tests that secret,
	// whatever it is used for (Part 1, 16.8.7). A PIN index counts all the same.
	bound := a.s.LockoutBound || a.s.DABound && !(usesValue && !d.DAExempt(a.handle))
	if usesValue {
		rc = d.AuthFailed(a.handle)
	}
	switch {
	case a.s.LockoutBound:
		return d.AuthFailed(tcg.TPMRHLockout)
	case bound:
		d.CountFailure()
		return tcg.TPMRCAuthFail
	}
	return rc
}

// isBoundTo reports whether the session is bound to the entity h and h's
// authorization value is what it was when the session started.
func isBoundTo(d *engine.Device, s *session.Session, h tcg.TPMHandle) bool {
	if s.BindName == nil {
		return false
	}
	name, rc := d.EntityName(h)
	return rc == tcg.TPMRCSuccess && tpmcrypto.Equal(name, s.BindName) && tpmcrypto.Equal(d.EntityAuth(h), s.BindAuth)
}

// policyRequired reports whether only a policy authorizes h in this role (Part 3,
// 5.6, items 4 and 5). Of an object only the public part of which is loaded,
// nothing does.
func policyRequired(d *engine.Device, h tcg.TPMHandle, role tcg.Role) bool {
	o := d.ObjectOrNil(h)
	switch {
	case role == tcg.RoleUser || o != nil && o.PublicOnly:
		return false
	case role == tcg.RoleAdmin && o != nil:
		return o.Has(tcg.TPMAObjectAdminWithPolicy)
	}
	return true // DUP role, or an NV index
}

// authValueAvailable reports whether h may be authorized by its
// authorization value for this command and role (Part 1, "Authorization
// Selection Logic for Objects" and its neighbours).
func authValueAvailable(d *engine.Device, c *Call, h tcg.TPMHandle, role tcg.Role) bool {
	switch h.Type() {
	case tcg.TPMHTPCR:
		return true // no PCR has a policy
	case tcg.TPMHTPermanent:
		return hierarchy.HasAuth(h) || h.IsACT() && d.Clear.Hierarchies.PlatformEnable
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		o := d.Object(h)
		if o.Seq != nil {
			return true
		}
		if o.PublicOnly {
			return false
		}
		attrs := o.Public.ObjectAttributes
		return attrs&tcg.TPMAObjectUserWithAuth != 0 && role == tcg.RoleUser ||
			role == tcg.RoleAdmin && attrs&tcg.TPMAObjectAdminWithPolicy == 0
	case tcg.TPMHTNVIndex:
		return d.Index(h).AuthAvailable(c.Spec, role)
	}
	return false
}

// policyAvailable reports whether h has a policy that may authorize this
// command.
func policyAvailable(d *engine.Device, c *Call, h tcg.TPMHandle, role tcg.Role) bool {
	if h.Type() == tcg.TPMHTNVIndex && !d.Index(h).PolicyAvailable(c.Spec, role) {
		return false
	}
	if o := d.ObjectOrNil(h); o != nil && (o.PublicOnly || o.Seq != nil) {
		return false
	}
	if t := h.Type(); t == tcg.TPMHTTransient || t == tcg.TPMHTPersistent || t == tcg.TPMHTNVIndex || t == tcg.TPMHTPCR {
		return true // an empty authPolicy is one that no session matches
	}
	p := d.EntityPolicy(h)
	return p.Hash != tcg.TPMAlgNull && len(p.Digest) != 0
}

// needsPhysicalPresence reports whether the i-th authorization, if by the
// platform, needs physical presence to be asserted too.
func needsPhysicalPresence(d *engine.Device, c *Call, i int) bool {
	return c.Handles[i] == tcg.TPMRHPlatform &&
		(c.Spec.Has(tcg.AttrPPRequired) || slices.Contains(d.Perm.PhysicalPresence, c.Spec.Code))
}
