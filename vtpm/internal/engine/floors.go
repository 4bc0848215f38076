package engine

import (
	"encoding/binary"

	"stubtpm/vtpm/internal/clock"
)

// setEpoch makes the index.
func (d *Device) setEpoch(e Epoch) {
	d.Perm.NV.Provide(EpochIndex, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, e.Ledger), e.Restores))
}

// noEpoch removes the index, which speaks of nothing that is true here: it came
// with a state from where there is an Epoch.
func (d *Device) noEpoch() {
	if d.Perm.NV.Indices[EpochIndex] != nil {
		d.Cfg.Log("vtpm: NV index %#08x is removed: there is no epoch here", EpochIndex)
		delete(d.Perm.NV.Indices, EpochIndex)
	}
}

// ReadFloors returns the values that are in a saved state.
func ReadFloors(state []byte) (Floors, error) {
	var d Device
	if err := d.decodePermanent(state); err != nil {
		return Floors{}, err
	}
	return d.Floors(), nil
}

// Floors returns the values of d that must not go back.
func (d *Device) Floors() Floors {
	return Floors{Clock: d.Perm.Clock.Clock, ResetCount: d.Perm.ResetCount, FailedTries: d.Perm.DA.FailedTries}
}

// raise lifts the loaded state to the floors. A Clock that was lifted is not
// safe: nobody knows that it was not higher for a moment.
func (d *Device) raise(f Floors) {
	p := &d.Perm
	if p.Clock.Clock < f.Clock {
		p.Clock = clock.Saved{Clock: f.Clock}
	}
	p.ResetCount = max(p.ResetCount, f.ResetCount)
	p.DA.FailedTries = max(p.DA.FailedTries, min(f.FailedTries, p.DA.MaxTries))
}
