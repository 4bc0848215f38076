// Package lockout is a TPM's dictionary attack protection: it counts failed
// authorizations, and tells when no more may be tried (TPM 2.0 Library, Part 1,
// "Dictionary Attack Protection").
//
// Its functions are given the current time, elapsed since some fixed start. No
// value is safe for concurrent use.
package lockout

import "time"

// A Lockout is the state that survives a loss of power.
type Lockout struct {
	FailedTries     uint32
	MaxTries        uint32
	RecoveryTime    uint32 // seconds until one failure is forgiven; 0: none is counted
	LockoutRecovery uint32 // seconds until lockoutAuth may be used again; 0: at the next start
	AuthEnabled     bool   // lockoutAuth may be used
}

// Timers count towards the next recovery. They are lost with power.
type Timers struct {
	SelfHeal time.Duration // when FailedTries last changed
	Lockout  time.Duration // when lockoutAuth last failed
}

// New returns the state at manufacture and after TPM2_Clear: 32 tries, as PC
// Client TPMs allow, two hours to recover one, and a day to recover lockoutAuth.
func New() Lockout {
	return Lockout{MaxTries: 32, RecoveryTime: 7200, LockoutRecovery: 86400, AuthEnabled: true}
}

// Startup returns the timers after a TPM2_Startup. A lockoutAuth with a recovery
// time of zero is enabled (Part 3, "TPM2_DictionaryAttackParameters"). A
// disorderly shutdown hides no failure: each was saved before it was answered.
func (l *Lockout) Startup(now time.Duration) Timers {
	if l.LockoutRecovery == 0 {
		l.AuthEnabled = true
	}
	return Timers{SelfHeal: now, Lockout: now}
}

// Locked reports whether no authorization value that is protected may be tried.
func (l *Lockout) Locked() bool { return l.RecoveryTime != 0 && l.FailedTries >= l.MaxTries }

// FailAuth records a failure of lockoutAuth.
func (l *Lockout) FailAuth(t *Timers, now time.Duration) { l.AuthEnabled, t.Lockout = false, now }

// Fail counts a failure of another authorization, and reports whether anything
// changed. What time has forgiven comes first, so that it does not forgive this
// failure.
func (l *Lockout) Fail(t *Timers, now time.Duration) (changed bool) {
	if l.RecoveryTime == 0 {
		return false
	}
	changed = l.Heal(t, now)
	if l.FailedTries >= l.MaxTries {
		return changed
	}
	l.FailedTries++
	if l.FailedTries == 1 || t.SelfHeal == 0 {
		t.SelfHeal = now
	}
	return true
}

// Heal lowers FailedTries by one for each RecoveryTime that passed, and enables
// lockoutAuth after LockoutRecovery. It reports whether anything changed.
func (l *Lockout) Heal(t *Timers, now time.Duration) (changed bool) {
	if l.FailedTries > 0 && l.RecoveryTime != 0 {
		step := time.Duration(l.RecoveryTime) * time.Second
		if n := (now - t.SelfHeal) / step; n > 0 {
			t.SelfHeal += n * step
			l.FailedTries -= uint32(min(int64(n), int64(l.FailedTries)))
			changed = true
		}
	}
	if !l.AuthEnabled && l.LockoutRecovery != 0 && now-t.Lockout >= time.Duration(l.LockoutRecovery)*time.Second {
		l.AuthEnabled = true
		changed = true
	}
	return changed
}

// Reset forgives every failure, also that of lockoutAuth.
func (l *Lockout) Reset() { l.FailedTries, l.AuthEnabled = 0, true }

// SetParameters sets the limits, and returns timers that start again.
func (l *Lockout) SetParameters(maxTries, recoveryTime, lockoutRecovery uint32, now time.Duration) Timers {
	l.MaxTries, l.RecoveryTime, l.LockoutRecovery = maxTries, recoveryTime, lockoutRecovery
	return Timers{SelfHeal: now, Lockout: now}
}
