package vtpm

import (
	"time"
)

// houseRetry is how long keepHouse waits after a save that failed, which may
// have taken a minute.
const houseRetry = 10 * time.Minute

// keepHouse does what time alone makes due, before a command is looked at: Clock
// is saved, and failed authorizations are forgiven. Where that cannot be saved
// the command is not at fault: it goes on, with a Clock that stands still (as
// that of the Microsoft reference does) and failures that still count.
func (d *Device) keepHouse() {
	now := d.cfg.Now()
	if !d.vol.started || d.vol.failed || now < d.vol.houseAt {
		return
	}
	if d.vol.clock.Tick(d.perm.clock, now) {
		d.dirty = true
	}
	d.selfHeal()
	if !d.dirty {
		return
	}
	d.vol.houseAt = 0
	store := d.cfg.Store.Save
	if s, ok := d.cfg.Store.(IdleStore); ok {
		store = s.SaveIdle
	}
	if err := d.saveBy(store); err != nil {
		d.vol.clock.Hold(d.perm.clock, now)
		d.vol.houseAt = now + houseRetry
	}
	d.mark()
}

// staleShutdown makes stale what TPM2_Shutdown saved, as leaveShutdown does, for
// what changes before a command is known to succeed.
func (d *Device) staleShutdown() {
	if d.vol.shutdownDone {
		d.vol.shutdownDone, d.perm.shutdown, d.dirty = false, suNone, true
	}
}
