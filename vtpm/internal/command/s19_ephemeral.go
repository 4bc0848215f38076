package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// An ephemeral secret is not kept: it is derived from a nonce of this power
// cycle and a counter, and one bit reports whether the counter's value is still
// good for one use (Part 1, "Commit Random Value").

// commitSecret derives the secret for a value of the counter. name is that of
// the key that will sign; empty for an ephemeral key.
func commitSecret(d *engine.Device, k *tpmcrypto.Curve, alg tcg.TPMAlgID, name []byte, count uint64) ([]byte, error) {
	return k.CommitScalar(alg, d.Reset.CommitNonce, name, count)
}

// commitNext takes the counter's next value into use.
func commitNext(d *engine.Device) (count uint64) {
	count = d.Reset.CommitCounter
	d.Reset.CommitArray[count%engine.CommitSlots/8] |= 1 << (count % 8)
	d.Reset.CommitCounter++
	return count
}

// commitFind returns the whole counter that low are the last 16 bits of (Part
// 1, 44.2.5).
//
//	TPM_RC_RANGE  not one of the last values
//	TPM_RC_VALUE  it was used
func commitFind(d *engine.Device, low uint16) (uint64, tcg.TPMRC) {
	now := d.Reset.CommitCounter
	count := now&^0xFFFF | uint64(low)
	if count >= now {
		if count < 1<<16 {
			return 0, tcg.TPMRCRange
		}
		count -= 1 << 16
	}
	if now-count >= engine.CommitSlots {
		return 0, tcg.TPMRCRange
	}
	if d.Reset.CommitArray[count%engine.CommitSlots/8]&(1<<(count%8)) == 0 {
		return 0, tcg.TPMRCValue
	}
	return count, tcg.TPMRCSuccess
}

// commitUsed says that a value is used up.
func commitUsed(d *engine.Device, count uint64) {
	d.Reset.CommitArray[count%engine.CommitSlots/8] &^= 1 << (count % 8)
}

// commit is TPM2_Commit, which computes the points of the first step of an
// anonymous signature.
//
//	TPM_RC_ATTRIBUTES  the key does not sign
//	TPM_RC_ECC_POINT   P1, or the point of s2 and y2, is not on the curve
//	TPM_RC_HASH        s2 without a hash algorithm
//	TPM_RC_KEY         not an ECC key
//	TPM_RC_SCHEME      the key's scheme is not an anonymous one
//	TPM_RC_SIZE        only one of s2 and y2
//	TPM_RC_NO_RESULT   a result is the point at infinity
func commit(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var p1 tcg.TPMSECCPoint
	p1.Unmarshal2B(r.Next())
	s2 := r.Next().SensitiveData()
	y2 := r.Next().ECCParameter()
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Public.Type != tcg.TPMAlgECC {
		return tcg.TPMRCKey.H(1)
	}
	if !o.Has(tcg.TPMAObjectSignEncrypt) {
		return tcg.TPMRCAttributes.H(1)
	}
	if o.Public.ECC.Scheme.Scheme != tcg.TPMAlgECDAA {
		return tcg.TPMRCScheme.H(1)
	}
	if (len(s2) == 0) != (len(y2) == 0) {
		return tcg.TPMRCSize.P(3)
	}
	k, err := o.ECCPrivate()
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	secret, err := commitSecret(d, k.Curve, o.Public.NameAlg, o.Name, d.Reset.CommitCounter)
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	defer tpmcrypto.Zero(secret)
	kp, l, e, err := k.Commit(o.Public.NameAlg, secret, object.Point(&p1), s2, y2)
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	count := commitNext(d)
	for _, p := range []tpmcrypto.Point{kp, l, e} {
		q := object.ECCPoint(p)
		q.Marshal2B(&c.Out)
	}
	c.Out.Uint16(uint16(count))
	return nil
}

// signECDAA signs with the secret of an earlier TPM2_Commit, and uses it up.
//
//	TPM_RC_RANGE, TPM_RC_VALUE  the counter in the scheme is of no open commit
func signECDAA(d *engine.Device, o *object.Object, k *tpmcrypto.ECCPrivate, s tcg.TPMTSigScheme, v []byte) (sig tcg.TPMTSignature, rc tcg.TPMRC) {
	count, rc := commitFind(d, s.Count)
	if rc != tcg.TPMRCSuccess {
		return sig, rc
	}
	secret, err := commitSecret(d, k.Curve, o.Public.NameAlg, o.Name, count)
	if err != nil {
		return sig, tpmcrypto.ResponseCode(err)
	}
	defer tpmcrypto.Zero(secret)
	e, err := k.SignECDAA(d.Cfg.Rand, s.HashAlg, secret, v)
	if err != nil {
		return sig, tpmcrypto.ResponseCode(err)
	}
	commitUsed(d, count)
	return tcg.TPMTSignature{SigAlg: s.Scheme, Hash: s.HashAlg, R: e.R, S: e.S}, tcg.TPMRCSuccess
}

// ecEphemeral is TPM2_EC_Ephemeral, which makes an ephemeral key for one key
// exchange.
//
//	TPM_RC_CURVE  there is no such curve
func ecEphemeral(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	id := r.Next().Curve()
	if err := r.End(); err != nil {
		return err
	}
	k := tpmcrypto.CurveByID(id)
	if k == nil {
		return tcg.TPMRCCurve.P(1)
	}
	secret, err := commitSecret(d, k, engine.ContextHash, nil, d.Reset.CommitCounter)
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	defer tpmcrypto.Zero(secret)
	p, err := k.BaseMul(secret)
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	count := commitNext(d)
	q := object.ECCPoint(p)
	q.Marshal2B(&c.Out)
	c.Out.Uint16(uint16(count))
	return nil
}
