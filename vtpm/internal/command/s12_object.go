package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// create is TPM2_Create, which creates a child of a loaded storage key and
// returns it encrypted.
//
//	TPM_RC_TYPE        the parent is not a storage key
//	TPM_RC_ATTRIBUTES  attributes contradict each other, the parent or the data
//	TPM_RC_SIZE        authValue or authPolicy of a wrong size
//	TPM_RC_HASH, TPM_RC_SCHEME, TPM_RC_SYMMETRIC, TPM_RC_KDF, TPM_RC_MODE
//	                   see object.CheckAttributes
func create(d *engine.Device, c *dispatch.Call) error {
	p, err := readCreation(c)
	if err != nil {
		return err
	}
	parent := d.Object(c.Handles[0])
	if !parent.IsStorageParent() {
		return tcg.TPMRCType.H(1)
	}
	if rc := object.CheckCreation(&p.public, parent, 0, len(p.sensitive.Data)); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	o, rc := createObject(d, p, nil)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	o.Finish(parent.Hierarchy, parent)
	private := protect(d, parent, o)
	c.Out.Sized(private)
	writeCreation(d, c, o, p, parent, parent.Hierarchy)
	o.Wipe()
	return nil
}

// load is TPM2_Load, which loads an object that its parent protects.
//
//	TPM_RC_TYPE        the parent is not a storage key
//	TPM_RC_INTEGRITY   inPrivate was not made for this parent and public area
//	TPM_RC_BINDING     public and sensitive area do not match
//	TPM_RC_ATTRIBUTES, TPM_RC_SIZE, TPM_RC_HASH, ...  see object.CheckAttributes
func load(d *engine.Device, c *dispatch.Call) error {
	parent := d.Object(c.Handles[0])
	if !parent.IsStorageParent() {
		return tcg.TPMRCType.H(1)
	}
	r := c.Reader()
	private := r.Next().Private()
	var public tcg.TPMTPublic
	public.Unmarshal2B(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	if len(private) == 0 {
		return tcg.TPMRCSize.P(1)
	}
	if rc := d.Vol.Objects.Room(); rc != tcg.TPMRCSuccess {
		return rc
	}
	o := &object.Object{Public: public.Clone()}
	if o.Public.NameAlg == tcg.TPMAlgNull {
		return tcg.TPMRCHash.P(2)
	}
	o.Finish(parent.Hierarchy, parent)
	var rc tcg.TPMRC
	if o.Sensitive, rc = parent.Unprotect(o.Name, private, d.Profile); rc != tcg.TPMRCSuccess {
		return rc.P(1)
	}
	if rc := object.CheckAttributes(&o.Public, parent, parent.Public.ObjectAttributes); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if rc := o.CheckBinding(); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	c.OutHandle, _ = d.Vol.Objects.Add(o)
	c.Out.Sized(o.Name)
	return nil
}

// loadExternal is TPM2_LoadExternal, which loads an object that no parent in
// this TPM protects, or a public area alone.
//
//	TPM_RC_HIERARCHY   a sensitive area with a hierarchy other than null
//	TPM_RC_ATTRIBUTES  fixedTPM, fixedParent or restricted SET with a sensitive area
//	TPM_RC_BINDING     public and sensitive area do not match
func loadExternal(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var private tcg.TPMTSensitive
	present := private.Unmarshal2B(r.Next())
	var public tcg.TPMTPublic
	public.Unmarshal2BPlus(r.Next())
	root := r.Next().HandlePlus(tcg.TPMIRHHierarchy)
	if err := r.End(); err != nil {
		return err
	}
	h := root
	if rc := d.CheckHierarchy(h); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	if !d.Hierarchies().Enabled(h) {
		return tcg.TPMRCHierarchy.P(3)
	}
	if rc := d.Vol.Objects.Room(); rc != tcg.TPMRCSuccess {
		return rc
	}
	o := &object.Object{Public: public.Clone(), External: true, PublicOnly: !present}
	if present {
		if h != tcg.TPMRHNull {
			return tcg.TPMRCHierarchy.P(3)
		}
		if o.Public.ObjectAttributes&(tcg.TPMAObjectFixedTPM|tcg.TPMAObjectFixedParent|tcg.TPMAObjectRestricted) != 0 {
			return tcg.TPMRCAttributes.P(2)
		}
		o.Sensitive = private.Clone()
		o.Sensitive.AuthValue = tcg.TrimAuth(o.Sensitive.AuthValue)
	}
	if rc := checkExternal(o); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if present {
		if o.HasName() && len(o.Sensitive.AuthValue) > tpmcrypto.MustSize(o.Public.NameAlg) {
			return tcg.TPMRCSize.P(1)
		}
	}
	if rc := o.CheckBinding(); rc != tcg.TPMRCSuccess {
		return rc.P(1)
	}
	o.Finish(h, nil)
	// An external object's place in a hierarchy is claimed, not proven: its
	// qualified name says so by having no parent but its own name.
	o.QualifiedName = o.Name
	c.OutHandle, _ = d.Vol.Objects.Add(o)
	c.Out.Sized(o.Name)
	return nil
}

// checkExternal checks the public area of an external object: as that of any
// other, but without a parent whose attributes it had to follow.
func checkExternal(o *object.Object) tcg.TPMRC {
	p := &o.Public
	if n := len(p.AuthPolicy); n != 0 && n != tpmcrypto.DigestSize(p.NameAlg) {
		return tcg.TPMRCSize
	}
	if p.ObjectAttributes&object.Limited != 0 {
		return tcg.TPMRCAttributes
	}
	if rc := object.CheckUse(p); rc != tcg.TPMRCSuccess {
		return rc
	}
	return object.CheckScheme(p)
}

// readPublic is TPM2_ReadPublic, which returns the public area and the Names of
// a loaded object.
//
//	TPM_RC_SEQUENCE  the handle is that of a sequence
func readPublic(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Seq != nil {
		return tcg.TPMRCSequence
	}
	c.Out.Nested(o.Public.Marshal)
	c.Out.Sized(o.Name)
	c.Out.Sized(o.QualifiedName)
	return nil
}

// unseal is TPM2_Unseal, which returns the data of a sealed data object.
//
//	TPM_RC_TYPE        not a sealed data object
//	TPM_RC_ATTRIBUTES  sign, decrypt or restricted is SET
func unseal(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Public.Type != tcg.TPMAlgKeyedHash || o.Seq != nil {
		return tcg.TPMRCType.H(1)
	}
	if o.Public.ObjectAttributes&(tcg.TPMAObjectDecrypt|tcg.TPMAObjectSignEncrypt|tcg.TPMAObjectRestricted) != 0 {
		return tcg.TPMRCAttributes.H(1)
	}
	c.Out.Sized(o.Sensitive.Sensitive)
	return nil
}

// objectChangeAuth is TPM2_ObjectChangeAuth, which returns the private area of
// an object with a new authorization value.
//
//	TPM_RC_TYPE  the object is a sequence, or not a child of the parent, as
//	             nothing without a Name is
//	TPM_RC_SIZE  newAuth is longer than the object's nameAlg
func objectChangeAuth(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	auth := r.Next().Digest()
	if err := r.End(); err != nil {
		return err
	}
	o, parent := d.Object(c.Handles[0]), d.Object(c.Handles[1])
	if o.Seq != nil {
		return tcg.TPMRCType.H(1)
	}
	v := tcg.TrimAuth(auth)
	if len(v) > tpmcrypto.DigestSize(o.Public.NameAlg) {
		return tcg.TPMRCSize.P(1)
	}
	if !o.HasName() || !parent.IsStorageParent() ||
		!tpmcrypto.Equal(o.QualifiedName, object.QualifiedName(o.Public.NameAlg, parent.QualifiedName, o.Name)) {
		return tcg.TPMRCType.H(2)
	}
	changed := object.Object{Public: o.Public, Name: o.Name, Sensitive: o.Sensitive}
	changed.Sensitive.AuthValue = v
	c.Out.Sized(protect(d, parent, &changed))
	return nil
}
