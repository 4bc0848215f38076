package engine

import (
	"bytes"

	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
)

// Mark makes undo go back to now.
func (d *Device) Mark() {
	b := &d.before
	d.Vol.PCRs.Mark()
	b.clear, b.reset, b.vol = d.Clear, d.Reset, d.Vol
	d.markTries()
	for i := range b.policies {
		if b.sequences[i].of != nil {
			clear(b.sequences[i].was) // it may have a key
		}
		b.policies[i].of, b.sequences[i].of = nil, nil
	}
	if b.orderlyKnown {
		return
	}
	b.orderlyKnown = true
	b.orderly = map[tcg.TPMHandle]orderlyData{}
	for h, x := range d.Perm.NV.Indices {
		if x.Has(tcg.TPMANVOrderly) {
			b.orderly[h] = orderlyData{x.Public.Attributes, bytes.Clone(x.Data)}
		}
	}
}

// MarkNamed adds the policies and sequences that the handles of a command name; its
// session area changes policies after the save only.
func (d *Device) MarkNamed(handles [MaxHandles]tcg.TPMHandle) {
	for i, h := range handles {
		if s := d.Session(h); s != nil && s.Policy != nil {
			m := &d.before.policies[i]
			m.of, m.was = s.Policy, *s.Policy
			m.was.Digest = bytes.Clone(s.Policy.Digest) // updated in place
		}
		if o := d.ObjectOrNil(h); o != nil && o.Seq != nil {
			m := &d.before.sequences[i]
			w := tcg.Writer{B: m.was[:0]}
			o.Seq.Encode(&w)
			m.of, m.was = o.Seq, w.B
		}
	}
}

// Undo makes the permanent state what was last saved, and the other what it was
// at the last mark, so that nothing of a command that could not be saved, or
// failed in the middle, remains. Failed authorizations stay counted.
func (d *Device) Undo() {
	d.Dirty, d.encoded = false, permanentEncoding{}
	d.Flushed = nil
	if d.Saved == nil {
		return // being manufactured
	}
	if err := d.decodePermanent(d.Saved); err != nil {
		// It did when it was saved, so memory is damaged. What is saved is good.
		d.Fail("internal error: own state does not decode: "+err.Error(), 0)
		return
	}
	b := &d.before
	if b.orderly == nil {
		return // nothing ran yet
	}
	d.Vol.PCRs.Undo()
	d.Clear, d.Reset, d.Vol = b.clear, b.reset, b.vol
	for i := range b.policies {
		if m := &b.policies[i]; m.of != nil {
			*m.of = m.was
		}
		if m := &b.sequences[i]; m.of != nil {
			r := tcg.NewReader(m.was, d.Profile)
			*m.of = *object.DecodeSequence(&r)
		}
	}
	// Of orderly indices the saved state has what was there at its time.
	for h, o := range b.orderly {
		if x := d.Perm.NV.Indices[h]; x != nil && x.Has(tcg.TPMANVOrderly) && len(x.Data) == len(o.data) {
			x.SetAttributes(o.attributes)
			copy(x.Data, o.data)
		}
	}
	d.keepTries()
}

// forget drops what the command that was answered flushed.
func (d *Device) forget() {
	for _, x := range d.Flushed {
		x.Wipe()
	}
	clear(d.Flushed)
	d.Flushed = d.Flushed[:0]
}
