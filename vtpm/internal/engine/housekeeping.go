package engine

import (
	"time"
)

// SaveRetry is how long Housekeeping waits after a save that failed, which may
// have taken a minute.
const SaveRetry = 10 * time.Minute

// Housekeeping does what time alone makes due, before a command is looked at: Clock
// is saved, and failed authorizations are forgiven. Where that cannot be saved
// the command is not at fault: it goes on, with a Clock that stands still (as
// that of the Microsoft reference does) and failures that still count.
func (d *Device) Housekeeping() {
	now := d.Cfg.Now()
	if !d.Vol.Started || d.Vol.Failed || now < d.Vol.retryAt {
		return
	}
	if d.Vol.Clock.Tick(d.Perm.Clock, now) {
		d.Dirty = true
	}
	d.selfHeal()
	if !d.Dirty {
		return
	}
	d.Vol.retryAt = 0
	store := d.Cfg.Store.Save
	if s, ok := d.Cfg.Store.(IdleStore); ok {
		store = s.SaveIdle
	}
	if err := d.saveBy(store); err != nil {
		d.Vol.Clock.Hold(d.Perm.Clock, now)
		d.Vol.retryAt = now + SaveRetry
	}
	d.Mark()
}

// staleShutdown makes stale what TPM2_Shutdown saved, for what changes before a
// command is known to succeed.
func (d *Device) staleShutdown() {
	if d.Vol.ShutdownDone {
		d.Vol.ShutdownDone, d.Perm.Shutdown, d.Dirty = false, DisorderlyShutdown, true
	}
}
