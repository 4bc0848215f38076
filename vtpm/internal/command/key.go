package command

import (
	"bytes"
	"io"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A keySource gives the bytes that a key is made of: random ones, or, for
// primary and derived keys, those that a seed determines.
type keySource = io.Reader

// primarySource is the source of a primary object: the same for the same seed,
// template and sensitive data, forever (Part 1, "Primary Object Derivation").
func primarySource(seed []byte, p *creationParams) keySource {
	template := tcg.Marshal(&p.public)
	return tpmcrypto.NewPrimaryDRBG(seed, "Primary Object Creation",
		tpmcrypto.Digest(p.public.NameAlg, template), p.sensitive.Data)
}

// generate fills the sensitive area and the unique field of a new object
// (Part 1, "Object Creation"). data is what the caller gave; source is nil
// for random keys.
func generate(d *engine.Device, o *object.Object, data []byte, source keySource) tcg.TPMRC {
	if source == nil {
		source = d.Cfg.Rand
	}
	d.Need(o.Public.Type, o.Public.NameAlg)
	return generateFrom(source, o, data)
}

// generateFrom is generate where the source is known, and the algorithms are tested.
func generateFrom(source keySource, o *object.Object, data []byte) tcg.TPMRC {
	p, s := &o.Public, &o.Sensitive
	s.SensitiveType = p.Type
	p.UniqueDigest, p.UniqueRSA, p.UniqueECC, p.UniqueML = nil, nil, tcg.TPMSECCPoint{}, nil
	read := func(n int) []byte {
		b := make([]byte, n)
		_, err := io.ReadFull(source, b)
		tpmcrypto.Must(err)
		return b
	}
	switch p.Type {
	case tcg.TPMAlgRSA:
		if !tpmcrypto.HasExponent(p.RSA.Exponent) {
			return tcg.TPMRCRange.P(2)
		}
		k, err := tpmcrypto.NewRSAKey(source, int(p.RSA.KeyBits), p.RSA.Exponent)
		if err != nil {
			return tpmcrypto.ResponseCode(err).P(2)
		}
		p.UniqueRSA, s.Sensitive = k.Modulus(), k.P()
		o.Key.RSA = k
	case tcg.TPMAlgECC:
		k, err := tpmcrypto.NewECCKey(source, p.ECC.CurveID)
		if err != nil {
			return tpmcrypto.ResponseCode(err).P(2)
		}
		p.UniqueECC, s.Sensitive = object.ECCPoint(k.Q), k.Scalar()
		o.Key.ECC = k
	case tcg.TPMAlgSymCipher:
		n := int(p.Sym.KeyBits) / 8
		if len(data) != 0 && len(data) != n {
			return tcg.TPMRCKeySize.P(1)
		}
		if s.Sensitive = bytes.Clone(data); len(data) == 0 {
			s.Sensitive = read(n)
			if p.Sym.Algorithm == tcg.TPMAlgTDES {
				tpmcrypto.SetParity(s.Sensitive)
			}
		}
		if !tpmcrypto.GoodKey(p.Sym.Algorithm, s.Sensitive) {
			return tcg.TPMRCValue.P(1)
		}
	case tcg.TPMAlgKeyedHash:
		if s.Sensitive = bytes.Clone(data); len(data) == 0 {
			s.Sensitive = read(object.KeyedHashSize(p))
		}
	case tcg.TPMAlgMLKEM:
		s.Sensitive = read(tcg.MLKEMPrivateSize)
		k, err := o.MLKEMPrivate()
		if err != nil {
			return tpmcrypto.ResponseCode(err).P(2)
		}
		p.UniqueML = k.Bytes()
	case tcg.TPMAlgMLDSA, tcg.TPMAlgHashMLDSA:
		s.Sensitive = read(tcg.MLDSAPrivateSize)
		k, err := o.MLDSAPrivate()
		if err != nil {
			return tpmcrypto.ResponseCode(err).P(2)
		}
		p.UniqueML = k.Bytes()
	default:
		return tcg.TPMRCType.P(2)
	}
	if object.IsStorageTemplate(p) || p.Type == tcg.TPMAlgKeyedHash || p.Type == tcg.TPMAlgSymCipher {
		s.SeedValue = read(tpmcrypto.MustSize(p.NameAlg))
	}
	if p.Type == tcg.TPMAlgKeyedHash || p.Type == tcg.TPMAlgSymCipher {
		p.UniqueDigest = tpmcrypto.Digest(p.NameAlg, s.SeedValue, s.Sensitive)
	}
	return tcg.TPMRCSuccess
}

// decryptSecret recovers a secret that somebody encrypted to key o (Part 1,
// annexes B.10 and C.6 "Secret Sharing"). label is without its final zero. A key
// without a Name has no hash for it: TPM_RC_KEY.
func decryptSecret(d *engine.Device, o *object.Object, secret []byte, label string) ([]byte, tcg.TPMRC) {
	if !o.HasName() {
		return nil, tcg.TPMRCKey
	}
	needSharing(d, o)
	switch o.Public.Type {
	case tcg.TPMAlgRSA:
		k, err := o.RSAPrivate()
		if err != nil {
			return nil, tpmcrypto.ResponseCode(err)
		}
		v, err := k.DecryptOAEP(o.OAEPHash(), append([]byte(label), 0), secret)
		if err != nil {
			return nil, tpmcrypto.ResponseCode(err)
		}
		if len(v) > tpmcrypto.MustSize(o.Public.NameAlg) {
			return nil, tcg.TPMRCValue
		}
		return v, tcg.TPMRCSuccess
	case tcg.TPMAlgECC:
		r := tcg.NewReader(secret, d.Profile)
		var q tcg.TPMSECCPoint
		q.Unmarshal(&r)
		if rc := r.Err(); rc != tcg.TPMRCSuccess {
			return nil, rc
		}
		if r.Len() != 0 {
			return nil, tcg.TPMRCSize
		}
		k, err := o.ECCPrivate()
		if err != nil {
			return nil, tpmcrypto.ResponseCode(err)
		}
		z, err := k.ECDH(object.Point(&q))
		if err != nil {
			return nil, tpmcrypto.ResponseCode(err)
		}
		// x as it was sent: padding is the sender's to keep or leave out, and
		// whichever it did, it derived the secret from the same bytes.
		alg := o.Public.NameAlg
		return tpmcrypto.KDFe(alg, z.X, label, q.X, k.Q.X, 8*tpmcrypto.MustSize(alg)), tcg.TPMRCSuccess
	case tcg.TPMAlgMLKEM:
		k, err := o.MLKEMPrivate()
		if err != nil {
			return nil, tpmcrypto.ResponseCode(err)
		}
		shared, err := k.Decapsulate(secret)
		if err != nil {
			return nil, tpmcrypto.ResponseCode(err)
		}
		defer tpmcrypto.Zero(shared)
		return labelledSecret(o, shared, label, secret), tcg.TPMRCSuccess
	}
	return nil, tcg.TPMRCType
}

// labelledSecret is the last step of ML-KEM's labelled KEM (Part 1, 47.4).
func labelledSecret(o *object.Object, shared []byte, label string, ciphertext []byte) []byte {
	alg := o.Public.NameAlg
	return tpmcrypto.KDFa(alg, shared, label, ciphertext, o.Public.UniqueML, 8*tpmcrypto.MustSize(alg))
}

// encryptSecret makes a secret that only the holder of o's private key can
// recover, and what to send it as. A key without a Name has no hash for it:
// TPM_RC_KEY.
func encryptSecret(d *engine.Device, o *object.Object, label string) (secret, sent []byte, rc tcg.TPMRC) {
	if !o.HasName() {
		return nil, nil, tcg.TPMRCKey
	}
	needSharing(d, o)
	alg := o.Public.NameAlg
	switch o.Public.Type {
	case tcg.TPMAlgRSA:
		k, err := o.RSAPublic()
		if err != nil {
			return nil, nil, tpmcrypto.ResponseCode(err)
		}
		secret = d.Random(tpmcrypto.MustSize(alg))
		sent, err = k.EncryptOAEP(d.Cfg.Rand, o.OAEPHash(), append([]byte(label), 0), secret)
		return secret, sent, tpmcrypto.ResponseCode(err)
	case tcg.TPMAlgECC:
		k, err := o.ECCPublic()
		if err != nil {
			return nil, nil, tpmcrypto.ResponseCode(err)
		}
		e, err := tpmcrypto.NewECCKey(d.Cfg.Rand, o.Public.ECC.CurveID)
		if err != nil {
			return nil, nil, tpmcrypto.ResponseCode(err)
		}
		defer e.Zero()
		z, err := e.ECDH(k.Q)
		if err != nil {
			return nil, nil, tpmcrypto.ResponseCode(err)
		}
		q := object.ECCPoint(e.Q)
		return tpmcrypto.KDFe(alg, z.X, label, e.Q.X, k.Q.X, 8*tpmcrypto.MustSize(alg)), tcg.Marshal(&q), tcg.TPMRCSuccess
	case tcg.TPMAlgMLKEM:
		k, err := o.MLKEMPublic()
		if err != nil {
			return nil, nil, tpmcrypto.ResponseCode(err)
		}
		shared, ciphertext, err := k.Encapsulate(d.Cfg.Rand)
		if err != nil {
			return nil, nil, tpmcrypto.ResponseCode(err)
		}
		defer tpmcrypto.Zero(shared)
		return labelledSecret(o, shared, label, ciphertext), ciphertext, tcg.TPMRCSuccess
	}
	return nil, nil, tcg.TPMRCKey
}

// needSharing runs the self-tests of what shares a secret by key o.
func needSharing(d *engine.Device, o *object.Object) {
	switch o.Public.Type {
	case tcg.TPMAlgRSA:
		d.Need(tcg.TPMAlgRSA, tcg.TPMAlgOAEP)
	case tcg.TPMAlgMLKEM:
		d.Need(tcg.TPMAlgMLKEM, tcg.TPMAlgKDF1SP800108)
	default:
		d.Need(tcg.TPMAlgECC, tcg.TPMAlgECDH, tcg.TPMAlgKDF1SP80056A)
	}
}
