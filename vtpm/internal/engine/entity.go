package engine

import (
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
)

// EntityName returns the Name of what h refers to (Part 1, "Names"), or why h
// does not refer to anything. TPMRCReferenceH0 stands for a transient entity
// that is not loaded, at whatever position.
func (d *Device) EntityName(h tcg.TPMHandle) ([]byte, tcg.TPMRC) {
	switch h.Type() {
	case tcg.TPMHTPCR:
		if !pcr.Exists(h) {
			return nil, tcg.TPMRCValue
		}
	case tcg.TPMHTNVIndex:
		x := d.Index(h)
		if x == nil {
			return nil, tcg.TPMRCHandle
		}
		if !d.Hierarchies().Enabled(x.Hierarchy()) {
			return nil, tcg.TPMRCHandle
		}
		return x.Name(), tcg.TPMRCSuccess
	case tcg.TPMHTHMACSession, tcg.TPMHTPolicySession:
		if d.Session(h) == nil {
			return nil, tcg.TPMRCReferenceH0
		}
	case tcg.TPMHTPermanent:
		if _, ok := ACTOf(h); h.IsACT() && !ok || !d.Hierarchies().Exists(h) {
			return nil, tcg.TPMRCValue
		}
		if !d.Hierarchies().Enabled(h) {
			return nil, tcg.TPMRCHierarchy
		}
	case tcg.TPMHTTransient:
		o := d.ObjectOrNil(h)
		if o == nil {
			return nil, tcg.TPMRCReferenceH0
		}
		if !d.Hierarchies().Enabled(o.Hierarchy) {
			return nil, tcg.TPMRCReferenceH0
		}
		return o.Name, tcg.TPMRCSuccess
	case tcg.TPMHTPersistent:
		o := d.ObjectOrNil(h)
		if o == nil || !d.Hierarchies().Enabled(o.Hierarchy) {
			return nil, tcg.TPMRCHandle
		}
		return o.Name, tcg.TPMRCSuccess
	default:
		return nil, tcg.TPMRCValue
	}
	return h.Bytes(), tcg.TPMRCSuccess
}

// EntityAuth returns the authorization value of what h refers to, without
// trailing zeros. Entities that have none have the empty one.
func (d *Device) EntityAuth(h tcg.TPMHandle) []byte {
	switch h.Type() {
	case tcg.TPMHTPCR:
		return nil // no PCR has one
	case tcg.TPMHTNVIndex:
		if x := d.Index(h); x != nil {
			return x.AuthValue()
		}
	case tcg.TPMHTPermanent:
		return d.Hierarchies().Auth(h)
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		if o := d.ObjectOrNil(h); o != nil {
			return tcg.TrimAuth(o.AuthValue())
		}
	}
	return nil
}

// EntityPolicy returns the policy of what h refers to; its hash is
// TPM_ALG_NULL if no policy was set.
func (d *Device) EntityPolicy(h tcg.TPMHandle) hierarchy.Policy {
	switch h.Type() {
	case tcg.TPMHTNVIndex:
		if x := d.Index(h); x != nil {
			return hierarchy.Policy{Hash: x.Public.NameAlg, Digest: x.Public.AuthPolicy}
		}
	case tcg.TPMHTPermanent:
		if i, ok := ACTOf(h); ok {
			return d.Clear.ACTPolicies[i]
		}
		return d.Hierarchies().Policy(h)
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		if o := d.ObjectOrNil(h); o != nil {
			return hierarchy.Policy{Hash: o.Public.NameAlg, Digest: o.Public.AuthPolicy}
		}
	}
	return hierarchy.NoPolicy()
}

// ObjectOrNil returns the loaded transient or the persistent object h.
func (d *Device) ObjectOrNil(h tcg.TPMHandle) *object.Object {
	switch h.Type() {
	case tcg.TPMHTTransient:
		return d.Vol.Objects.Get(h)
	case tcg.TPMHTPersistent:
		return d.Perm.Objects[h]
	}
	return nil
}

// Object is ObjectOrNil for handles that the dispatcher found to be there.
func (d *Device) Object(h tcg.TPMHandle) *object.Object {
	o := d.ObjectOrNil(h)
	if o == nil {
		panic("vtpm: internal error: no object at a checked handle")
	}
	return o
}

// FlushObject removes the transient object with handle h. Its secrets are wiped
// when the command has succeeded.
func (d *Device) FlushObject(h tcg.TPMHandle) {
	i := int(h & 0x00FFFFFF)
	d.Flushed = append(d.Flushed, d.Vol.Objects[i])
	d.Vol.Objects[i] = nil
}

// FlushHierarchy flushes the transient objects of a hierarchy.
func (d *Device) FlushHierarchy(h tcg.TPMHandle) {
	for i, o := range d.Vol.Objects {
		if o != nil && hierarchy.Base(o.Hierarchy) == h {
			d.Flushed = append(d.Flushed, o)
			d.Vol.Objects[i] = nil
		}
	}
}

// Session returns the loaded session with handle h, or nil.
func (d *Device) Session(h tcg.TPMHandle) *session.Session { return d.Vol.Sessions.Get(h) }

// FlushSession forgets a loaded session and frees its slot.
func (d *Device) FlushSession(s *session.Session) {
	i := session.Slot(s.Handle)
	d.Flushed = append(d.Flushed, s)
	d.Vol.Sessions[i] = nil
	d.Reset.Contexts.Release(i)
	if d.Vol.Exclusive == s.Handle {
		d.Vol.Exclusive = 0
	}
}

// PersistentUnits is how many of the persistent objects that there may be are
// taken (see object.Object.Units).
func (d *Device) PersistentUnits() (n int) {
	for _, o := range d.Perm.Objects {
		n += o.Units()
	}
	return n
}
