package engine

import (
	"maps"
	"slices"

	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/tcg"
)

// A failed authorization is counted before it is answered. Where the count
// cannot be saved it stays in memory, undo does not take it back, and whatever is
// protected by a count is refused without being compared until a save succeeds
// (Part 1, 16.8.6). Thus a store that fails gives nobody more than one try.

// triesCounted makes undo keep what dictionary attack logic counted just now.
func (d *Device) triesCounted() {
	d.before.da, d.before.vol.DATime = d.Perm.DA, d.Vol.DATime
	d.before.count, d.Dirty = true, true
}

// pinCounted makes undo keep the pinCount that index x has now.
func (d *Device) pinCounted(x *nv.Index) {
	if d.Tries.pins == nil {
		d.Tries.pins = map[tcg.TPMHandle]uint32{}
	}
	d.Tries.pins[x.Public.NVIndex], _ = x.PIN()
	d.pinChanged(x)
}

// pinChanged has the pinCount of x saved, whatever becomes of the command; that of
// an orderly index must not be found as TPM2_Shutdown saved it.
func (d *Device) pinChanged(x *nv.Index) {
	if x.Has(tcg.TPMANVOrderly) {
		d.before.orderlyKnown = false
		d.staleShutdown()
	} else {
		d.Dirty = true
	}
}

// markTries forgets the pinCounts of earlier commands, which need no save any
// more.
func (d *Device) markTries() {
	d.before.da, d.before.count = d.Perm.DA, false
	if !d.Tries.Owed {
		d.Tries.pins = nil
	}
}

// keepTries is the part of undo that does not go back: counts stay what they
// are. Preconditions: the permanent state is the saved one.
func (d *Device) keepTries() {
	t := &d.Tries
	// Also where the counts are equal: then the failure took the place of one that
	// time had forgiven, which the saved state does not know.
	d.Perm.DA, t.Owed = d.before.da, t.Owed || d.before.count
	for h, n := range t.pins {
		x := d.Perm.NV.Indices[h]
		if x == nil || !x.IsPIN() || !x.Written() {
			delete(t.pins, h)
			continue
		}
		x.SetPINCount(n)
		t.Owed = true
		if x.Has(tcg.TPMANVOrderly) {
			// From here on it is kept as the data of every orderly index is.
			delete(t.pins, h)
			d.before.orderlyKnown = false
			t.stale = true
		}
	}
	if t.stale {
		d.Vol.ShutdownDone, d.Perm.Shutdown = false, DisorderlyShutdown
	}
}

// SettleTries saves the counts that could not be saved before. While that fails
// no protected authorization may be compared: TPM_RC_NV_UNAVAILABLE.
func (d *Device) SettleTries() tcg.TPMRC {
	if !d.Tries.Owed {
		return tcg.TPMRCSuccess
	}
	d.Dirty = true
	if err := d.Save(); err != nil {
		return tcg.TPMRCNVUnavailable
	}
	return tcg.TPMRCSuccess
}

// encode writes what Resume needs to go on refusing.
func (t *UnsavedTries) encode(w *tcg.Writer, da *lockout.Lockout) {
	w.Flags(t.stale, da.AuthEnabled)
	w.Uint32(da.FailedTries)
	w.Uint16(uint16(len(t.pins)))
	for _, h := range slices.Sorted(maps.Keys(t.pins)) {
		w.Uint32(uint32(h))
		w.Uint32(t.pins[h])
	}
}

// decodeTries takes what encode wrote into the device.
func (d *Device) decodeTries(r *tcg.Reader) {
	t := UnsavedTries{Owed: true, pins: map[tcg.TPMHandle]uint32{}}
	r.Flags(&t.stale, &d.Perm.DA.AuthEnabled)
	d.Perm.DA.FailedTries = r.Uint32()
	for range count(r) {
		h, n := tcg.TPMHandle(r.Uint32()), r.Uint32()
		x := d.Perm.NV.Indices[h]
		if x == nil || !x.IsPIN() {
			r.Fail(tcg.TPMRCValue)
			return
		}
		t.pins[h] = n
		x.SetPINCount(n)
	}
	if t.stale {
		d.Perm.Shutdown = DisorderlyShutdown
	}
	d.Tries = t
}
