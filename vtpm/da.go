package vtpm

import (
	"stubtpm/vtpm/tcg"
)

// daExempt reports whether failures to authorize h are not counted.
func (d *Device) daExempt(h tcg.TPMHandle) bool {
	switch h.Type() {
	case tcg.TPMHTPermanent:
		return h != tcg.TPMRHLockout
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		o := d.objectOrNil(h)
		return o == nil || o.seq != nil || o.public.ObjectAttributes&tcg.TPMAObjectNoDA != 0
	case tcg.TPMHTNVIndex:
		x := d.perm.nv.indices[h]
		return x == nil || x.public.Attributes&tcg.TPMANVNoDA != 0
	}
	return true
}

// isCounted reports whether failures to authorize h are counted, by dictionary
// attack logic or in a PIN index.
func (d *Device) isCounted(h tcg.TPMHandle) bool {
	x := d.perm.nv.indices[h]
	return !d.daExempt(h) || x != nil && x.isPIN()
}

// checkLockout refuses an authorization while the device is locked out.
// Preconditions: h is not exempt.
func (d *Device) checkLockout(h tcg.TPMHandle) tcg.TPMRC {
	return d.checkLockoutOf(h == tcg.TPMRHLockout)
}

// checkBoundLockout refuses a session while the authorization that it is bound to
// is locked out: who hears whether its HMAC is right hears whether he guessed
// that authorization.
func (d *Device) checkBoundLockout(s *session) tcg.TPMRC {
	if !s.lockoutBound && !s.daBound {
		return tcg.TPMRCSuccess
	}
	return d.checkLockoutOf(s.lockoutBound)
}

// checkLockoutOf is checkLockout of lockoutAuth, or of any other authorization.
func (d *Device) checkLockoutOf(lockoutAuth bool) tcg.TPMRC {
	if rc := d.settleTries(); rc != tcg.TPMRCSuccess {
		return rc
	}
	da := &d.perm.da
	if lockoutAuth && !da.AuthEnabled || !lockoutAuth && da.Locked() {
		return tcg.TPMRCLockout
	}
	return tcg.TPMRCSuccess
}

// authSucceeded counts a successful authorization of h where h counts them,
// whatever becomes of the command.
func (d *Device) authSucceeded(h tcg.TPMHandle) {
	if h.Type() == tcg.TPMHTNVIndex {
		d.nvPinUsed(h)
	}
}

// authFailed counts a failed authorization of h and returns the code that
// says so.
func (d *Device) authFailed(h tcg.TPMHandle) tcg.TPMRC {
	if d.daExempt(h) {
		if h.Type() == tcg.TPMHTNVIndex {
			d.nvPinFailed(h)
		}
		return tcg.TPMRCBadAuth
	}
	if h == tcg.TPMRHLockout {
		d.perm.da.FailAuth(&d.vol.daTime, d.cfg.Now())
		d.triesCounted()
		return tcg.TPMRCAuthFail
	}
	d.countFailure()
	return tcg.TPMRCAuthFail
}

func (d *Device) countFailure() {
	if d.perm.da.Fail(&d.vol.daTime, d.cfg.Now()) {
		d.triesCounted()
	}
}

// selfHeal forgives what time forgives.
func (d *Device) selfHeal() {
	if d.perm.da.Heal(&d.vol.daTime, d.cfg.Now()) {
		d.dirty = true
	}
}

// nvPinFailed counts a failed authorization with a PIN Fail index.
func (d *Device) nvPinFailed(h tcg.TPMHandle) {
	if x := d.perm.nv.indices[h]; x != nil && x.pinFailed() {
		d.pinCounted(x)
	}
}

// nvPinUsed counts a successful authorization with a PIN index.
func (d *Device) nvPinUsed(h tcg.TPMHandle) {
	x := d.perm.nv.indices[h]
	if x == nil {
		return
	}
	counted, changed := x.pinUsed()
	if counted {
		d.pinCounted(x)
	} else if changed {
		d.pinChanged(x)
	}
}
