package vtpm

// Floors are the values of a TPM that must never be seen to go back, even when
// its owner has an old state restored (Part 1, "Timing Components" and
// "Dictionary Attack Protection").
type Floors struct {
	Clock       uint64 // milliseconds
	ResetCount  uint32 // with it rising, restartCount may begin again
	FailedTries uint32 // towards lockout
}

// ReadFloors returns the values that are in a saved state.
func ReadFloors(state []byte) (Floors, error) {
	var d Device
	if err := d.decodePermanent(state); err != nil {
		return Floors{}, err
	}
	return d.floors(), nil
}

func (d *Device) floors() Floors {
	return Floors{Clock: d.perm.clock, ResetCount: d.perm.resetCount, FailedTries: d.perm.da.failedTries}
}

// raise lifts the loaded state to the floors. A Clock that was lifted is not
// safe: nobody knows that it was not higher for a moment.
func (d *Device) raise(f Floors) {
	p := &d.perm
	if p.clock < f.Clock {
		p.clock, p.clockSafe = f.Clock, false
	}
	p.resetCount = max(p.resetCount, f.ResetCount)
	p.da.failedTries = max(p.da.failedTries, f.FailedTries)
}
