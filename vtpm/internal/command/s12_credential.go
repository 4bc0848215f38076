package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// makeCredential is TPM2_MakeCredential, which encrypts a credential for the
// holder of a key and an object's Name.
//
//	TPM_RC_TYPE  handle is not of a storage key
//	TPM_RC_SIZE  credential is longer than the digest of the key's nameAlg
//	TPM_RC_KEY   the key cannot share a secret
func makeCredential(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	credential := r.Next().Digest()
	name := r.Next().Name()
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if !o.IsStorageKey() {
		return tcg.TPMRCType.H(1)
	}
	if len(credential) > tpmcrypto.MustSize(o.Public.NameAlg) {
		return tcg.TPMRCSize.P(1)
	}
	seed, sent, rc := encryptSecret(d, o, "IDENTITY")
	if rc != tcg.TPMRCSuccess {
		return rc.H(1)
	}
	defer tpmcrypto.Zero(seed)
	var plain tcg.Writer
	plain.Sized(credential)
	defer tpmcrypto.Zero(plain.B)
	w := object.SecretWrapper(o, seed, name)
	c.Out.Sized(w.Wrap(nil, plain.B))
	c.Out.Sized(sent)
	return nil
}

// activateCredential is TPM2_ActivateCredential, which returns the credential
// that was made for an object's Name.
//
//	TPM_RC_TYPE       keyHandle is not of a storage key
//	TPM_RC_INTEGRITY  credentialBlob is not for this object, key and secret
//	TPM_RC_SIZE       the credential is malformed or too long
//	TPM_RC_VALUE      secret does not decrypt
func activateCredential(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	blob := r.Next().IDObject()
	secret := r.Next().EncryptedSecret()
	if err := r.End(); err != nil {
		return err
	}
	o, key := d.Object(c.Handles[0]), d.Object(c.Handles[1])
	if !key.IsStorageKey() {
		return tcg.TPMRCType.H(2)
	}
	seed, rc := decryptSecret(d, key, secret, "IDENTITY")
	if rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	defer tpmcrypto.Zero(seed)
	w := object.SecretWrapper(key, seed, o.Name)
	plain, rc := w.Unwrap(blob, false)
	if rc != tcg.TPMRCSuccess {
		return rc.P(1)
	}
	defer tpmcrypto.Zero(plain)
	in := tcg.NewReader(plain, nil)
	credential := in.Sized(tpmcrypto.MustSize(key.Public.NameAlg))
	if rc := in.Err(); rc != tcg.TPMRCSuccess {
		return rc.P(1)
	}
	if in.Len() != 0 {
		return tcg.TPMRCSize.P(1)
	}
	c.Out.Sized(credential)
	return nil
}
