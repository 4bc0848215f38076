package vtpm

import (
	"bytes"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// createLoaded is TPM2_CreateLoaded: a primary, ordinary or derived object, by
// what the parent is. Response codes are those of create.
func (d *Device) createLoaded(c *call) error {
	r := c.reader()
	var p creationParams
	p.sensitive.Unmarshal2B(r.next())
	template := r.next().Template()
	if err := r.end(); err != nil {
		return err
	}
	h := c.handles[0]
	var parent *object
	derive := false
	if h.Type() != tcg.TPMHTPermanent {
		parent = d.object(h)
		derive = parent.isDerivationParent()
		if !derive && !parent.isStorageParent() {
			return tcg.TPMRCType.H(1)
		}
	}
	t := tcg.NewReader(template, d.profile)
	label := p.public.UnmarshalTemplate(&t, derive)
	if rc := t.Err(); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if t.Len() != 0 {
		return tcg.TPMRCSize.P(2)
	}
	if rc := d.vol.objects.room(); rc != tcg.TPMRCSuccess {
		return rc
	}
	root := h
	var source keySource
	switch {
	case derive:
		root = parent.hierarchy
		var rc tcg.TPMRC
		if source, rc = d.derivedSource(parent, &p, label); rc != tcg.TPMRCSuccess {
			return rc
		}
	case parent != nil:
		root = parent.hierarchy
		if rc := checkCreation(&p.public, parent, root, len(p.sensitive.Data)); rc != tcg.TPMRCSuccess {
			return rc.P(2)
		}
	default:
		if rc := checkCreation(&p.public, nil, root, len(p.sensitive.Data)); rc != tcg.TPMRCSuccess {
			return rc.P(2)
		}
		source = d.primarySource(h, &p)
	}
	o, rc := d.createObject(&p, source)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	o.primary = parent == nil
	o.finish(root, parent)
	c.outHandle, _ = d.vol.objects.add(o)
	if parent != nil && !derive {
		c.out.Sized(d.protect(parent, o))
	} else {
		c.out.Sized(nil) // it can be made again, and only that
	}
	c.out.Nested(o.public.Marshal)
	c.out.Sized(o.name)
	return nil
}

// derivedSource checks the template of a derived object and returns the key
// stream that it is made of (Part 1, "Object Derivation"). Label and context
// come from the sensitive data where it has them, else from the template.
func (d *Device) derivedSource(parent *object, p *creationParams, label tcg.TPMSDerive) (keySource, tcg.TPMRC) {
	if p.public.Type == tcg.TPMAlgRSA {
		return nil, tcg.TPMRCType.P(2)
	}
	if p.public.ObjectAttributes&tcg.TPMAObjectSensitiveDataOrigin != 0 {
		return nil, tcg.TPMRCAttributes.P(2)
	}
	if rc := checkAttributes(&p.public, nil, parent.public.ObjectAttributes); rc != tcg.TPMRCSuccess {
		return nil, rc.P(2)
	}
	if len(p.sensitive.Data) != 0 {
		r := tcg.NewReader(p.sensitive.Data, d.profile)
		var given tcg.TPMSDerive
		given.Unmarshal(&r)
		if rc := r.Err(); rc != tcg.TPMRCSuccess {
			return nil, rc.P(1)
		}
		if r.Len() != 0 {
			return nil, tcg.TPMRCSize.P(1)
		}
		if len(given.Label) != 0 {
			label.Label = given.Label
		}
		if len(given.Context) != 0 {
			label.Context = given.Context
		}
		p.sensitive.Data = nil
	}
	s := tpmcrypto.NewKDFaStream(parent.public.KeyedHash.Scheme.HashAlg, parent.sensitive.Sensitive,
		string(label.Label), bytes.Clone(label.Context), nil, tcg.MaxDerivationBits)
	if s == nil {
		return nil, tcg.TPMRCScheme.H(1)
	}
	return s, tcg.TPMRCSuccess
}
