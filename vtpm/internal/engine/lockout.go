package engine

import (
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
)

// DAExempt reports whether failures to authorize h are not counted.
func (d *Device) DAExempt(h tcg.TPMHandle) bool {
	switch h.Type() {
	case tcg.TPMHTPermanent:
		return h != tcg.TPMRHLockout
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		o := d.ObjectOrNil(h)
		return o == nil || o.Seq != nil || o.Public.ObjectAttributes&tcg.TPMAObjectNoDA != 0
	case tcg.TPMHTNVIndex:
		x := d.Index(h)
		return x == nil || x.Public.Attributes&tcg.TPMANVNoDA != 0
	}
	return true
}

// IsCounted reports whether failures to authorize h are counted, by dictionary
// attack logic or in a PIN index.
func (d *Device) IsCounted(h tcg.TPMHandle) bool {
	x := d.Index(h)
	return !d.DAExempt(h) || x != nil && x.IsPIN()
}

// CheckLockout refuses an authorization while the device is locked out.
// Preconditions: h is not exempt.
func (d *Device) CheckLockout(h tcg.TPMHandle) tcg.TPMRC {
	return d.checkLockoutOf(h == tcg.TPMRHLockout)
}

// CheckBoundLockout refuses a session while the authorization that it is bound to
// is locked out: who hears whether its HMAC is right hears whether he guessed
// that authorization.
func (d *Device) CheckBoundLockout(s *session.Session) tcg.TPMRC {
	if !s.LockoutBound && !s.DABound {
		return tcg.TPMRCSuccess
	}
	return d.checkLockoutOf(s.LockoutBound)
}

// checkLockoutOf is CheckLockout of lockoutAuth, or of any other authorization.
func (d *Device) checkLockoutOf(lockoutAuth bool) tcg.TPMRC {
	if rc := d.SettleTries(); rc != tcg.TPMRCSuccess {
		return rc
	}
	da := &d.Perm.DA
	if lockoutAuth && !da.AuthEnabled || !lockoutAuth && da.Locked() {
		return tcg.TPMRCLockout
	}
	return tcg.TPMRCSuccess
}

// AuthSucceeded counts a successful authorization of h where h counts them,
// whatever becomes of the command.
func (d *Device) AuthSucceeded(h tcg.TPMHandle) {
	if h.Type() == tcg.TPMHTNVIndex {
		d.nvPinUsed(h)
	}
}

// AuthFailed counts a failed authorization of h and returns the code that
// says so.
func (d *Device) AuthFailed(h tcg.TPMHandle) tcg.TPMRC {
	if d.DAExempt(h) {
		if h.Type() == tcg.TPMHTNVIndex {
			d.nvPinFailed(h)
		}
		return tcg.TPMRCBadAuth
	}
	if h == tcg.TPMRHLockout {
		d.Perm.DA.FailAuth(&d.Vol.DATime, d.Cfg.Now())
		d.triesCounted()
		return tcg.TPMRCAuthFail
	}
	d.CountFailure()
	return tcg.TPMRCAuthFail
}

// CountFailure counts a failed authorization of something that the dictionary
// attack logic protects.
func (d *Device) CountFailure() {
	if d.Perm.DA.Fail(&d.Vol.DATime, d.Cfg.Now()) {
		d.triesCounted()
	}
}

// selfHeal forgives what time forgives.
func (d *Device) selfHeal() {
	if d.Perm.DA.Heal(&d.Vol.DATime, d.Cfg.Now()) {
		d.Dirty = true
	}
}

// nvPinFailed counts a failed authorization with a PIN Fail index.
func (d *Device) nvPinFailed(h tcg.TPMHandle) {
	if x := d.Index(h); x != nil && x.PINFailed() {
		d.pinCounted(x)
	}
}

// nvPinUsed counts a successful authorization with a PIN index.
func (d *Device) nvPinUsed(h tcg.TPMHandle) {
	x := d.Index(h)
	if x == nil {
		return
	}
	counted, changed := x.PINUsed()
	if counted {
		d.pinCounted(x)
	} else if changed {
		d.pinChanged(x)
	}
}
