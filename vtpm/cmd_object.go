package vtpm

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Part 3, section 12 - Object Commands, and 24.1 TPM2_CreatePrimary.
var objectCommands = commandTable{
	tcg.TPMCCCreate:           (*Device).create,
	tcg.TPMCCCreatePrimary:    (*Device).createPrimary,
	tcg.TPMCCLoad:             (*Device).load,
	tcg.TPMCCLoadExternal:     (*Device).loadExternal,
	tcg.TPMCCReadPublic:       (*Device).readPublic,
	tcg.TPMCCCreateLoaded:     (*Device).createLoaded,
	tcg.TPMCCUnseal:           (*Device).unseal,
	tcg.TPMCCObjectChangeAuth: (*Device).objectChangeAuth,
}

// creationParams are the parameters that TPM2_Create and TPM2_CreatePrimary
// share.
type creationParams struct {
	sensitive   tcg.TPMSSensitiveCreate
	public      tcg.TPMTPublic
	outsideInfo []byte
	pcrs        tcg.TPMLPCRSelection
}

func (c *call) readCreation() (*creationParams, error) {
	p := new(creationParams)
	r := c.reader()
	p.sensitive.Unmarshal2B(r.next())
	p.public.Unmarshal2B(r.next())
	p.outsideInfo = r.next().Data()
	p.pcrs.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// create is TPM2_Create.
//
//	TPM_RC_TYPE        the parent is not a storage key
//	TPM_RC_ATTRIBUTES  attributes contradict each other, the parent or the data
//	TPM_RC_SIZE        authValue or hierarchy.Policy of a wrong size
//	TPM_RC_HASH, TPM_RC_SCHEME, TPM_RC_SYMMETRIC, TPM_RC_KDF, TPM_RC_MODE
//	                   see checkAttributes
func (d *Device) create(c *call) error {
	p, err := c.readCreation()
	if err != nil {
		return err
	}
	parent := d.object(c.handles[0])
	if !parent.isStorageParent() {
		return tcg.TPMRCType.H(1)
	}
	if rc := checkCreation(&p.public, parent, parent.hierarchy, len(p.sensitive.Data)); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	o, rc := d.createObject(p, nil)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	o.finish(parent.hierarchy, parent)
	private := d.protect(parent, o)
	c.out.Sized(private)
	d.writeCreation(c, o, p, parent, parent.hierarchy)
	o.wipe()
	return nil
}

// createPrimary is TPM2_CreatePrimary. Response codes are those of create.
func (d *Device) createPrimary(c *call) error {
	p, err := c.readCreation()
	if err != nil {
		return err
	}
	root := c.handles[0]
	if rc := checkCreation(&p.public, nil, root, len(p.sensitive.Data)); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if rc := d.vol.objects.room(); rc != tcg.TPMRCSuccess {
		return rc
	}
	o, rc := d.createObject(p, d.primarySource(root, p))
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	o.primary = true
	o.finish(root, nil)
	c.outHandle, _ = d.vol.objects.add(o)
	d.writeCreation(c, o, p, nil, root)
	c.out.Sized(o.name)
	return nil
}

// createObject makes the sensitive area and the unique field. source is nil
// for random keys.
func (d *Device) createObject(p *creationParams, source keySource) (*object, tcg.TPMRC) {
	o := &object{public: p.public.Clone()}
	auth := tcg.TrimAuth(p.sensitive.UserAuth)
	if len(auth) > hashSize(o.public.NameAlg) {
		return nil, tcg.TPMRCSize.P(1)
	}
	o.sensitive.AuthValue = append([]byte(nil), auth...)
	if rc := d.generate(o, p.sensitive.Data, source); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	return o, tcg.TPMRCSuccess
}

// writeCreation writes outPublic, creationData, creationHash and
// creationTicket.
func (d *Device) writeCreation(c *call, o *object, p *creationParams, parent *object, root tcg.TPMHandle) {
	c.out.Nested(o.public.Marshal)
	data := tcg.TPMSCreationData{
		PCRSelect:   d.vol.pcrs.Filter(&p.pcrs),
		Locality:    tcg.LocalityOf(c.locality),
		OutsideInfo: p.outsideInfo,
	}
	data.PCRDigest = d.vol.pcrs.Digest(o.public.NameAlg, &data.PCRSelect)
	if parent != nil {
		data.ParentNameAlg = parent.public.NameAlg
		data.ParentName = parent.name
		data.ParentQualifiedName = parent.qualifiedName
	} else {
		data.ParentNameAlg = tcg.TPMAlgNull
		data.ParentName = root.Bytes()
		data.ParentQualifiedName = root.Bytes()
	}
	b := tcg.Marshal(&data)
	c.out.Sized(b)
	hash := digest(o.public.NameAlg, b)
	c.out.Sized(hash)
	ticket := tcg.TPMTTk{Tag: tcg.TPMSTCreation, Hierarchy: o.hierarchy}
	ticket.Digest = d.creationTicket(o.hierarchy, o.name, hash)
	ticket.Marshal(&c.out)
}

func (d *Device) creationTicket(h tcg.TPMHandle, name, creationHash []byte) []byte {
	return d.ticketHMAC(h, tcg.TPMSTCreation, name, creationHash)
}

// load is TPM2_Load.
//
//	TPM_RC_TYPE        the parent is not a storage key
//	TPM_RC_INTEGRITY   inPrivate was not made for this parent and public area
//	TPM_RC_BINDING     public and sensitive area do not match
//	TPM_RC_ATTRIBUTES, TPM_RC_SIZE, TPM_RC_HASH, ...  see checkAttributes
func (d *Device) load(c *call) error {
	parent := d.object(c.handles[0])
	if !parent.isStorageParent() {
		return tcg.TPMRCType.H(1)
	}
	r := c.reader()
	private := r.next().Private()
	var public tcg.TPMTPublic
	public.Unmarshal2B(r.next())
	if err := r.end(); err != nil {
		return err
	}
	if len(private) == 0 {
		return tcg.TPMRCSize.P(1)
	}
	if rc := d.vol.objects.room(); rc != tcg.TPMRCSuccess {
		return rc
	}
	o := &object{public: public.Clone()}
	if o.public.NameAlg == tcg.TPMAlgNull {
		return tcg.TPMRCHash.P(2)
	}
	o.finish(parent.hierarchy, parent)
	var rc tcg.TPMRC
	if o.sensitive, rc = parent.unprotect(o.name, private, d.profile); rc != tcg.TPMRCSuccess {
		return rc.P(1)
	}
	if rc := checkAttributes(&o.public, parent, parent.public.ObjectAttributes); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if rc := o.checkBinding(); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	c.outHandle, _ = d.vol.objects.add(o)
	c.out.Sized(o.name)
	return nil
}

// loadExternal is TPM2_LoadExternal.
//
//	TPM_RC_HIERARCHY   a sensitive area with a hierarchy other than null
//	TPM_RC_ATTRIBUTES  fixedTPM, fixedParent or restricted SET with a sensitive area
//	TPM_RC_BINDING     public and sensitive area do not match
func (d *Device) loadExternal(c *call) error {
	r := c.reader()
	var private tcg.TPMTSensitive
	present := private.Unmarshal2B(r.next())
	var public tcg.TPMTPublic
	public.Unmarshal2BPlus(r.next())
	root := r.next().HandlePlus(tcg.TPMIRHHierarchy)
	if err := r.end(); err != nil {
		return err
	}
	h := root
	if rc := d.checkHierarchy(h); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	if !d.hierarchies().Enabled(h) {
		return tcg.TPMRCHierarchy.P(3)
	}
	if rc := d.vol.objects.room(); rc != tcg.TPMRCSuccess {
		return rc
	}
	o := &object{public: public.Clone(), external: true, publicOnly: !present}
	if present {
		if h != tcg.TPMRHNull {
			return tcg.TPMRCHierarchy.P(3)
		}
		if o.public.ObjectAttributes&(tcg.TPMAObjectFixedTPM|tcg.TPMAObjectFixedParent|tcg.TPMAObjectRestricted) != 0 {
			return tcg.TPMRCAttributes.P(2)
		}
		o.sensitive = private.Clone()
		o.sensitive.AuthValue = tcg.TrimAuth(o.sensitive.AuthValue)
	}
	if rc := d.checkExternal(o); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if present {
		if o.hasName() && len(o.sensitive.AuthValue) > hashSize(o.public.NameAlg) {
			return tcg.TPMRCSize.P(1)
		}
	}
	if rc := o.checkBinding(); rc != tcg.TPMRCSuccess {
		return rc.P(1)
	}
	o.finish(h, nil)
	// An external object's place in a hierarchy is claimed, not proven: its
	// qualified name says so by having no parent but its own name.
	o.qualifiedName = o.name
	c.outHandle, _ = d.vol.objects.add(o)
	c.out.Sized(o.name)
	return nil
}

// checkExternal checks the public area of an external object: as that of any
// other, but without a parent whose attributes it had to follow.
func (d *Device) checkExternal(o *object) tcg.TPMRC {
	p := &o.public
	if n := len(p.AuthPolicy); n != 0 && n != tpmcrypto.DigestSize(p.NameAlg) {
		return tcg.TPMRCSize
	}
	if p.ObjectAttributes&limited != 0 {
		return tcg.TPMRCAttributes
	}
	if rc := checkUse(p); rc != tcg.TPMRCSuccess {
		return rc
	}
	return checkScheme(p)
}

// readPublic is TPM2_ReadPublic.
//
//	TPM_RC_SEQUENCE  the handle is that of a sequence
func (d *Device) readPublic(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if o.seq != nil {
		return tcg.TPMRCSequence
	}
	c.out.Nested(o.public.Marshal)
	c.out.Sized(o.name)
	c.out.Sized(o.qualifiedName)
	return nil
}

// unseal is TPM2_Unseal.
//
//	TPM_RC_TYPE        not a sealed data object
//	TPM_RC_ATTRIBUTES  sign, decrypt or restricted is SET
func (d *Device) unseal(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if o.public.Type != tcg.TPMAlgKeyedHash || o.seq != nil {
		return tcg.TPMRCType.H(1)
	}
	if o.public.ObjectAttributes&(tcg.TPMAObjectDecrypt|tcg.TPMAObjectSignEncrypt|tcg.TPMAObjectRestricted) != 0 {
		return tcg.TPMRCAttributes.H(1)
	}
	c.out.Sized(o.sensitive.Sensitive)
	return nil
}

// objectChangeAuth is TPM2_ObjectChangeAuth.
//
//	TPM_RC_TYPE  the object is a sequence, or not a child of the parent, as
//	             nothing without a Name is
//	TPM_RC_SIZE  newAuth is longer than the object's nameAlg
func (d *Device) objectChangeAuth(c *call) error {
	r := c.reader()
	auth := r.next().Digest()
	if err := r.end(); err != nil {
		return err
	}
	o, parent := d.object(c.handles[0]), d.object(c.handles[1])
	if o.seq != nil {
		return tcg.TPMRCType.H(1)
	}
	v := tcg.TrimAuth(auth)
	if len(v) > tpmcrypto.DigestSize(o.public.NameAlg) {
		return tcg.TPMRCSize.P(1)
	}
	if !o.hasName() || !parent.isStorageParent() ||
		!tpmcrypto.Equal(o.qualifiedName, qualifiedName(o.public.NameAlg, parent.qualifiedName, o.name)) {
		return tcg.TPMRCType.H(2)
	}
	changed := object{public: o.public, name: o.name, sensitive: o.sensitive}
	changed.sensitive.AuthValue = v
	c.out.Sized(d.protect(parent, &changed))
	return nil
}

// protect returns the sensitive area of o encrypted by its parent.
func (d *Device) protect(parent, o *object) []byte {
	return parent.protect(o, d.random(blockSize(parent.symmetric().Algorithm)))
}
