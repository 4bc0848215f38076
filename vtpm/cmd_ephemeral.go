package vtpm

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Part 3, section 19 - Ephemeral EC Keys, 14.7 TPM2_ZGen_2Phase, and 14.8
// TPM2_ECC_Encrypt and TPM2_ECC_Decrypt.
var ephemeralCommands = commandTable{
	tcg.TPMCCCommit:      (*Device).commit,
	tcg.TPMCCECEphemeral: (*Device).ecEphemeral,
	tcg.TPMCCZGen2Phase:  (*Device).zgen2Phase,
	tcg.TPMCCECCEncrypt:  (*Device).eccEncrypt,
	tcg.TPMCCECCDecrypt:  (*Device).eccDecrypt,
}

// An ephemeral secret is not kept: it is derived from a nonce of this power
// cycle and a counter, and one bit says whether the counter's value is still
// good for one use (Part 1, "Commit Random Value").

// commitSecret derives the secret for a value of the counter. name is that of
// the key that will sign; empty for an ephemeral key.
func (d *Device) commitSecret(k *tpmcrypto.Curve, alg tcg.TPMAlgID, name []byte, count uint64) ([]byte, error) {
	return k.CommitScalar(alg, d.reset.commitNonce, name, count)
}

// commitNext takes the counter's next value into use.
func (d *Device) commitNext() (count uint64) {
	count = d.reset.commitCounter
	d.reset.commitArray[count%commitSlots/8] |= 1 << (count % 8)
	d.reset.commitCounter++
	return count
}

// commitFind returns the whole counter that low are the last 16 bits of (Part
// 1, 44.2.5).
//
//	TPM_RC_RANGE  not one of the last values
//	TPM_RC_VALUE  it was used
func (d *Device) commitFind(low uint16) (uint64, tcg.TPMRC) {
	now := d.reset.commitCounter
	count := now&^0xFFFF | uint64(low)
	if count >= now {
		if count < 1<<16 {
			return 0, tcg.TPMRCRange
		}
		count -= 1 << 16
	}
	if now-count >= commitSlots {
		return 0, tcg.TPMRCRange
	}
	if d.reset.commitArray[count%commitSlots/8]&(1<<(count%8)) == 0 {
		return 0, tcg.TPMRCValue
	}
	return count, tcg.TPMRCSuccess
}

// commitUsed says that a value is used up.
func (d *Device) commitUsed(count uint64) {
	d.reset.commitArray[count%commitSlots/8] &^= 1 << (count % 8)
}

// commit is TPM2_Commit.
//
//	TPM_RC_ATTRIBUTES  the key does not sign
//	TPM_RC_ECC_POINT   P1, or the point of s2 and y2, is not on the curve
//	TPM_RC_HASH        s2 without a hash algorithm
//	TPM_RC_KEY         not an ECC key
//	TPM_RC_SCHEME      the key's scheme is not an anonymous one
//	TPM_RC_SIZE        only one of s2 and y2
//	TPM_RC_NO_RESULT   a result is the point at infinity
func (d *Device) commit(c *call) error {
	r := c.reader()
	var p1 tcg.TPMSECCPoint
	p1.Unmarshal2B(r.next())
	s2 := r.next().SensitiveData()
	y2 := r.next().ECCParameter()
	if err := r.end(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if o.public.Type != tcg.TPMAlgECC {
		return tcg.TPMRCKey.H(1)
	}
	if !o.has(tcg.TPMAObjectSignEncrypt) {
		return tcg.TPMRCAttributes.H(1)
	}
	if o.public.ECC.Scheme.Scheme != tcg.TPMAlgECDAA {
		return tcg.TPMRCScheme.H(1)
	}
	if (len(s2) == 0) != (len(y2) == 0) {
		return tcg.TPMRCSize.P(3)
	}
	k, err := o.eccPrivate()
	if err != nil {
		return rcOf(err)
	}
	secret, err := d.commitSecret(k.Curve, o.public.NameAlg, o.name, d.reset.commitCounter)
	if err != nil {
		return rcOf(err)
	}
	defer tpmcrypto.Zero(secret)
	kp, l, e, err := k.Commit(o.public.NameAlg, secret, point(&p1), s2, y2)
	if err != nil {
		return rcOf(err)
	}
	count := d.commitNext()
	for _, p := range []tpmcrypto.Point{kp, l, e} {
		q := eccPoint(p)
		q.Marshal2B(&c.out)
	}
	c.out.Uint16(uint16(count))
	return nil
}

// signECDAA signs with the secret of an earlier TPM2_Commit, and uses it up.
//
//	TPM_RC_RANGE, TPM_RC_VALUE  the counter in the scheme is of no open commit
func (d *Device) signECDAA(o *object, k *tpmcrypto.ECCPrivate, s tcg.TPMTSigScheme, v []byte) (sig tcg.TPMTSignature, rc tcg.TPMRC) {
	count, rc := d.commitFind(s.Count)
	if rc != tcg.TPMRCSuccess {
		return sig, rc
	}
	secret, err := d.commitSecret(k.Curve, o.public.NameAlg, o.name, count)
	if err != nil {
		return sig, rcOf(err)
	}
	defer tpmcrypto.Zero(secret)
	e, err := k.SignECDAA(d.cfg.Rand, s.HashAlg, secret, v)
	if err != nil {
		return sig, rcOf(err)
	}
	d.commitUsed(count)
	return tcg.TPMTSignature{SigAlg: s.Scheme, Hash: s.HashAlg, R: e.R, S: e.S}, tcg.TPMRCSuccess
}

// ecEphemeral is TPM2_EC_Ephemeral.
func (d *Device) ecEphemeral(c *call) error {
	r := c.reader()
	id := r.next().Curve()
	if err := r.end(); err != nil {
		return err
	}
	k := tpmcrypto.CurveByID(id)
	if k == nil {
		return tcg.TPMRCCurve.P(1)
	}
	secret, err := d.commitSecret(k, contextHash, nil, d.reset.commitCounter)
	if err != nil {
		return rcOf(err)
	}
	defer tpmcrypto.Zero(secret)
	p, err := k.BaseMul(secret)
	if err != nil {
		return rcOf(err)
	}
	count := d.commitNext()
	q := eccPoint(p)
	q.Marshal2B(&c.out)
	c.out.Uint16(uint16(count))
	return nil
}

// zgen2Phase is TPM2_ZGen_2Phase.
//
//	TPM_RC_ATTRIBUTES  the key is restricted, or does not decrypt
//	TPM_RC_ECC_POINT   a point is not on the curve
//	TPM_RC_KEY         not an ECC key
//	TPM_RC_SCHEME      not the key's scheme, or not one for this
//	TPM_RC_RANGE, TPM_RC_VALUE  counter is of no open ephemeral key
func (d *Device) zgen2Phase(c *call) error {
	r := c.reader()
	var qs, qe tcg.TPMSECCPoint
	qs.Unmarshal2B(r.next())
	qe.Unmarshal2B(r.next())
	scheme := r.next().ECCKeyExchange()
	counter := r.next().Uint16()
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
	if s := o.public.ECC.Scheme.Scheme; s != tcg.TPMAlgNull && s != scheme {
		return tcg.TPMRCScheme.P(3)
	}
	k, err := o.eccPrivate()
	if err != nil {
		return rcOf(err)
	}
	for i, q := range []*tcg.TPMSECCPoint{&qs, &qe} {
		if !k.Curve.OnCurve(point(q)) {
			return tcg.TPMRCECCPoint.P(i + 1)
		}
	}
	count, rc := d.commitFind(counter)
	if rc != tcg.TPMRCSuccess {
		return rc.P(4)
	}
	secret, err := d.commitSecret(k.Curve, contextHash, nil, count)
	if err != nil {
		return rcOf(err)
	}
	defer tpmcrypto.Zero(secret)
	z1, z2, err := k.ZGen2Phase(scheme, secret, point(&qs), point(&qe))
	if err != nil {
		return rcOf(err)
	}
	d.commitUsed(count)
	for _, z := range []tpmcrypto.Point{z1, z2} {
		q := eccPoint(z)
		q.Marshal2B(&c.out)
	}
	return nil
}

// kdfHash is the hash of the scheme for ECC encryption: the key's, or if it
// has none what is asked for. Only TPM_ALG_KDF2 is a scheme for it.
func kdfHash(o *object, asked tcg.TPMTKDFScheme) (tcg.TPMAlgID, tcg.TPMRC) {
	s := o.public.ECC.KDF
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

// eccEncrypt is TPM2_ECC_Encrypt. Attributes of the key do not matter: of a
// public area alone they could not be believed.
//
//	TPM_RC_KEY     not an ECC key
//	TPM_RC_SCHEME  not the key's scheme, or not one for this
func (d *Device) eccEncrypt(c *call) error {
	r := c.reader()
	message := r.next().MaxBuffer()
	var s tcg.TPMTKDFScheme
	s.UnmarshalKDF(r.next(), true)
	if err := r.end(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if o.public.Type != tcg.TPMAlgECC {
		return tcg.TPMRCKey.H(1)
	}
	alg, rc := kdfHash(o, s)
	if rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	k, err := o.eccPublic()
	if err != nil {
		return rcOf(err)
	}
	c1, c2, c3, err := k.Encrypt(d.cfg.Rand, alg, message)
	if err != nil {
		return rcOf(err).P(1)
	}
	q := eccPoint(c1)
	q.Marshal2B(&c.out)
	c.out.Sized(c2)
	c.out.Sized(c3)
	return nil
}

// eccDecrypt is TPM2_ECC_Decrypt.
//
//	TPM_RC_ATTRIBUTES  the key is restricted, or does not decrypt
//	TPM_RC_ECC_POINT   C1 is not on the curve
//	TPM_RC_KEY         not an ECC key
//	TPM_RC_SCHEME      not the key's scheme, or not one for this
//	TPM_RC_VALUE       C3 does not fit the rest
func (d *Device) eccDecrypt(c *call) error {
	r := c.reader()
	var c1 tcg.TPMSECCPoint
	c1.Unmarshal2B(r.next())
	c2 := r.next().MaxBuffer()
	c3 := r.next().Digest()
	var s tcg.TPMTKDFScheme
	s.UnmarshalKDF(r.next(), true)
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
	alg, rc := kdfHash(o, s)
	if rc != tcg.TPMRCSuccess {
		return rc.P(4)
	}
	k, err := o.eccPrivate()
	if err != nil {
		return rcOf(err)
	}
	message, err := k.Decrypt(alg, point(&c1), c2, c3)
	if err != nil {
		if err == tpmcrypto.ErrPoint {
			return tcg.TPMRCECCPoint.P(1)
		}
		return rcOf(err).P(3)
	}
	c.out.Sized(message)
	return nil
}
