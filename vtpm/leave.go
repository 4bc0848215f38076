package vtpm

import "stubtpm/vtpm/tcg"

// leaveShutdown makes stale what TPM2_Shutdown saved, before a command changes
// what it saved: the next Startup has to see a disorderly shutdown (Part 3, 9.4).
// It returns what perm.shutdown was, for returnToShutdown.
func (d *Device) leaveShutdown(c *call) (was uint16, err error) {
	if d.vol.shutdownDone && c.spec.Code == tcg.TPMCCReadClock {
		d.dirty = true // the next Startup must not set Clock back behind what is read
	}
	if !d.vol.shutdownDone || c.spec.Code == tcg.TPMCCShutdown || c.spec.Has(tcg.AttrReads) && !d.audits(c) {
		return suNone, nil
	}
	was = d.perm.shutdown
	d.vol.shutdownDone, d.perm.shutdown, d.dirty = false, suNone, true
	if err := d.save(); err != nil {
		return suNone, unsaved(err)
	}
	d.mark()
	d.markNamed(c.handles)
	return was, nil
}

// returnToShutdown takes leaveShutdown back: the command changed nothing.
func (d *Device) returnToShutdown(was uint16) {
	if was != suNone {
		d.vol.shutdownDone, d.perm.shutdown, d.dirty = true, was, true
	}
}
