package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// rsaScheme chooses the scheme for RSA encryption: the key's, or what is asked
// for. TPM_RC_SCHEME if they contradict each other or it is no such scheme.
func rsaScheme(o *object.Object, asked tcg.TPMTRSADecrypt) (tcg.TPMTRSADecrypt, tcg.TPMRC) {
	s := o.Public.RSA.Scheme
	if s.Scheme == tcg.TPMAlgNull {
		s = asked
	} else if asked.Scheme != tcg.TPMAlgNull && asked != s {
		return s, tcg.TPMRCScheme
	}
	switch s.Scheme {
	case tcg.TPMAlgNull, tcg.TPMAlgRSAES, tcg.TPMAlgOAEP:
		return s, tcg.TPMRCSuccess
	}
	return s, tcg.TPMRCScheme
}

// checkLabel: a label, where there is one, ends with a zero byte.
func checkLabel(label []byte) tcg.TPMRC {
	if len(label) != 0 && label[len(label)-1] != 0 {
		return tcg.TPMRCValue
	}
	return tcg.TPMRCSuccess
}

// rsaEncrypt is TPM2_RSA_Encrypt, which encrypts data with an RSA key.
// Attributes of the key do not matter: of a public area alone they could not be
// believed (Part 3, 14.2.1).
//
//	TPM_RC_KEY     not an RSA key
//	TPM_RC_SCHEME  not a scheme of the key
//	TPM_RC_VALUE   message too large, or label without its final zero
func rsaEncrypt(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	message := r.Next().PublicKeyRSA()
	var asked tcg.TPMTRSADecrypt
	asked.UnmarshalRSADecrypt(r.Next(), true)
	label := r.Next().Data()
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Public.Type != tcg.TPMAlgRSA {
		return tcg.TPMRCKey.H(1)
	}
	s, rc := rsaScheme(o, asked)
	if rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if rc := checkLabel(label); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	d.Need(tcg.TPMAlgRSA, s.Scheme)
	k, err := o.RSAPublic()
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	var out []byte
	switch s.Scheme {
	case tcg.TPMAlgOAEP:
		out, err = k.EncryptOAEP(d.Cfg.Rand, s.HashAlg, label, message)
	case tcg.TPMAlgRSAES:
		out, err = k.EncryptPKCS1v15(d.Cfg.Rand, message)
	default:
		out, err = k.Raw(message)
	}
	if err != nil {
		return tpmcrypto.ResponseCode(err).P(1)
	}
	c.Out.Sized(out)
	return nil
}

// rsaDecrypt is TPM2_RSA_Decrypt, which decrypts data with an RSA key.
//
//	TPM_RC_ATTRIBUTES  the key does not decrypt, or is restricted
//	TPM_RC_KEY         not an RSA key
//	TPM_RC_SCHEME      not a scheme of the key
//	TPM_RC_SIZE        cipherText is not of the key's size
//	TPM_RC_VALUE       it does not decrypt, or label without its final zero
func rsaDecrypt(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	text := r.Next().PublicKeyRSA()
	var asked tcg.TPMTRSADecrypt
	asked.UnmarshalRSADecrypt(r.Next(), true)
	label := r.Next().Data()
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Public.Type != tcg.TPMAlgRSA {
		return tcg.TPMRCKey.H(1)
	}
	if o.Has(tcg.TPMAObjectRestricted) || !o.Has(tcg.TPMAObjectDecrypt) {
		return tcg.TPMRCAttributes.H(1)
	}
	if rc := checkLabel(label); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	s, rc := rsaScheme(o, asked)
	if rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if len(text) != int(o.Public.RSA.KeyBits)/8 {
		return tcg.TPMRCSize.P(1)
	}
	d.Need(tcg.TPMAlgRSA, s.Scheme)
	k, err := o.RSAPrivate()
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	var out []byte
	switch s.Scheme {
	case tcg.TPMAlgOAEP:
		out, err = k.DecryptOAEP(s.HashAlg, label, text)
	case tcg.TPMAlgRSAES:
		out, err = k.DecryptPKCS1v15(text)
	default:
		out, err = k.Raw(text)
	}
	if err != nil {
		return tpmcrypto.ResponseCode(err).P(1)
	}
	c.Out.Sized(out)
	return nil
}

// ecdhKeyGen is TPM2_ECDH_KeyGen, which makes an ephemeral key and returns it
// with the point it shares with a public key.
//
//	TPM_RC_KEY  not an ECC key
func ecdhKeyGen(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Public.Type != tcg.TPMAlgECC {
		return tcg.TPMRCKey.H(1)
	}
	k, err := o.ECCPublic()
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	e, err := tpmcrypto.NewECCKey(d.Cfg.Rand, o.Public.ECC.CurveID)
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	defer e.Zero()
	z, err := e.ECDH(k.Q)
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	zp, q := object.ECCPoint(z), object.ECCPoint(e.Q)
	zp.Marshal2B(&c.Out)
	q.Marshal2B(&c.Out)
	return nil
}

// ecdhZGen is TPM2_ECDH_ZGen, which returns the point that a private key shares
// with a public point.
//
//	TPM_RC_ATTRIBUTES  the key is restricted, or does not decrypt
//	TPM_RC_ECC_POINT   inPoint is not on the curve
//	TPM_RC_KEY         not an ECC key
//	TPM_RC_SCHEME      the key's scheme is another than ECDH
func ecdhZGen(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var in tcg.TPMSECCPoint
	in.Unmarshal2B(r.Next())
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
	if s := o.Public.ECC.Scheme.Scheme; s != tcg.TPMAlgNull && s != tcg.TPMAlgECDH {
		return tcg.TPMRCScheme.H(1)
	}
	k, err := o.ECCPrivate()
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	z, err := k.ECDH(object.Point(&in))
	if err != nil {
		return tpmcrypto.ResponseCode(err).P(1)
	}
	zp := object.ECCPoint(z)
	zp.Marshal2B(&c.Out)
	return nil
}

// curveKDF is the KDF that the TCG Algorithm Registry ("ECC Values") assigns to
// a curve: that of SP 800-56A, with a hash as strong as the curve.
func curveKDF(id tcg.TPMECCCurve) tcg.TPMTKDFScheme {
	s := tcg.TPMTKDFScheme{Scheme: tcg.TPMAlgKDF1SP80056A}
	switch id {
	case tcg.TPMECCNistP224, tcg.TPMECCNistP256:
		s.HashAlg = tcg.TPMAlgSHA256
	case tcg.TPMECCNistP384:
		s.HashAlg = tcg.TPMAlgSHA384
	case tcg.TPMECCNistP521:
		s.HashAlg = tcg.TPMAlgSHA512
	default:
		s.Scheme = tcg.TPMAlgNull
	}
	return s
}

// eccParameters is TPM2_ECC_Parameters, which returns the parameters of a
// curve.
//
//	TPM_RC_VALUE  the curve is not implemented
func eccParameters(_ *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	id := r.Next().Curve()
	if err := r.End(); err != nil {
		return err
	}
	k := tpmcrypto.CurveByID(id)
	if k == nil {
		return tcg.TPMRCValue.P(1)
	}
	p := tcg.TPMSAlgorithmDetailECC{
		CurveID: id, KeySize: uint16(k.Bits),
		KDF:  curveKDF(id),
		Sign: tcg.TPMTECCScheme{Scheme: tcg.TPMAlgNull},
		P:    k.P, A: k.A, B: k.B, GX: k.Gx, GY: k.Gy, N: k.N, H: []byte{k.H},
	}
	p.Marshal(&c.Out)
	return nil
}
