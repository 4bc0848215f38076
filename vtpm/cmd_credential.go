package vtpm

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Part 3, 12.5 TPM2_ActivateCredential and 12.6 TPM2_MakeCredential.
var credentialCommands = commandTable{
	tcg.TPMCCMakeCredential:     (*Device).makeCredential,
	tcg.TPMCCActivateCredential: (*Device).activateCredential,
}

// isStorageKey reports whether o is an asymmetric storage key with a Name, of
// which at least the public part is loaded.
func (o *object) isStorageKey() bool {
	return o.hasName() && (o.public.Type == tcg.TPMAlgRSA || o.public.Type == tcg.TPMAlgECC) && isStorageTemplate(&o.public)
}

// secretWrapper protects with a secret shared by key o (Part 1, "Credential
// Protection"; "Duplication").
func secretWrapper(o *object, seed, name []byte) wrapper {
	return wrapper{hash: o.public.NameAlg, sym: o.symmetric(), seed: seed, name: name}
}

// makeCredential is TPM2_MakeCredential.
//
//	TPM_RC_TYPE  handle is not of a storage key
//	TPM_RC_SIZE  credential is longer than the digest of the key's nameAlg
//	TPM_RC_KEY   the key cannot share a secret
func (d *Device) makeCredential(c *call) error {
	r := c.reader()
	credential := r.next().Digest()
	name := r.next().Name()
	if err := r.end(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if !o.isStorageKey() {
		return tcg.TPMRCType.H(1)
	}
	if len(credential) > hashSize(o.public.NameAlg) {
		return tcg.TPMRCSize.P(1)
	}
	seed, sent, rc := d.encryptSecret(o, "IDENTITY")
	if rc != tcg.TPMRCSuccess {
		return rc.H(1)
	}
	defer tpmcrypto.Zero(seed)
	var plain tcg.Writer
	plain.Sized(credential)
	defer tpmcrypto.Zero(plain.B)
	w := secretWrapper(o, seed, name)
	c.out.Sized(w.wrap(nil, plain.B))
	c.out.Sized(sent)
	return nil
}

// activateCredential is TPM2_ActivateCredential.
//
//	TPM_RC_TYPE       keyHandle is not of a storage key
//	TPM_RC_INTEGRITY  credentialBlob is not for this object, key and secret
//	TPM_RC_SIZE       the credential is malformed or too long
//	TPM_RC_VALUE      secret does not decrypt
func (d *Device) activateCredential(c *call) error {
	r := c.reader()
	blob := r.next().IDObject()
	secret := r.next().EncryptedSecret()
	if err := r.end(); err != nil {
		return err
	}
	o, key := d.object(c.handles[0]), d.object(c.handles[1])
	if !key.isStorageKey() {
		return tcg.TPMRCType.H(2)
	}
	seed, rc := d.decryptSecret(key, secret, "IDENTITY")
	if rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	defer tpmcrypto.Zero(seed)
	w := secretWrapper(key, seed, o.name)
	plain, rc := w.unwrap(blob, false)
	if rc != tcg.TPMRCSuccess {
		return rc.P(1)
	}
	defer tpmcrypto.Zero(plain)
	in := tcg.NewReader(plain, nil)
	credential := in.Sized(hashSize(key.public.NameAlg))
	if rc := in.Err(); rc != tcg.TPMRCSuccess {
		return rc.P(1)
	}
	if in.Len() != 0 {
		return tcg.TPMRCSize.P(1)
	}
	c.out.Sized(credential)
	return nil
}
