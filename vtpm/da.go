package vtpm

import (
	"time"

	"stubtpm/vtpm/tcg"
)

// dictionaryAttack is the persistent state of the dictionary attack logic
// (Part 1, "Dictionary Attack Protection").
type dictionaryAttack struct {
	failedTries     uint32
	maxTries        uint32
	recoveryTime    uint32 // seconds
	lockoutRecovery uint32 // seconds

	lockoutAuthEnabled bool
}

// Values at manufacture and after TPM2_Clear: as many tries as PC Client TPMs
// allow, two hours to recover one, and a day to recover lockoutAuth.
const (
	defaultMaxTries        = 32
	defaultRecoveryTime    = 7200
	defaultLockoutRecovery = 86400
)

func newDictionaryAttack() dictionaryAttack {
	return dictionaryAttack{
		maxTries: defaultMaxTries, recoveryTime: defaultRecoveryTime,
		lockoutRecovery: defaultLockoutRecovery, lockoutAuthEnabled: true,
	}
}

// daTimers count, in Time, towards the next recovery.
type daTimers struct {
	selfHeal time.Duration // Now when failedTries was last changed
	lockout  time.Duration // Now when lockoutAuth last failed
}

// daExempt reports whether failures to authorize h are not counted.
func (d *Device) daExempt(h tcg.TPMHandle) bool {
	switch handleType(h) {
	case tcg.TPMHTPermanent:
		return h != tcg.TPMRHLockout
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		o := d.objectOrNil(h)
		return o == nil || o.seq != nil || o.public.ObjectAttributes&tcg.TPMAObjectNoDA != 0
	case tcg.TPMHTNVIndex:
		x := d.perm.nv[h]
		return x == nil || x.public.Attributes&tcg.TPMANVNoDA != 0
	}
	return true
}

// isCounted reports whether failures to authorize h are counted, by dictionary
// attack logic or in a PIN index.
func (d *Device) isCounted(h tcg.TPMHandle) bool {
	x := d.perm.nv[h]
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
	if lockoutAuth {
		if !da.lockoutAuthEnabled {
			return tcg.TPMRCLockout
		}
		return tcg.TPMRCSuccess
	}
	if da.recoveryTime != 0 && da.failedTries >= da.maxTries {
		return tcg.TPMRCLockout
	}
	return tcg.TPMRCSuccess
}

// authSucceeded counts a successful authorization of h where h counts them,
// whatever becomes of the command.
func (d *Device) authSucceeded(h tcg.TPMHandle) {
	if handleType(h) == tcg.TPMHTNVIndex {
		d.nvPinUsed(h)
	}
}

// authFailed counts a failed authorization of h and returns the code that
// says so.
func (d *Device) authFailed(h tcg.TPMHandle) tcg.TPMRC {
	if d.daExempt(h) {
		if handleType(h) == tcg.TPMHTNVIndex {
			d.nvPinFailed(h)
		}
		return tcg.TPMRCBadAuth
	}
	if h == tcg.TPMRHLockout {
		da := &d.perm.da
		da.lockoutAuthEnabled = false
		d.vol.daTime.lockout = d.cfg.Now()
		d.triesCounted()
		return tcg.TPMRCAuthFail
	}
	d.countFailure()
	return tcg.TPMRCAuthFail
}

func (d *Device) countFailure() {
	da := &d.perm.da
	if da.recoveryTime == 0 {
		return // a recovery time of zero turns the logic off
	}
	// What time has forgiven comes first, also where that could not be saved
	// yet: it does not forgive this try.
	d.selfHeal()
	if da.failedTries < da.maxTries {
		da.failedTries++
		if da.failedTries == 1 || d.vol.daTime.selfHeal == 0 {
			d.vol.daTime.selfHeal = d.cfg.Now()
		}
		d.triesCounted()
	}
}

// selfHeal lowers failedTries by one for each recoveryTime that passed, and
// enables lockoutAuth again after lockoutRecovery.
func (d *Device) selfHeal() {
	da, now := &d.perm.da, d.cfg.Now()
	if da.failedTries > 0 && da.recoveryTime != 0 {
		step := time.Duration(da.recoveryTime) * time.Second
		if n := (now - d.vol.daTime.selfHeal) / step; n > 0 {
			d.vol.daTime.selfHeal += n * step
			da.failedTries -= uint32(min(int64(n), int64(da.failedTries)))
			d.dirty = true
		}
	}
	if !da.lockoutAuthEnabled && da.lockoutRecovery != 0 &&
		now-d.vol.daTime.lockout >= time.Duration(da.lockoutRecovery)*time.Second {
		da.lockoutAuthEnabled = true
		d.dirty = true
	}
}

// daStartup restarts the timers at TPM2_Startup. A disorderly shutdown hides no
// failure: each was saved before it was answered.
func (d *Device) daStartup() {
	da, now := &d.perm.da, d.cfg.Now()
	d.vol.daTime = daTimers{selfHeal: now, lockout: now}
	if da.lockoutRecovery == 0 {
		// Zero means that a reboot is what it takes (Part 3,
		// TPM2_DictionaryAttackParameters).
		da.lockoutAuthEnabled = true
	}
}
