package object

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// keyCache keeps the prepared form of an object's key, made at first use.
type keyCache struct {
	RSA    *tpmcrypto.RSAPrivate
	rsaPub *tpmcrypto.RSAPublic
	ECC    *tpmcrypto.ECCPrivate
	eccPub *tpmcrypto.ECCPublic

	MLKEM    *tpmcrypto.MLKEMPrivate
	mlkemPub *tpmcrypto.MLKEMPublic
	MLDSA    *tpmcrypto.MLDSAPrivate
	mldsaPub *tpmcrypto.MLDSAPublic
}

// RSAPublic returns the public RSA key of o, which is made at first use.
//
// It and the functions below that return keys require that o is of that type and was checked
// by CheckBinding, and those of the private keys that its sensitive area is loaded.
func (o *Object) RSAPublic() (*tpmcrypto.RSAPublic, error) {
	if o.Key.rsaPub == nil {
		k, err := tpmcrypto.NewRSAPublic(o.Public.UniqueRSA, o.Public.RSA.Exponent)
		if err != nil {
			return nil, err
		}
		o.Key.rsaPub = k
	}
	return o.Key.rsaPub, nil
}

// RSAPrivate returns the private RSA key of o. The key is made at first use: it
// fails if the private area is not of the public one.
func (o *Object) RSAPrivate() (*tpmcrypto.RSAPrivate, error) {
	if o.Key.RSA == nil {
		k, err := tpmcrypto.NewRSAPrivate(o.Public.UniqueRSA, o.Public.RSA.Exponent, o.Sensitive.Sensitive)
		if err != nil {
			return nil, err
		}
		o.Key.RSA = k
	}
	return o.Key.RSA, nil
}

// ECCPublic returns the public ECC key of o, which is made at first use.
func (o *Object) ECCPublic() (*tpmcrypto.ECCPublic, error) {
	if o.Key.eccPub == nil {
		k, err := tpmcrypto.NewECCPublic(o.Public.ECC.CurveID, Point(&o.Public.UniqueECC))
		if err != nil {
			return nil, err
		}
		o.Key.eccPub = k
	}
	return o.Key.eccPub, nil
}

// ECCPrivate returns the private ECC key of o, which is made at first use.
func (o *Object) ECCPrivate() (*tpmcrypto.ECCPrivate, error) {
	if o.Key.ECC == nil {
		k, err := tpmcrypto.NewECCPrivate(o.Public.ECC.CurveID, o.Sensitive.Sensitive)
		if err != nil {
			return nil, err
		}
		o.Key.ECC = k
	}
	return o.Key.ECC, nil
}

// MLKEMPublic returns the public ML-KEM key of o, which is made at first use.
func (o *Object) MLKEMPublic() (*tpmcrypto.MLKEMPublic, error) {
	if o.Key.mlkemPub == nil {
		k, err := tpmcrypto.NewMLKEMPublic(o.Public.MLKEM.ParameterSet, o.Public.UniqueML)
		if err != nil {
			return nil, err
		}
		o.Key.mlkemPub = k
	}
	return o.Key.mlkemPub, nil
}

// MLKEMPrivate returns the private ML-KEM key of o, which is made at first use.
func (o *Object) MLKEMPrivate() (*tpmcrypto.MLKEMPrivate, error) {
	if o.Key.MLKEM == nil {
		k, err := tpmcrypto.NewMLKEMPrivate(o.Public.MLKEM.ParameterSet, o.Sensitive.Sensitive)
		if err != nil {
			return nil, err
		}
		o.Key.MLKEM = k
	}
	return o.Key.MLKEM, nil
}

// MLDSAPublic returns the public ML-DSA or HashML-DSA key of o, which is made at
// first use.
func (o *Object) MLDSAPublic() (*tpmcrypto.MLDSAPublic, error) {
	if o.Key.mldsaPub == nil {
		k, err := tpmcrypto.NewMLDSAPublic(o.Public.MLDSA.ParameterSet, o.Public.UniqueML)
		if err != nil {
			return nil, err
		}
		o.Key.mldsaPub = k
	}
	return o.Key.mldsaPub, nil
}

// MLDSAPrivate returns the private ML-DSA or HashML-DSA key of o, which is made at
// first use.
func (o *Object) MLDSAPrivate() (*tpmcrypto.MLDSAPrivate, error) {
	if o.Key.MLDSA == nil {
		k, err := tpmcrypto.NewMLDSAPrivate(o.Public.MLDSA.ParameterSet, o.Sensitive.Sensitive)
		if err != nil {
			return nil, err
		}
		o.Key.MLDSA = k
	}
	return o.Key.MLDSA, nil
}

// checkML is CheckBinding of ML-KEM, ML-DSA and HashML-DSA keys.
//
//	TPM_RC_BINDING   the public key is not that of the seed
//	TPM_RC_KEY       the public key is none of the parameter set
//	TPM_RC_KEY_SIZE  the seed has another size
func (o *Object) checkML() tcg.TPMRC {
	kem := o.Public.Type == tcg.TPMAlgMLKEM
	var err error
	if kem {
		_, err = o.MLKEMPublic()
	} else {
		_, err = o.MLDSAPublic()
	}
	if err != nil {
		return tcg.TPMRCKey
	}
	if o.PublicOnly {
		return tcg.TPMRCSuccess
	}
	var pub []byte
	if kem {
		k, err := o.MLKEMPrivate()
		if err != nil {
			return tcg.TPMRCKeySize
		}
		pub = k.Bytes()
	} else {
		k, err := o.MLDSAPrivate()
		if err != nil {
			return tcg.TPMRCKeySize
		}
		pub = k.Bytes()
	}
	if !tpmcrypto.Equal(pub, o.Public.UniqueML) {
		return tcg.TPMRCBinding
	}
	return tcg.TPMRCSuccess
}

// Point returns a point as the cryptography takes it.
func Point(p *tcg.TPMSECCPoint) tpmcrypto.Point { return tpmcrypto.Point{X: p.X, Y: p.Y} }

// ECCPoint returns a point as a TPMS_ECC_POINT.
func ECCPoint(p tpmcrypto.Point) tcg.TPMSECCPoint { return tcg.TPMSECCPoint{X: p.X, Y: p.Y} }

// KeyedHashSize is the size in bytes of an HMAC or XOR key that the TPM makes:
// that of its hash's digest.
func KeyedHashSize(p *tcg.TPMTPublic) int {
	if n := tpmcrypto.DigestSize(p.KeyedHash.Scheme.HashAlg); n != 0 && p.KeyedHash.Scheme.Scheme != tcg.TPMAlgNull {
		return n
	}
	return tpmcrypto.MustSize(p.NameAlg)
}

// CheckBinding checks that an object's public area is well formed and belongs
// to its sensitive area, if that is loaded.
func (o *Object) CheckBinding() tcg.TPMRC {
	p, s := &o.Public, &o.Sensitive
	if !o.PublicOnly && s.SensitiveType != p.Type {
		return tcg.TPMRCType
	}
	switch p.Type {
	case tcg.TPMAlgRSA:
		if len(p.UniqueRSA) != int(p.RSA.KeyBits)/8 {
			return tcg.TPMRCKey
		}
		if _, err := o.RSAPublic(); err != nil {
			return tpmcrypto.ResponseCode(err)
		}
		if !o.PublicOnly {
			if len(s.Sensitive) != len(p.UniqueRSA)/2 {
				return tcg.TPMRCKeySize
			}
			if _, err := o.RSAPrivate(); err != nil {
				return tcg.TPMRCBinding
			}
		}
	case tcg.TPMAlgECC:
		if _, err := o.ECCPublic(); err != nil {
			return tpmcrypto.ResponseCode(err)
		}
		if !o.PublicOnly {
			k, err := o.ECCPrivate()
			if err != nil {
				return tcg.TPMRCKeySize
			}
			if !k.Matches(Point(&p.UniqueECC)) {
				return tcg.TPMRCBinding
			}
		}
	case tcg.TPMAlgMLKEM, tcg.TPMAlgMLDSA, tcg.TPMAlgHashMLDSA:
		if rc := o.checkML(); rc != tcg.TPMRCSuccess {
			return rc
		}
	default:
		if o.PublicOnly {
			return tcg.TPMRCSuccess
		}
		if p.Type == tcg.TPMAlgSymCipher && len(s.Sensitive) != int(p.Sym.KeyBits)/8 {
			return tcg.TPMRCKeySize
		}
		if p.NameAlg != tcg.TPMAlgNull && !tpmcrypto.Equal(p.UniqueDigest, tpmcrypto.Digest(p.NameAlg, s.SeedValue, s.Sensitive)) {
			return tcg.TPMRCBinding
		}
	}
	if !o.PublicOnly && IsStorageTemplate(p) && p.NameAlg != tcg.TPMAlgNull {
		if n := len(s.SeedValue); n < tpmcrypto.MustSize(p.NameAlg)/2 || n > tpmcrypto.MustSize(p.NameAlg) {
			return tcg.TPMRCKeySize
		}
	}
	return tcg.TPMRCSuccess
}

// OAEPHash is the hash with which a key shares secrets: its scheme's, if it
// has one for OAEP, else that of its Name.
func (o *Object) OAEPHash() tcg.TPMAlgID {
	if s := o.Public.RSA.Scheme; s.Scheme == tcg.TPMAlgOAEP {
		return s.HashAlg
	}
	return o.Public.NameAlg
}
