package vtpm

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Part 3, section 14 - Asymmetric Primitives.
var asymmetricCommands = commandTable{
	tcg.TPMCCRSAEncrypt:    (*Device).rsaEncrypt,
	tcg.TPMCCRSADecrypt:    (*Device).rsaDecrypt,
	tcg.TPMCCECDHKeyGen:    (*Device).ecdhKeyGen,
	tcg.TPMCCECDHZGen:      (*Device).ecdhZGen,
	tcg.TPMCCECCParameters: (*Device).eccParameters,
}

// rsaScheme chooses the scheme for RSA encryption: the key's, or what is asked
// for. TPM_RC_SCHEME if they contradict each other or it is no such scheme.
func rsaScheme(o *object, asked tcg.TPMTRSADecrypt) (tcg.TPMTRSADecrypt, tcg.TPMRC) {
	s := o.public.RSA.Scheme
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

// rsaEncrypt is TPM2_RSA_Encrypt. Attributes of the key do not matter: of a
// public area alone they could not be believed (Part 3, 14.2.1).
//
//	TPM_RC_KEY     not an RSA key
//	TPM_RC_SCHEME  not a scheme of the key
//	TPM_RC_VALUE   message too large, or label without its final zero
func (d *Device) rsaEncrypt(c *call) error {
	r := c.reader()
	message := r.next().PublicKeyRSA()
	var asked tcg.TPMTRSADecrypt
	asked.UnmarshalRSADecrypt(r.next(), true)
	label := r.next().Data()
	if err := r.end(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if o.public.Type != tcg.TPMAlgRSA {
		return tcg.TPMRCKey.H(1)
	}
	s, rc := rsaScheme(o, asked)
	if rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if rc := checkLabel(label); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	d.need(tcg.TPMAlgRSA, s.Scheme)
	k, err := o.rsaPublic()
	if err != nil {
		return rcOf(err)
	}
	var out []byte
	switch s.Scheme {
	case tcg.TPMAlgOAEP:
		out, err = k.EncryptOAEP(d.cfg.Rand, s.HashAlg, label, message)
	case tcg.TPMAlgRSAES:
		out, err = k.EncryptPKCS1v15(d.cfg.Rand, message)
	default:
		out, err = k.Raw(message)
	}
	if err != nil {
		return rcOf(err).P(1)
	}
	c.out.Sized(out)
	return nil
}

// rsaDecrypt is TPM2_RSA_Decrypt.
//
//	TPM_RC_ATTRIBUTES  the key does not decrypt, or is restricted
//	TPM_RC_KEY         not an RSA key
//	TPM_RC_SCHEME      not a scheme of the key
//	TPM_RC_SIZE        cipherText is not of the key's size
//	TPM_RC_VALUE       it does not decrypt, or label without its final zero
func (d *Device) rsaDecrypt(c *call) error {
	r := c.reader()
	text := r.next().PublicKeyRSA()
	var asked tcg.TPMTRSADecrypt
	asked.UnmarshalRSADecrypt(r.next(), true)
	label := r.next().Data()
	if err := r.end(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if o.public.Type != tcg.TPMAlgRSA {
		return tcg.TPMRCKey.H(1)
	}
	if o.has(tcg.TPMAObjectRestricted) || !o.has(tcg.TPMAObjectDecrypt) {
		return tcg.TPMRCAttributes.H(1)
	}
	if rc := checkLabel(label); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	s, rc := rsaScheme(o, asked)
	if rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if len(text) != int(o.public.RSA.KeyBits)/8 {
		return tcg.TPMRCSize.P(1)
	}
	d.need(tcg.TPMAlgRSA, s.Scheme)
	k, err := o.rsaPrivate()
	if err != nil {
		return rcOf(err)
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
		return rcOf(err).P(1)
	}
	c.out.Sized(out)
	return nil
}

// ecdhKeyGen is TPM2_ECDH_KeyGen.
//
//	TPM_RC_KEY  not an ECC key
func (d *Device) ecdhKeyGen(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if o.public.Type != tcg.TPMAlgECC {
		return tcg.TPMRCKey.H(1)
	}
	k, err := o.eccPublic()
	if err != nil {
		return rcOf(err)
	}
	e, err := tpmcrypto.NewECCKey(d.cfg.Rand, o.public.ECC.CurveID)
	if err != nil {
		return rcOf(err)
	}
	defer e.Zero()
	z, err := e.ECDH(k.Q)
	if err != nil {
		return rcOf(err)
	}
	zp, q := eccPoint(z), eccPoint(e.Q)
	zp.Marshal2B(&c.out)
	q.Marshal2B(&c.out)
	return nil
}

// ecdhZGen is TPM2_ECDH_ZGen.
//
//	TPM_RC_ATTRIBUTES  the key is restricted, or does not decrypt
//	TPM_RC_ECC_POINT   inPoint is not on the curve
//	TPM_RC_KEY         not an ECC key
//	TPM_RC_SCHEME      the key's scheme is another than ECDH
func (d *Device) ecdhZGen(c *call) error {
	r := c.reader()
	var in tcg.TPMSECCPoint
	in.Unmarshal2B(r.next())
	if err := r.end(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if o.public.Type != tcg.TPMAlgECC {
		return tcg.TPMRCKey.H(1)
	}
	if o.has(tcg.TPMAObjectRestricted) || !o.has(tcg.TPMAObjectDecrypt) {
		return tcg.TPMRCAttributes.H(1)
	}
	if s := o.public.ECC.Scheme.Scheme; s != tcg.TPMAlgNull && s != tcg.TPMAlgECDH {
		return tcg.TPMRCScheme.H(1)
	}
	k, err := o.eccPrivate()
	if err != nil {
		return rcOf(err)
	}
	z, err := k.ECDH(point(&in))
	if err != nil {
		return rcOf(err).P(1)
	}
	zp := eccPoint(z)
	zp.Marshal2B(&c.out)
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

// eccParameters is TPM2_ECC_Parameters.
//
//	TPM_RC_VALUE  the curve is not implemented
func (d *Device) eccParameters(c *call) error {
	r := c.reader()
	id := r.next().Curve()
	if err := r.end(); err != nil {
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
	p.Marshal(&c.out)
	return nil
}
