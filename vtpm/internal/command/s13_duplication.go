package command

import (
	"bytes"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// innerWrap and innerUnwrap are the inner wrapper of a duplicate: a digest
// over sensitive area and Name, then encryption with a key that only the two
// sides know (Part 1, "Inner Duplication Wrapper").
func innerWrap(alg tcg.TPMAlgID, sym tcg.TPMTSymDefObject, key, sensitive, name []byte) []byte {
	var w tcg.Writer
	w.Sized(tpmcrypto.Digest(alg, sensitive, name))
	w.Bytes(sensitive)
	tpmcrypto.MustCFB(sym.Algorithm, key, nil, w.B, true)
	return w.B
}

func innerUnwrap(alg tcg.TPMAlgID, sym tcg.TPMTSymDefObject, key, blob, name []byte) ([]byte, tcg.TPMRC) {
	plain := bytes.Clone(blob)
	tpmcrypto.MustCFB(sym.Algorithm, key, nil, plain, false)
	r := tcg.NewReader(plain, nil)
	integrity := r.Sized(tcg.MaxDigestSize)
	if rc := r.Err(); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	sensitive := r.Rest()
	if !tpmcrypto.Equal(integrity, tpmcrypto.Digest(alg, sensitive, name)) {
		return nil, tcg.TPMRCIntegrity
	}
	return sensitive, tcg.TPMRCSuccess
}

// duplicate is TPM2_Duplicate, which encrypts an object for another parent.
//
//	TPM_RC_ATTRIBUTES  the object is fixed to its parent
//	TPM_RC_HIERARCHY   encryptedDuplication is SET, and newParentHandle null
//	TPM_RC_SIZE        encryptionKeyIn is not of the algorithm's key size
//	TPM_RC_SYMMETRIC   encryptedDuplication is SET, and no symmetricAlg
//	TPM_RC_TYPE        newParentHandle is not of a storage key, or the object
//	                   has no Name
func duplicate(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	key := r.Next().Data()
	var sym tcg.TPMTSymDefObject
	sym.UnmarshalPlus(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Has(tcg.TPMAObjectFixedParent) {
		return tcg.TPMRCAttributes.H(1)
	}
	if !o.HasName() {
		return tcg.TPMRCType.H(1)
	}
	var parent *object.Object
	if h := c.Handles[1]; h != tcg.TPMRHNull {
		if parent = d.Object(h); !parent.IsStorageKey() {
			return tcg.TPMRCType.H(2)
		}
	}
	if o.Has(tcg.TPMAObjectEncryptedDuplication) {
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

	blob := o.Sensitive2B()
	defer tpmcrypto.Zero(blob)
	var keyOut []byte
	if inner {
		if len(key) == 0 {
			key = d.Random(int(sym.KeyBits) / 8)
			keyOut = key
		}
		blob = innerWrap(o.Public.NameAlg, sym, key, blob, o.Name)
	}
	var sent []byte
	if parent != nil {
		seed, secret, rc := encryptSecret(d, parent, "DUPLICATE")
		if rc != tcg.TPMRCSuccess {
			return rc.H(2)
		}
		defer tpmcrypto.Zero(seed)
		w := object.SecretWrapper(parent, seed, o.Name)
		blob, sent = w.Wrap(nil, blob), secret
	}
	c.Out.Sized(keyOut)
	c.Out.Sized(blob)
	c.Out.Sized(sent)
	return nil
}

// rewrap is TPM2_Rewrap, which encrypts an object, which one parent can import,
// for another.
//
//	TPM_RC_HANDLE     a seed without an old parent, or the other way round
//	TPM_RC_INTEGRITY  inDuplicate was not made for that Name and parent
//	TPM_RC_TYPE       a parent is not a storage key
//	TPM_RC_VALUE      inSymSeed does not decrypt
func rewrap(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	blob := r.Next().Private()
	name := r.Next().Name()
	secret := r.Next().EncryptedSecret()
	if err := r.End(); err != nil {
		return err
	}
	from, to := c.Handles[0], c.Handles[1]
	if (len(secret) == 0) != (from == tcg.TPMRHNull) {
		return tcg.TPMRCHandle.H(1)
	}
	if to != tcg.TPMRHNull && !d.Object(to).IsStorageKey() {
		return tcg.TPMRCType.H(2)
	}
	if from != tcg.TPMRHNull {
		old := d.Object(from)
		if !old.IsStorageKey() || old.PublicOnly {
			return tcg.TPMRCType.H(1)
		}
		seed, rc := decryptSecret(d, old, secret, "DUPLICATE")
		if rc != tcg.TPMRCSuccess {
			return rc.P(3)
		}
		defer tpmcrypto.Zero(seed)
		w := object.SecretWrapper(old, seed, name)
		if blob, rc = w.Unwrap(blob, false); rc != tcg.TPMRCSuccess {
			return rc.P(1)
		}
	}
	var sent []byte
	if to != tcg.TPMRHNull {
		parent := d.Object(to)
		seed, secret, rc := encryptSecret(d, parent, "DUPLICATE")
		if rc != tcg.TPMRCSuccess {
			return rc.H(2)
		}
		defer tpmcrypto.Zero(seed)
		w := object.SecretWrapper(parent, seed, name)
		blob, sent = w.Wrap(nil, blob), secret
	}
	c.Out.Sized(blob)
	c.Out.Sized(sent)
	return nil
}

// importObject is TPM2_Import, which encrypts an object that TPM2_Duplicate
// returned for its new parent, so that it can be loaded.
//
//	TPM_RC_ATTRIBUTES  fixedTPM or fixedParent is SET, or attributes contradict
//	                   each other or the parent's, or encryptedDuplication is
//	                   SET and a wrapper is missing
//	TPM_RC_BINDING     public and sensitive area do not match
//	TPM_RC_INTEGRITY   duplicate was not made for this parent and public area
//	TPM_RC_SIZE        encryptionKey is not of the algorithm's key size, or
//	                   authValue is too long
//	TPM_RC_TYPE        the parent is not a storage key
func importObject(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	key := r.Next().Data()
	var public tcg.TPMTPublic
	public.Unmarshal2B(r.Next())
	blob := r.Next().Private()
	secret := r.Next().EncryptedSecret()
	var sym tcg.TPMTSymDefObject
	sym.UnmarshalPlus(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	parent := d.Object(c.Handles[0])
	if !parent.IsStorageParent() {
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
	o := &object.Object{Public: public.Clone()}
	o.Finish(parent.Hierarchy, parent)
	var rc tcg.TPMRC
	if len(secret) != 0 {
		if parent.Public.Type == tcg.TPMAlgSymCipher {
			return tcg.TPMRCType.H(1) // no secret can be shared with it
		}
		seed, rc := decryptSecret(d, parent, secret, "DUPLICATE")
		if rc != tcg.TPMRCSuccess {
			return rc.P(4)
		}
		defer tpmcrypto.Zero(seed)
		w := object.SecretWrapper(parent, seed, o.Name)
		if blob, rc = w.Unwrap(blob, false); rc != tcg.TPMRCSuccess {
			return rc.P(3)
		}
	}
	if inner {
		if blob, rc = innerUnwrap(o.Public.NameAlg, sym, key, blob, o.Name); rc != tcg.TPMRCSuccess {
			return rc.P(3)
		}
	}
	if o.Sensitive, rc = object.ReadSensitive(blob, d.Profile); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	defer o.Wipe()
	if len(o.Sensitive.AuthValue) > tpmcrypto.MustSize(o.Public.NameAlg) {
		return tcg.TPMRCSize.P(3)
	}
	if rc := object.CheckAttributes(&o.Public, parent, parent.Public.ObjectAttributes&^object.Limited); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if rc := o.CheckBinding(); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	c.Out.Sized(protect(d, parent, o))
	return nil
}
