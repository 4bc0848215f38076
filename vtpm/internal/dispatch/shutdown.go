package dispatch

import (
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// leaveShutdown makes stale what TPM2_Shutdown saved, before a command changes
// what it saved: the next Startup has to see a disorderly shutdown (Part 3, 9.4).
// It returns what Perm.Shutdown was, for returnToShutdown.
func leaveShutdown(d *engine.Device, c *Call) (was uint16, err error) {
	if d.Vol.ShutdownDone && c.Spec.Code == tcg.TPMCCReadClock {
		d.Dirty = true // the next Startup must not set Clock back behind what is read
	}
	if !d.Vol.ShutdownDone || c.Spec.Code == tcg.TPMCCShutdown || c.Spec.Has(tcg.AttrReads) && !commandAudited(d, c) {
		return engine.DisorderlyShutdown, nil
	}
	was = d.Perm.Shutdown
	d.Vol.ShutdownDone, d.Perm.Shutdown, d.Dirty = false, engine.DisorderlyShutdown, true
	if err := d.Save(); err != nil {
		return engine.DisorderlyShutdown, engine.Unsaved(err)
	}
	d.Mark()
	d.MarkNamed(c.Handles)
	return was, nil
}

// returnToShutdown takes leaveShutdown back: the command changed nothing.
func returnToShutdown(d *engine.Device, was uint16) {
	if was != engine.DisorderlyShutdown {
		d.Vol.ShutdownDone, d.Perm.Shutdown, d.Dirty = true, was, true
	}
}
