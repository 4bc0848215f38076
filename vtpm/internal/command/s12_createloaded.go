package command

import (
	"bytes"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// createLoaded is TPM2_CreateLoaded, which creates an object and loads it: a
// primary, ordinary or derived one, by what the parent is. Response codes are
// those of create.
func createLoaded(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var p creationParams
	p.sensitive.Unmarshal2B(r.Next())
	template := r.Next().Template()
	if err := r.End(); err != nil {
		return err
	}
	h := c.Handles[0]
	var parent *object.Object
	derive := false
	if h.Type() != tcg.TPMHTPermanent {
		parent = d.Object(h)
		derive = parent.IsDerivationParent()
		if !derive && !parent.IsStorageParent() {
			return tcg.TPMRCType.H(1)
		}
	}
	t := tcg.NewReader(template, d.Profile)
	label := p.public.UnmarshalTemplate(&t, derive)
	if rc := t.Err(); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if t.Len() != 0 {
		return tcg.TPMRCSize.P(2)
	}
	if rc := d.Vol.Objects.Room(); rc != tcg.TPMRCSuccess {
		return rc
	}
	root := h
	var source keySource
	switch {
	case derive:
		root = parent.Hierarchy
		var rc tcg.TPMRC
		if source, rc = derivedSource(d, parent, &p, label); rc != tcg.TPMRCSuccess {
			return rc
		}
	case parent != nil:
		root = parent.Hierarchy
		if rc := object.CheckCreation(&p.public, parent, 0, len(p.sensitive.Data)); rc != tcg.TPMRCSuccess {
			return rc.P(2)
		}
	default:
		if rc := object.CheckCreation(&p.public, nil, hierarchy.Limits(root), len(p.sensitive.Data)); rc != tcg.TPMRCSuccess {
			return rc.P(2)
		}
		source = primarySource(d.Hierarchies().Secrets(h).Seed, &p)
	}
	o, rc := createObject(d, &p, source)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	o.Primary = parent == nil
	o.Finish(root, parent)
	c.OutHandle, _ = d.Vol.Objects.Add(o)
	if parent != nil && !derive {
		c.Out.Sized(protect(d, parent, o))
	} else {
		c.Out.Sized(nil) // it can be made again, and only that
	}
	c.Out.Nested(o.Public.Marshal)
	c.Out.Sized(o.Name)
	return nil
}

// derivedSource checks the template of a derived object and returns the key
// stream that it is made of (Part 1, "Object Derivation"). Label and context
// come from the sensitive data where it has them, else from the template.
func derivedSource(d *engine.Device, parent *object.Object, p *creationParams, label tcg.TPMSDerive) (keySource, tcg.TPMRC) {
	if p.public.Type == tcg.TPMAlgRSA {
		return nil, tcg.TPMRCType.P(2)
	}
	if p.public.ObjectAttributes&tcg.TPMAObjectSensitiveDataOrigin != 0 {
		return nil, tcg.TPMRCAttributes.P(2)
	}
	if rc := object.CheckAttributes(&p.public, nil, parent.Public.ObjectAttributes); rc != tcg.TPMRCSuccess {
		return nil, rc.P(2)
	}
	if len(p.sensitive.Data) != 0 {
		r := tcg.NewReader(p.sensitive.Data, d.Profile)
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
	s := tpmcrypto.NewKDFaStream(parent.Public.KeyedHash.Scheme.HashAlg, parent.Sensitive.Sensitive,
		string(label.Label), bytes.Clone(label.Context), nil, tcg.MaxDerivationBits)
	if s == nil {
		return nil, tcg.TPMRCScheme.H(1)
	}
	return s, tcg.TPMRCSuccess
}
