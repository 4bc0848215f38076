package vtpm

import (
	"bytes"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Part 3, section 13 - Duplication Commands.
var duplicationCommands = commandTable{
	tcg.TPMCCDuplicate: (*Device).duplicate,
	tcg.TPMCCRewrap:    (*Device).rewrap,
	tcg.TPMCCImport:    (*Device).importObject,
}

// innerWrap and innerUnwrap are the inner wrapper of a duplicate: a digest
// over sensitive area and Name, then encryption with a key that only the two
// sides know (Part 1, "Inner Duplication Wrapper").
func innerWrap(alg tcg.TPMAlgID, sym tcg.TPMTSymDefObject, key, sensitive, name []byte) []byte {
	var w tcg.Writer
	w.Sized(digest(alg, sensitive, name))
	w.Bytes(sensitive)
	cfb(sym.Algorithm, key, nil, w.B, true)
	return w.B
}

func innerUnwrap(alg tcg.TPMAlgID, sym tcg.TPMTSymDefObject, key, blob, name []byte) ([]byte, tcg.TPMRC) {
	plain := bytes.Clone(blob)
	cfb(sym.Algorithm, key, nil, plain, false)
	r := tcg.NewReader(plain, nil)
	integrity := r.Sized(tcg.MaxDigestSize)
	if rc := r.Err(); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	sensitive := r.Rest()
	if !tpmcrypto.Equal(integrity, digest(alg, sensitive, name)) {
		return nil, tcg.TPMRCIntegrity
	}
	return sensitive, tcg.TPMRCSuccess
}

// duplicate is TPM2_Duplicate.
//
//	TPM_RC_ATTRIBUTES  the object is fixed to its parent
//	TPM_RC_HIERARCHY   encryptedDuplication is SET, and newParentHandle null
//	TPM_RC_SIZE        encryptionKeyIn is not of the algorithm's key size
//	TPM_RC_SYMMETRIC   encryptedDuplication is SET, and no symmetricAlg
//	TPM_RC_TYPE        newParentHandle is not of a storage key, or the object
//	                   has no Name
func (d *Device) duplicate(c *call) error {
	r := c.reader()
	key := r.next().Data()
	var sym tcg.TPMTSymDefObject
	sym.UnmarshalPlus(r.next())
	if err := r.end(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if o.has(tcg.TPMAObjectFixedParent) {
		return tcg.TPMRCAttributes.H(1)
	}
	if !o.hasName() {
		return tcg.TPMRCType.H(1)
	}
	var parent *object
	if h := c.handles[1]; h != tcg.TPMRHNull {
		if parent = d.object(h); !parent.isStorageKey() {
			return tcg.TPMRCType.H(2)
		}
	}
	if o.has(tcg.TPMAObjectEncryptedDuplication) {
		if sym.Algorithm == tcg.TPMAlgNull {
			return tcg.TPMRCSymmetric.P(2)
		}
		if parent == nil {
			return tcg.TPMRCHierarchy.H(2)
		}
	}
	inner := sym.Algorithm != tcg.TPMAlgNull
	if !inner && len(key) != 0 || inner && len(key) != 0 && len(key) != int(sym.KeyBits)/8 {
		return tcg.TPMRCSize.P(1)
	}

	blob := o.sensitive2B()
	defer tpmcrypto.Zero(blob)
	var keyOut []byte
	if inner {
		if len(key) == 0 {
			key = d.random(int(sym.KeyBits) / 8)
			keyOut = key
		}
		blob = innerWrap(o.public.NameAlg, sym, key, blob, o.name)
	}
	var sent []byte
	if parent != nil {
		seed, secret, rc := d.encryptSecret(parent, "DUPLICATE")
		if rc != tcg.TPMRCSuccess {
			return rc.H(2)
		}
		defer tpmcrypto.Zero(seed)
		w := secretWrapper(parent, seed, o.name)
		blob, sent = w.wrap(nil, blob), secret
	}
	c.out.Sized(keyOut)
	c.out.Sized(blob)
	c.out.Sized(sent)
	return nil
}

// rewrap is TPM2_Rewrap.
//
//	TPM_RC_HANDLE     a seed without an old parent, or the other way round
//	TPM_RC_INTEGRITY  inDuplicate was not made for that Name and parent
//	TPM_RC_TYPE       a parent is not a storage key
//	TPM_RC_VALUE      inSymSeed does not decrypt
func (d *Device) rewrap(c *call) error {
	r := c.reader()
	blob := r.next().Private()
	name := r.next().Name()
	secret := r.next().EncryptedSecret()
	if err := r.end(); err != nil {
		return err
	}
	from, to := c.handles[0], c.handles[1]
	if (len(secret) == 0) != (from == tcg.TPMRHNull) {
		return tcg.TPMRCHandle.H(1)
	}
	if to != tcg.TPMRHNull && !d.object(to).isStorageKey() {
		return tcg.TPMRCType.H(2)
	}
	if from != tcg.TPMRHNull {
		old := d.object(from)
		if !old.isStorageKey() || old.publicOnly {
			return tcg.TPMRCType.H(1)
		}
		seed, rc := d.decryptSecret(old, secret, "DUPLICATE")
		if rc != tcg.TPMRCSuccess {
			return rc.P(3)
		}
		defer tpmcrypto.Zero(seed)
		w := secretWrapper(old, seed, name)
		if blob, rc = w.unwrap(blob, false); rc != tcg.TPMRCSuccess {
			return rc.P(1)
		}
	}
	var sent []byte
	if to != tcg.TPMRHNull {
		parent := d.object(to)
		seed, secret, rc := d.encryptSecret(parent, "DUPLICATE")
		if rc != tcg.TPMRCSuccess {
			return rc.H(2)
		}
		defer tpmcrypto.Zero(seed)
		w := secretWrapper(parent, seed, name)
		blob, sent = w.wrap(nil, blob), secret
	}
	c.out.Sized(blob)
	c.out.Sized(sent)
	return nil
}

// importObject is TPM2_Import.
//
//	TPM_RC_ATTRIBUTES  fixedTPM or fixedParent is SET, or attributes contradict
//	                   each other or the parent's, or encryptedDuplication is
//	                   SET and a wrapper is missing
//	TPM_RC_BINDING     public and sensitive area do not match
//	TPM_RC_INTEGRITY   duplicate was not made for this parent and public area
//	TPM_RC_SIZE        encryptionKey is not of the algorithm's key size, or
//	                   authValue is too long
//	TPM_RC_TYPE        the parent is not a storage key
func (d *Device) importObject(c *call) error {
	r := c.reader()
	key := r.next().Data()
	var public tcg.TPMTPublic
	public.Unmarshal2B(r.next())
	blob := r.next().Private()
	secret := r.next().EncryptedSecret()
	var sym tcg.TPMTSymDefObject
	sym.UnmarshalPlus(r.next())
	if err := r.end(); err != nil {
		return err
	}
	parent := d.object(c.handles[0])
	if !parent.isStorageParent() {
		return tcg.TPMRCType.H(1)
	}
	if public.ObjectAttributes&(tcg.TPMAObjectFixedTPM|tcg.TPMAObjectFixedParent) != 0 {
		return tcg.TPMRCAttributes.P(2)
	}
	inner := sym.Algorithm != tcg.TPMAlgNull
	if !inner && len(key) != 0 || inner && len(key) != int(sym.KeyBits)/8 {
		return tcg.TPMRCSize.P(1)
	}
	if public.ObjectAttributes&tcg.TPMAObjectEncryptedDuplication != 0 {
		if !inner {
			return tcg.TPMRCAttributes.P(1)
		}
		if len(secret) == 0 {
			return tcg.TPMRCAttributes.P(4)
		}
	}
	o := &object{public: public.Clone()}
	o.finish(parent.hierarchy, parent)
	var rc tcg.TPMRC
	if len(secret) != 0 {
		if parent.public.Type == tcg.TPMAlgSymCipher {
			return tcg.TPMRCType.H(1) // no secret can be shared with it
		}
		seed, rc := d.decryptSecret(parent, secret, "DUPLICATE")
		if rc != tcg.TPMRCSuccess {
			return rc.P(4)
		}
		defer tpmcrypto.Zero(seed)
		w := secretWrapper(parent, seed, o.name)
		if blob, rc = w.unwrap(blob, false); rc != tcg.TPMRCSuccess {
			return rc.P(3)
		}
	}
	if inner {
		if blob, rc = innerUnwrap(o.public.NameAlg, sym, key, blob, o.name); rc != tcg.TPMRCSuccess {
			return rc.P(3)
		}
	}
	if o.sensitive, rc = readSensitive(blob, d.profile); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	defer o.wipe()
	if len(o.sensitive.AuthValue) > hashSize(o.public.NameAlg) {
		return tcg.TPMRCSize.P(3)
	}
	if rc := checkAttributes(&o.public, parent, parent.public.ObjectAttributes&^limited); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if rc := o.checkBinding(); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	c.out.Sized(d.protect(parent, o))
	return nil
}
