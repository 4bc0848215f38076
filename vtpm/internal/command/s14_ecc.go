package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// zgen2Phase is TPM2_ZGen_2Phase, which returns the two points of a key
// exchange with ephemeral keys.
//
//	TPM_RC_ATTRIBUTES  the key is restricted, or does not decrypt
//	TPM_RC_ECC_POINT   a point is not on the curve
//	TPM_RC_KEY         not an ECC key
//	TPM_RC_SCHEME      not the key's scheme, or not one for this
//	TPM_RC_RANGE, TPM_RC_VALUE  counter is of no open ephemeral key
func zgen2Phase(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var qs, qe tcg.TPMSECCPoint
	qs.Unmarshal2B(r.Next())
	qe.Unmarshal2B(r.Next())
	scheme := r.Next().ECCKeyExchange()
	counter := r.Next().Uint16()
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Public.Type != tcg.TPMAlgECC {
		return tcg.TPMRCKey.H(1)
	}
	if o.Has(tcg.TPMAObjectRestricted) || !o.Has(tcg.TPMAObjectDecrypt) {
		return tcg.TPMRCAttributes.H(1)
	}
	if s := o.Public.ECC.Scheme.Scheme; s != tcg.TPMAlgNull && s != scheme {
		return tcg.TPMRCScheme.P(3)
	}
	k, err := o.ECCPrivate()
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	for i, q := range []*tcg.TPMSECCPoint{&qs, &qe} {
		if !k.Curve.OnCurve(object.Point(q)) {
			return tcg.TPMRCECCPoint.P(i + 1)
		}
	}
	count, rc := commitFind(d, counter)
	if rc != tcg.TPMRCSuccess {
		return rc.P(4)
	}
	secret, err := commitSecret(d, k.Curve, engine.ContextHash, nil, count)
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	defer tpmcrypto.Zero(secret)
	z1, z2, err := k.ZGen2Phase(scheme, secret, object.Point(&qs), object.Point(&qe))
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	commitUsed(d, count)
	for _, z := range []tpmcrypto.Point{z1, z2} {
		q := object.ECCPoint(z)
		q.Marshal2B(&c.Out)
	}
	return nil
}

// kdfHash is the hash of the scheme for ECC encryption: the key's, or if it
// has none what is asked for. Only TPM_ALG_KDF2 is a scheme for it.
func kdfHash(o *object.Object, asked tcg.TPMTKDFScheme) (tcg.TPMAlgID, tcg.TPMRC) {
	s := o.Public.ECC.KDF
	switch {
	case s.Scheme == tcg.TPMAlgNull:
		s = asked
	case asked.Scheme != tcg.TPMAlgNull && asked != s:
		return 0, tcg.TPMRCScheme
	}
	if s.Scheme != tcg.TPMAlgKDF2 {
		return 0, tcg.TPMRCScheme
	}
	return s.HashAlg, tcg.TPMRCSuccess
}

// eccEncrypt is TPM2_ECC_Encrypt, which encrypts data for an ECC key.
// Attributes of the key do not matter: of a public area alone they could not be
// believed.
//
//	TPM_RC_KEY     not an ECC key
//	TPM_RC_SCHEME  not the key's scheme, or not one for this
func eccEncrypt(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	message := r.Next().MaxBuffer()
	var s tcg.TPMTKDFScheme
	s.UnmarshalKDF(r.Next(), true)
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Public.Type != tcg.TPMAlgECC {
		return tcg.TPMRCKey.H(1)
	}
	alg, rc := kdfHash(o, s)
	if rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	k, err := o.ECCPublic()
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	c1, c2, c3, err := k.Encrypt(d.Cfg.Rand, alg, message)
	if err != nil {
		return tpmcrypto.ResponseCode(err).P(1)
	}
	q := object.ECCPoint(c1)
	q.Marshal2B(&c.Out)
	c.Out.Sized(c2)
	c.Out.Sized(c3)
	return nil
}

// eccDecrypt is TPM2_ECC_Decrypt, which decrypts with an ECC key what
// TPM2_ECC_Encrypt returned.
//
//	TPM_RC_ATTRIBUTES  the key is restricted, or does not decrypt
//	TPM_RC_ECC_POINT   C1 is not on the curve
//	TPM_RC_KEY         not an ECC key
//	TPM_RC_SCHEME      not the key's scheme, or not one for this
//	TPM_RC_VALUE       C3 does not fit the rest
func eccDecrypt(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var c1 tcg.TPMSECCPoint
	c1.Unmarshal2B(r.Next())
	c2 := r.Next().MaxBuffer()
	c3 := r.Next().Digest()
	var s tcg.TPMTKDFScheme
	s.UnmarshalKDF(r.Next(), true)
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Public.Type != tcg.TPMAlgECC {
		return tcg.TPMRCKey.H(1)
	}
	if o.Has(tcg.TPMAObjectRestricted) || !o.Has(tcg.TPMAObjectDecrypt) {
		return tcg.TPMRCAttributes.H(1)
	}
	alg, rc := kdfHash(o, s)
	if rc != tcg.TPMRCSuccess {
		return rc.P(4)
	}
	k, err := o.ECCPrivate()
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	message, err := k.Decrypt(alg, object.Point(&c1), c2, c3)
	if err != nil {
		if err == tpmcrypto.ErrPoint {
			return tcg.TPMRCECCPoint.P(1)
		}
		return tpmcrypto.ResponseCode(err).P(3)
	}
	c.Out.Sized(message)
	return nil
}
