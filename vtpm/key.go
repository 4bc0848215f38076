package vtpm

import (
	"bytes"
	"io"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// A keySource gives the bytes that a key is made of: random ones, or, for
// primary and derived keys, those that a seed determines.
type keySource = io.Reader

// keyCache keeps the prepared form of an object's key, made at first use.
type keyCache struct {
	rsa    *tpmcrypto.RSAPrivate
	rsaPub *tpmcrypto.RSAPublic
	ecc    *tpmcrypto.ECCPrivate
	eccPub *tpmcrypto.ECCPublic
}

// rsaPublic, rsaPrivate, eccPublic and eccPrivate return o's key.
// Preconditions: o is of that type, was checked by checkBinding, and for the
// private ones has its sensitive area loaded.
func (o *object) rsaPublic() (*tpmcrypto.RSAPublic, error) {
	if o.key.rsaPub == nil {
		k, err := tpmcrypto.NewRSAPublic(o.public.UniqueRSA, o.public.RSA.Exponent)
		if err != nil {
			return nil, err
		}
		o.key.rsaPub = k
	}
	return o.key.rsaPub, nil
}

func (o *object) rsaPrivate() (*tpmcrypto.RSAPrivate, error) {
	if o.key.rsa == nil {
		k, err := tpmcrypto.NewRSAPrivate(o.public.UniqueRSA, o.public.RSA.Exponent, o.sensitive.Sensitive)
		if err != nil {
			return nil, err
		}
		o.key.rsa = k
	}
	return o.key.rsa, nil
}

func (o *object) eccPublic() (*tpmcrypto.ECCPublic, error) {
	if o.key.eccPub == nil {
		k, err := tpmcrypto.NewECCPublic(o.public.ECC.CurveID, point(&o.public.UniqueECC))
		if err != nil {
			return nil, err
		}
		o.key.eccPub = k
	}
	return o.key.eccPub, nil
}

func (o *object) eccPrivate() (*tpmcrypto.ECCPrivate, error) {
	if o.key.ecc == nil {
		k, err := tpmcrypto.NewECCPrivate(o.public.ECC.CurveID, o.sensitive.Sensitive)
		if err != nil {
			return nil, err
		}
		o.key.ecc = k
	}
	return o.key.ecc, nil
}

func point(p *tcg.TPMSECCPoint) tpmcrypto.Point { return tpmcrypto.Point{X: p.X, Y: p.Y} }

func eccPoint(p tpmcrypto.Point) tcg.TPMSECCPoint { return tcg.TPMSECCPoint{X: p.X, Y: p.Y} }

// primarySource is the source of a primary object: the same for the same seed,
// template and sensitive data, for ever (Part 1, "Primary Object Derivation").
func (d *Device) primarySource(h tcg.TPMHandle, p *creationParams) keySource {
	template := tcg.Marshal(&p.public)
	return tpmcrypto.NewPrimaryDRBG(d.hierarchies().Secrets(h).Seed, "Primary Object Creation",
		digest(p.public.NameAlg, template), p.sensitive.Data)
}

// generate fills the sensitive area and the unique field of a new object
// (Part 1, "Object Creation"). data is what the caller gave; source is nil
// for random keys.
func (d *Device) generate(o *object, data []byte, source keySource) tcg.TPMRC {
	if source == nil {
		source = d.cfg.Rand
	}
	d.need(o.public.Type, o.public.NameAlg)
	p, s := &o.public, &o.sensitive
	s.SensitiveType = p.Type
	p.UniqueDigest, p.UniqueRSA, p.UniqueECC = nil, nil, tcg.TPMSECCPoint{}
	read := func(n int) []byte {
		b := make([]byte, n)
		_, err := io.ReadFull(source, b)
		must(err)
		return b
	}
	switch p.Type {
	case tcg.TPMAlgRSA:
		if !tpmcrypto.HasExponent(p.RSA.Exponent) {
			return tcg.TPMRCRange.P(2)
		}
		k, err := tpmcrypto.NewRSAKey(source, int(p.RSA.KeyBits), p.RSA.Exponent)
		if err != nil {
			return rcOf(err).P(2)
		}
		p.UniqueRSA, s.Sensitive = k.Modulus(), k.P()
		o.key.rsa = k
	case tcg.TPMAlgECC:
		k, err := tpmcrypto.NewECCKey(source, p.ECC.CurveID)
		if err != nil {
			return rcOf(err).P(2)
		}
		p.UniqueECC, s.Sensitive = eccPoint(k.Q), k.Scalar()
		o.key.ecc = k
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
			s.Sensitive = read(keyedHashSize(p))
		}
	default:
		return tcg.TPMRCType.P(2)
	}
	if isStorageTemplate(p) || p.Type == tcg.TPMAlgKeyedHash || p.Type == tcg.TPMAlgSymCipher {
		s.SeedValue = read(hashSize(p.NameAlg))
	}
	if p.Type == tcg.TPMAlgKeyedHash || p.Type == tcg.TPMAlgSymCipher {
		p.UniqueDigest = digest(p.NameAlg, s.SeedValue, s.Sensitive)
	}
	return tcg.TPMRCSuccess
}

// keyedHashSize is the size in bytes of an HMAC or XOR key that the TPM makes:
// that of its hash's digest.
func keyedHashSize(p *tcg.TPMTPublic) int {
	if n := tpmcrypto.DigestSize(p.KeyedHash.Scheme.HashAlg); n != 0 && p.KeyedHash.Scheme.Scheme != tcg.TPMAlgNull {
		return n
	}
	return hashSize(p.NameAlg)
}

// checkBinding checks that an object's public area is well formed and belongs
// to its sensitive area, if that is loaded.
func (o *object) checkBinding() tcg.TPMRC {
	p, s := &o.public, &o.sensitive
	if !o.publicOnly && s.SensitiveType != p.Type {
		return tcg.TPMRCType
	}
	switch p.Type {
	case tcg.TPMAlgRSA:
		if len(p.UniqueRSA) != int(p.RSA.KeyBits)/8 {
			return tcg.TPMRCKey
		}
		if _, err := o.rsaPublic(); err != nil {
			return rcOf(err)
		}
		if !o.publicOnly {
			if len(s.Sensitive) != len(p.UniqueRSA)/2 {
				return tcg.TPMRCKeySize
			}
			if _, err := o.rsaPrivate(); err != nil {
				return tcg.TPMRCBinding
			}
		}
	case tcg.TPMAlgECC:
		if _, err := o.eccPublic(); err != nil {
			return rcOf(err)
		}
		if !o.publicOnly {
			k, err := o.eccPrivate()
			if err != nil {
				return tcg.TPMRCKeySize
			}
			if !k.Matches(point(&p.UniqueECC)) {
				return tcg.TPMRCBinding
			}
		}
	default:
		if o.publicOnly {
			return tcg.TPMRCSuccess
		}
		if p.Type == tcg.TPMAlgSymCipher && len(s.Sensitive) != int(p.Sym.KeyBits)/8 {
			return tcg.TPMRCKeySize
		}
		if p.NameAlg != tcg.TPMAlgNull && !tpmcrypto.Equal(p.UniqueDigest, digest(p.NameAlg, s.SeedValue, s.Sensitive)) {
			return tcg.TPMRCBinding
		}
	}
	if !o.publicOnly && isStorageTemplate(p) && p.NameAlg != tcg.TPMAlgNull {
		if n := len(s.SeedValue); n < hashSize(p.NameAlg)/2 || n > hashSize(p.NameAlg) {
			return tcg.TPMRCKeySize
		}
	}
	return tcg.TPMRCSuccess
}

// decryptSecret recovers a secret that somebody encrypted to key o (Part 1,
// annexes B.10 and C.6 "Secret Sharing"). label is without its final zero. A key
// without a Name has no hash for it: TPM_RC_KEY.
func (d *Device) decryptSecret(o *object, secret []byte, label string) ([]byte, tcg.TPMRC) {
	if !o.hasName() {
		return nil, tcg.TPMRCKey
	}
	d.needSharing(o)
	switch o.public.Type {
	case tcg.TPMAlgRSA:
		k, err := o.rsaPrivate()
		if err != nil {
			return nil, rcOf(err)
		}
		v, err := k.DecryptOAEP(o.oaepHash(), append([]byte(label), 0), secret)
		if err != nil {
			return nil, rcOf(err)
		}
		if len(v) > hashSize(o.public.NameAlg) {
			return nil, tcg.TPMRCValue
		}
		return v, tcg.TPMRCSuccess
	case tcg.TPMAlgECC:
		r := tcg.NewReader(secret, d.profile)
		var q tcg.TPMSECCPoint
		q.Unmarshal(&r)
		if rc := r.Err(); rc != tcg.TPMRCSuccess {
			return nil, rc
		}
		if r.Len() != 0 {
			return nil, tcg.TPMRCSize
		}
		k, err := o.eccPrivate()
		if err != nil {
			return nil, rcOf(err)
		}
		z, err := k.ECDH(point(&q))
		if err != nil {
			return nil, rcOf(err)
		}
		// x as it was sent: padding is the sender's to keep or leave out, and
		// whichever it did, it derived the secret from the same bytes.
		alg := o.public.NameAlg
		return tpmcrypto.KDFe(alg, z.X, label, q.X, k.Q.X, 8*hashSize(alg)), tcg.TPMRCSuccess
	}
	return nil, tcg.TPMRCType
}

// encryptSecret makes a secret that only the holder of o's private key can
// recover, and what to send it as. A key without a Name has no hash for it:
// TPM_RC_KEY.
func (d *Device) encryptSecret(o *object, label string) (secret, sent []byte, rc tcg.TPMRC) {
	if !o.hasName() {
		return nil, nil, tcg.TPMRCKey
	}
	d.needSharing(o)
	alg := o.public.NameAlg
	switch o.public.Type {
	case tcg.TPMAlgRSA:
		k, err := o.rsaPublic()
		if err != nil {
			return nil, nil, rcOf(err)
		}
		secret = d.random(hashSize(alg))
		sent, err = k.EncryptOAEP(d.cfg.Rand, o.oaepHash(), append([]byte(label), 0), secret)
		return secret, sent, rcOf(err)
	case tcg.TPMAlgECC:
		k, err := o.eccPublic()
		if err != nil {
			return nil, nil, rcOf(err)
		}
		e, err := tpmcrypto.NewECCKey(d.cfg.Rand, o.public.ECC.CurveID)
		if err != nil {
			return nil, nil, rcOf(err)
		}
		defer e.Zero()
		z, err := e.ECDH(k.Q)
		if err != nil {
			return nil, nil, rcOf(err)
		}
		q := eccPoint(e.Q)
		return tpmcrypto.KDFe(alg, z.X, label, e.Q.X, k.Q.X, 8*hashSize(alg)), tcg.Marshal(&q), tcg.TPMRCSuccess
	}
	return nil, nil, tcg.TPMRCKey
}

// oaepHash is the hash with which a key shares secrets: its scheme's, if it
// has one for OAEP, else that of its Name.
func (o *object) oaepHash() tcg.TPMAlgID {
	if s := o.public.RSA.Scheme; s.Scheme == tcg.TPMAlgOAEP {
		return s.HashAlg
	}
	return o.public.NameAlg
}

// needSharing runs the self-tests of what shares a secret by key o.
func (d *Device) needSharing(o *object) {
	if o.public.Type == tcg.TPMAlgRSA {
		d.need(tcg.TPMAlgRSA, tcg.TPMAlgOAEP)
	} else {
		d.need(tcg.TPMAlgECC, tcg.TPMAlgECDH, tcg.TPMAlgKDF1SP80056A)
	}
}
