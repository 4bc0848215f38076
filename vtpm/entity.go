package vtpm

import (
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
)

// entityName returns the Name of what h refers to (Part 1, "Names"), or why h
// does not refer to anything. TPMRCReferenceH0 stands for a transient entity
// that is not loaded, at whatever position.
func (d *Device) entityName(h tcg.TPMHandle) ([]byte, tcg.TPMRC) {
	switch h.Type() {
	case tcg.TPMHTPCR:
		if !pcr.Exists(h) {
			return nil, tcg.TPMRCValue
		}
	case tcg.TPMHTNVIndex:
		x := d.perm.nv.indices[h]
		if x == nil {
			return nil, tcg.TPMRCHandle
		}
		if !d.hierarchies().Enabled(x.hierarchy()) {
			return nil, tcg.TPMRCHandle
		}
		return x.name(), tcg.TPMRCSuccess
	case tcg.TPMHTHMACSession, tcg.TPMHTPolicySession:
		if d.session(h) == nil {
			return nil, tcg.TPMRCReferenceH0
		}
	case tcg.TPMHTPermanent:
		if _, ok := actOf(h); h.IsACT() && !ok || !d.hierarchies().Exists(h) {
			return nil, tcg.TPMRCValue
		}
		if !d.hierarchies().Enabled(h) {
			return nil, tcg.TPMRCHierarchy
		}
	case tcg.TPMHTTransient:
		o := d.objectOrNil(h)
		if o == nil {
			return nil, tcg.TPMRCReferenceH0
		}
		if !d.hierarchies().Enabled(o.hierarchy) {
			return nil, tcg.TPMRCReferenceH0
		}
		return o.name, tcg.TPMRCSuccess
	case tcg.TPMHTPersistent:
		o := d.objectOrNil(h)
		if o == nil || !d.hierarchies().Enabled(o.hierarchy) {
			return nil, tcg.TPMRCHandle
		}
		return o.name, tcg.TPMRCSuccess
	default:
		return nil, tcg.TPMRCValue
	}
	return h.Bytes(), tcg.TPMRCSuccess
}

// entityAuth returns the authorization value of what h refers to, without
// trailing zeros. Entities that have none have the empty one.
func (d *Device) entityAuth(h tcg.TPMHandle) []byte {
	switch h.Type() {
	case tcg.TPMHTPCR:
		return nil // no PCR has one
	case tcg.TPMHTNVIndex:
		if x := d.perm.nv.indices[h]; x != nil {
			return x.authValue()
		}
	case tcg.TPMHTPermanent:
		return d.hierarchies().Auth(h)
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		if o := d.objectOrNil(h); o != nil {
			return tcg.TrimAuth(o.authValue())
		}
	}
	return nil
}

// entityPolicy returns the policy of what h refers to; its hash is
// TPM_ALG_NULL if there is none.
func (d *Device) entityPolicy(h tcg.TPMHandle) hierarchy.Policy {
	switch h.Type() {
	case tcg.TPMHTNVIndex:
		if x := d.perm.nv.indices[h]; x != nil {
			return hierarchy.Policy{Hash: x.public.NameAlg, Digest: x.public.AuthPolicy}
		}
	case tcg.TPMHTPermanent:
		if i, ok := actOf(h); ok {
			return d.clear.actPolicies[i]
		}
		return d.hierarchies().Policy(h)
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
		if o := d.objectOrNil(h); o != nil {
			return hierarchy.Policy{Hash: o.public.NameAlg, Digest: o.public.AuthPolicy}
		}
	}
	return hierarchy.NoPolicy()
}

// objectOrNil returns the loaded transient or the persistent object h.
func (d *Device) objectOrNil(h tcg.TPMHandle) *object {
	switch h.Type() {
	case tcg.TPMHTTransient:
		return d.vol.objects.get(h)
	case tcg.TPMHTPersistent:
		return d.perm.objects[h]
	}
	return nil
}

// object is objectOrNil for handles that the dispatcher found to be there.
func (d *Device) object(h tcg.TPMHandle) *object {
	o := d.objectOrNil(h)
	if o == nil {
		panic("vtpm: internal error: no object at a checked handle")
	}
	return o
}

func (d *Device) flushObject(h tcg.TPMHandle) {
	i := int(h & 0x00FFFFFF)
	d.flushed = append(d.flushed, d.vol.objects[i])
	d.vol.objects[i] = nil
}

// flushHierarchy flushes the transient objects of a hierarchy.
func (d *Device) flushHierarchy(h tcg.TPMHandle) {
	for i, o := range d.vol.objects {
		if o != nil && hierarchy.Base(o.hierarchy) == h {
			d.flushed = append(d.flushed, o)
			d.vol.objects[i] = nil
		}
	}
}
