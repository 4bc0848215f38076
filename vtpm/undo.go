package vtpm

import (
	"bytes"

	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/tcg"
)

// maxHandles is how many handles a command has at most.
const maxHandles = 3

// A checkpoint is what undo needs besides the permanent state as last saved:
// all that a command changes before its save.
type checkpoint struct {
	clear stateClear
	reset stateReset
	vol   volatile
	da    lockout.Lockout // with what was counted since
	count bool            // something was counted since

	// Policies of sessions that the command names.
	policies [maxHandles]struct {
		of  *policyState
		was policyState
	}

	// Sequences that the command names, encoded: they are updated in place.
	sequences [maxHandles]struct {
		of  *sequence
		was []byte
	}

	orderly      map[tcg.TPMHandle]orderlyData // of the state between two commands
	orderlyKnown bool                          // orderly needs not be made again
}

// orderlyData is what an orderly index has and the saved state has not.
type orderlyData struct {
	attributes tcg.TPMANV
	data       []byte
}

// mark makes undo go back to now.
func (d *Device) mark() {
	b := &d.before
	d.vol.pcrs.Mark()
	b.clear, b.reset, b.vol = d.clear, d.reset, d.vol
	d.markTries()
	for i := range b.policies {
		b.policies[i].of, b.sequences[i].of = nil, nil
	}
	if b.orderlyKnown {
		return
	}
	b.orderlyKnown = true
	b.orderly = map[tcg.TPMHandle]orderlyData{}
	for h, x := range d.perm.nv.indices {
		if x.has(tcg.TPMANVOrderly) {
			b.orderly[h] = orderlyData{x.public.Attributes, bytes.Clone(x.data)}
		}
	}
}

// markNamed adds the policies and sequences that the handles of a command name; its
// session area changes policies after the save only.
func (d *Device) markNamed(handles [maxHandles]tcg.TPMHandle) {
	for i, h := range handles {
		if s := d.session(h); s != nil && s.policy != nil {
			m := &d.before.policies[i]
			m.of, m.was = s.policy, *s.policy
			m.was.digest = bytes.Clone(s.policy.digest) // updated in place
		}
		if o := d.objectOrNil(h); o != nil && o.seq != nil {
			m := &d.before.sequences[i]
			w := tcg.Writer{B: m.was[:0]}
			o.seq.encode(&w)
			m.of, m.was = o.seq, w.B
		}
	}
}

// undo makes the permanent state what was last saved, and the other what it was
// at the last mark, so that nothing of a command that could not be saved, or
// failed in the middle, remains. Failed authorizations stay counted.
func (d *Device) undo() {
	d.dirty, d.encoded = false, permanentEncoding{}
	d.flushed = nil
	if d.saved == nil {
		return // being manufactured
	}
	if err := d.decodePermanent(d.saved); err != nil {
		// It did when it was saved, so memory is damaged. What is saved is good.
		d.fail("internal error: own state does not decode: "+err.Error(), 0)
		return
	}
	b := &d.before
	if b.orderly == nil {
		return // nothing ran yet
	}
	d.vol.pcrs.Undo()
	d.clear, d.reset, d.vol = b.clear, b.reset, b.vol
	for i := range b.policies {
		if m := &b.policies[i]; m.of != nil {
			*m.of = m.was
		}
		if m := &b.sequences[i]; m.of != nil {
			r := tcg.NewReader(m.was, d.profile)
			*m.of = *decodeSequence(&r)
		}
	}
	// Of orderly indices the saved state has what was there at its time.
	for h, o := range b.orderly {
		if x := d.perm.nv.indices[h]; x != nil && x.has(tcg.TPMANVOrderly) && len(x.data) == len(o.data) {
			x.setAttributes(o.attributes)
			copy(x.data, o.data)
		}
	}
	d.keepTries()
}

// forget drops what the command that was answered flushed.
func (d *Device) forget() {
	for _, x := range d.flushed {
		x.wipe()
	}
	clear(d.flushed)
	d.flushed = d.flushed[:0]
}
