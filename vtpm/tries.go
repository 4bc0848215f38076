package vtpm

import (
	"maps"
	"slices"

	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/tcg"
)

// A failed authorization is counted before it is answered. Where the count
// cannot be saved it stays in memory, undo does not take it back, and whatever is
// protected by a count is refused without being compared until a save succeeds
// (Part 1, 16.8.6). Thus a store that fails gives nobody more than one try.

// unsavedTries are the counts that memory has and the saved state has not.
type unsavedTries struct {
	// pins are the pinCounts that authorizations changed since the last save.
	pins map[tcg.TPMHandle]uint32

	owed  bool // a save that had to keep a count failed
	stale bool // and perm.shutdown is suNone, whatever the saved state says
}

// triesCounted makes undo keep what dictionary attack logic counted just now.
func (d *Device) triesCounted() {
	d.before.da, d.before.vol.daTime = d.perm.da, d.vol.daTime
	d.before.count, d.dirty = true, true
}

// pinCounted makes undo keep the pinCount that index x has now.
func (d *Device) pinCounted(x *nvIndex) {
	if d.tries.pins == nil {
		d.tries.pins = map[tcg.TPMHandle]uint32{}
	}
	d.tries.pins[x.public.NVIndex], _ = x.pin()
	d.pinChanged(x)
}

// pinChanged has the pinCount of x saved, whatever becomes of the command; that of
// an orderly index must not be found as TPM2_Shutdown saved it.
func (d *Device) pinChanged(x *nvIndex) {
	if x.has(tcg.TPMANVOrderly) {
		d.before.orderlyKnown = false
		d.staleShutdown()
	} else {
		d.dirty = true
	}
}

// markTries forgets the pinCounts of earlier commands, which need no save any
// more.
func (d *Device) markTries() {
	d.before.da, d.before.count = d.perm.da, false
	if !d.tries.owed {
		d.tries.pins = nil
	}
}

// keepTries is the part of undo that does not go back: counts stay what they
// are. Preconditions: the permanent state is the saved one.
func (d *Device) keepTries() {
	t := &d.tries
	// Also where the counts are equal: then the failure took the place of one that
	// time had forgiven, which the saved state does not know.
	d.perm.da, t.owed = d.before.da, t.owed || d.before.count
	for h, n := range t.pins {
		x := d.perm.nv.indices[h]
		if x == nil || !x.isPIN() || !x.written() {
			delete(t.pins, h)
			continue
		}
		x.setPinCount(n)
		t.owed = true
		if x.has(tcg.TPMANVOrderly) {
			// From here on it is kept as the data of every orderly index is.
			delete(t.pins, h)
			d.before.orderlyKnown = false
			t.stale = true
		}
	}
	if t.stale {
		d.vol.shutdownDone, d.perm.shutdown = false, suNone
	}
}

// settleTries saves the counts that could not be saved before. While that fails
// no protected authorization may be compared: TPM_RC_NV_UNAVAILABLE.
func (d *Device) settleTries() tcg.TPMRC {
	if !d.tries.owed {
		return tcg.TPMRCSuccess
	}
	d.dirty = true
	if err := d.save(); err != nil {
		return tcg.TPMRCNVUnavailable
	}
	return tcg.TPMRCSuccess
}

// encode writes what Resume needs to go on refusing.
func (t *unsavedTries) encode(w *tcg.Writer, da *lockout.Lockout) {
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
	t := unsavedTries{owed: true, pins: map[tcg.TPMHandle]uint32{}}
	r.Flags(&t.stale, &d.perm.da.AuthEnabled)
	d.perm.da.FailedTries = r.Uint32()
	for range count(r) {
		h, n := tcg.TPMHandle(r.Uint32()), r.Uint32()
		x := d.perm.nv.indices[h]
		if x == nil || !x.isPIN() {
			r.Fail(tcg.TPMRCValue)
			return
		}
		t.pins[h] = n
		x.setPinCount(n)
	}
	if t.stale {
		d.perm.shutdown = suNone
	}
	d.tries = t
}
