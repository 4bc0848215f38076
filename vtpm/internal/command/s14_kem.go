package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// isKEM reports whether o encapsulates secrets: an ML-KEM key, or an ECC key with
// a KDF (Part 1, 44.4 and 47).
func isKEM(o *object.Object) bool {
	return o.Seq == nil && (o.Public.Type == tcg.TPMAlgMLKEM ||
		o.Public.Type == tcg.TPMAlgECC && o.Public.ECC.KDF.Scheme == tcg.TPMAlgHKDF)
}

// needKEM runs the self-tests of what o encapsulates with.
func needKEM(d *engine.Device, o *object.Object) {
	if o.Public.Type == tcg.TPMAlgMLKEM {
		d.Need(tcg.TPMAlgMLKEM)
	} else {
		d.Need(tcg.TPMAlgECC, tcg.TPMAlgECDH, o.Public.ECC.KDF.HashAlg, tcg.TPMAlgHKDF)
	}
}

// encapsulate is TPM2_Encapsulate, which makes a secret and what carries it to the
// holder of a key. Attributes of the key do not matter: of a public area alone
// they could not be believed (Part 3, 14.10.1).
//
//	TPM_RC_KEY  not a KEM key
func encapsulate(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if !isKEM(o) {
		return tcg.TPMRCKey.H(1)
	}
	needKEM(d, o)
	var secret, ciphertext []byte
	if o.Public.Type == tcg.TPMAlgMLKEM {
		k, err := o.MLKEMPublic()
		if err != nil {
			return tpmcrypto.ResponseCode(err)
		}
		if secret, ciphertext, err = k.Encapsulate(d.Cfg.Rand); err != nil {
			return tpmcrypto.ResponseCode(err)
		}
	} else {
		k, err := o.ECCPublic()
		if err != nil {
			return tpmcrypto.ResponseCode(err)
		}
		if secret, ciphertext, err = k.Encapsulate(d.Cfg.Rand, o.Public.ECC.KDF.HashAlg); err != nil {
			return tpmcrypto.ResponseCode(err)
		}
	}
	defer tpmcrypto.Zero(secret)
	c.Out.Sized(secret)
	c.Out.Sized(ciphertext)
	return nil
}

// decapsulate is TPM2_Decapsulate, which returns the secret that a ciphertext
// carries. One of ML-KEM that is not of this key gives a secret that nobody
// knows, and no error (FIPS 203, Algorithm 18).
//
//	TPM_RC_ATTRIBUTES  the key is restricted, or does not decrypt
//	TPM_RC_ECC_POINT   ciphertext is no point of the curve, uncompressed
//	TPM_RC_KEY         not a KEM key
//	TPM_RC_SIZE        ciphertext is not of the key's size
func decapsulate(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	ciphertext := r.Next().KEMCiphertext()
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if !isKEM(o) {
		return tcg.TPMRCKey.H(1)
	}
	if o.Has(tcg.TPMAObjectRestricted) || !o.Has(tcg.TPMAObjectDecrypt) {
		return tcg.TPMRCAttributes.H(1)
	}
	needKEM(d, o)
	var secret []byte
	if o.Public.Type == tcg.TPMAlgMLKEM {
		k, err := o.MLKEMPrivate()
		if err != nil {
			return tpmcrypto.ResponseCode(err)
		}
		if secret, err = k.Decapsulate(ciphertext); err != nil {
			return tpmcrypto.ResponseCode(err).P(1)
		}
	} else {
		k, err := o.ECCPrivate()
		if err != nil {
			return tpmcrypto.ResponseCode(err)
		}
		if secret, err = k.Decapsulate(o.Public.ECC.KDF.HashAlg, ciphertext); err != nil {
			return tpmcrypto.ResponseCode(err).P(1)
		}
	}
	defer tpmcrypto.Zero(secret)
	c.Out.Sized(secret)
	return nil
}
