package engine

import (
	"errors"
	"stubtpm/vtpm/tcg"
)

// Save makes the permanent state durable if a command changed it. Where that
// fails all that the command changed is undone, but for what it counted, so that
// memory and disk tell the same story. A state that does not decode is not given
// to the store.
func (d *Device) Save() error { return d.saveBy(d.Cfg.Store.Save) }

func (d *Device) saveBy(store func(state []byte) error) error {
	if !d.Dirty {
		return nil
	}
	d.Dirty = false
	if d.Vol.Started { // else Clock does not run: what was saved last is what TPM2_Startup finds
		d.Perm.Clock.Clock = d.ClockNow()
	}
	state, err := d.checkedState()
	if err == nil {
		err = store(state)
	}
	if err != nil {
		d.Cfg.Log("vtpm: save of %d bytes failed: %v", len(state), err)
		d.Undo()
		return err
	}
	d.Saved, d.Kept = state, state
	d.before.orderlyKnown = false
	d.Tries = UnsavedTries{}
	return nil
}

// Unsaved returns the response code of a command whose state could not be
// saved.
func Unsaved(err error) tcg.TPMRC {
	if errors.Is(err, ErrRate) {
		return tcg.TPMRCNVRate
	}
	return tcg.TPMRCNVUnavailable
}
