package tpmcrypto

import (
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"io"

	"stubtpm/vtpm/tcg"
	own "stubtpm/vtpm/tpmcrypto/mlkem"
)

// An MLKEMPublic is the public part of an ML-KEM key.
type MLKEMPublic struct{ k *own.PublicKey }

// mlkemParams returns a parameter set of Part 2, Table 205, or nil.
func mlkemParams(set uint16) *own.Params {
	switch set {
	case tcg.TPMMLKEM512:
		return own.MLKEM512()
	case tcg.TPMMLKEM768:
		return own.MLKEM768()
	case tcg.TPMMLKEM1024:
		return own.MLKEM1024()
	}
	return nil
}

// NewMLKEMPublic takes an encoded public key. ErrValue for an unknown parameter
// set, another length, or a coefficient that is not reduced.
func NewMLKEMPublic(set uint16, b []byte) (*MLKEMPublic, error) {
	p := mlkemParams(set)
	if p == nil {
		return nil, ErrValue
	}
	k, err := own.NewPublic(p, b)
	if err != nil {
		return nil, ErrValue
	}
	return &MLKEMPublic{k}, nil
}

// Bytes returns the encoded public key: 800, 1184 or 1568 bytes.
func (k *MLKEMPublic) Bytes() []byte { return append([]byte(nil), k.k.Bytes()...) }

// Encapsulate makes a secret of 32 bytes and the ciphertext that carries it.
// The error is what rand says.
func (k *MLKEMPublic) Encapsulate(rand io.Reader) (secret, ciphertext []byte, err error) {
	m := make([]byte, own.RandomSize)
	defer clear(m)
	if _, err := io.ReadFull(rand, m); err != nil {
		return nil, nil, err
	}
	return k.k.Encapsulate(m)
}

// decapsulator is what the standard library's keys and the own ones share.
type decapsulator interface {
	Decapsulate(ciphertext []byte) ([]byte, error)
}

// An MLKEMPrivate is an ML-KEM key pair.
type MLKEMPrivate struct {
	MLKEMPublic
	d decapsulator
}

// NewMLKEMPrivate makes a key pair from its seed, d and z, 64 bytes. The
// standard library has the private key where it knows the parameter set.
// ErrValue for an unknown parameter set, ErrSize for another seed, ErrFault if
// two implementations do not agree.
func NewMLKEMPrivate(set uint16, seed []byte) (*MLKEMPrivate, error) {
	p := mlkemParams(set)
	if p == nil {
		return nil, ErrValue
	}
	if len(seed) != own.SeedSize {
		return nil, ErrSize
	}
	k := new(MLKEMPrivate)
	var pub []byte
	switch set {
	case tcg.TPMMLKEM768:
		d, err := mlkem.NewDecapsulationKey768(seed)
		if err != nil {
			return nil, ErrFault
		}
		k.d, pub = d, d.EncapsulationKey().Bytes()
	case tcg.TPMMLKEM1024:
		d, err := mlkem.NewDecapsulationKey1024(seed)
		if err != nil {
			return nil, ErrFault
		}
		k.d, pub = d, d.EncapsulationKey().Bytes()
	default:
		d, err := own.NewPrivate(p, seed)
		if err != nil {
			return nil, ErrFault
		}
		k.d, pub = d, d.Public().Bytes()
	}
	public, err := own.NewPublic(p, pub)
	if err != nil {
		return nil, ErrFault
	}
	k.k = public
	return k, nil
}

// Decapsulate returns the secret of a ciphertext; one that nobody knows if it is
// no ciphertext of this key. ErrSize for another length.
func (k *MLKEMPrivate) Decapsulate(ciphertext []byte) ([]byte, error) {
	secret, err := k.d.Decapsulate(ciphertext)
	if err != nil {
		return nil, ErrSize
	}
	return secret, nil
}

// Zero overwrites the secrets, but for copies inside the standard library's form
// of the key (see Zero).
func (k *MLKEMPrivate) Zero() {
	if d, ok := k.d.(*own.PrivateKey); ok {
		d.Zero()
	}
}

// A dhkem is a KEM of RFC 9180, 7.1: what its suite is called, and the hash of
// its KDF.
type dhkem struct {
	id   uint16
	hash func() hash.Hash
	size int // of the secret, in bytes: Nsecret
}

// newDHKEM returns the KEM of a curve and the hash of its HKDF. RFC 9180 has one
// hash for a curve; another is ErrScheme.
func newDHKEM(c *Curve, alg tcg.TPMAlgID) (dhkem, error) {
	switch {
	case c.ID == tcg.TPMECCNistP256 && alg == tcg.TPMAlgSHA256:
		return dhkem{0x0010, sha256.New, 32}, nil
	case c.ID == tcg.TPMECCNistP384 && alg == tcg.TPMAlgSHA384:
		return dhkem{0x0011, sha512.New384, 48}, nil
	case c.ID == tcg.TPMECCNistP521 && alg == tcg.TPMAlgSHA512:
		return dhkem{0x0012, sha512.New, 64}, nil
	}
	return dhkem{}, ErrScheme
}

// HasDHKEM reports whether ECC keys of a curve encapsulate with HKDF of a hash
// algorithm: P-256 with SHA-256, P-384 with SHA-384, P-521 with SHA-512 (RFC
// 9180, 7.1).
func HasDHKEM(id tcg.TPMECCCurve, alg tcg.TPMAlgID) bool {
	c := CurveByID(id)
	if c == nil {
		return false
	}
	_, err := newDHKEM(c, alg)
	return err == nil
}

// extractAndExpand is that of RFC 9180, 4.1.
func (k dhkem) extractAndExpand(dh, context []byte) ([]byte, error) {
	suite := []byte{'K', 'E', 'M', byte(k.id >> 8), byte(k.id)}
	label := func(b []byte, label string) []byte {
		return append(append(append(b, "HPKE-v1"...), suite...), label...)
	}
	ikm := append(label(nil, "eae_prk"), dh...)
	defer clear(ikm)
	prk, err := hkdf.Extract(k.hash, ikm, nil)
	if err != nil {
		return nil, ErrFault
	}
	defer clear(prk)
	info := append(label([]byte{byte(k.size >> 8), byte(k.size)}, "shared_secret"), context...)
	secret, err := hkdf.Expand(k.hash, prk, string(info), k.size)
	if err != nil {
		return nil, ErrFault
	}
	return secret, nil
}

// serialize is the uncompressed form of a point: 0x04, x and y.
func serialize(p Point) []byte { return append(append([]byte{4}, p.X...), p.Y...) }

// Encapsulate makes a secret and the serialized ephemeral point that carries it:
// DHKEM of the curve with HKDF of alg (Part 1, 44.4.2). ErrScheme for
// another hash, or what rand says.
func (k *ECCPublic) Encapsulate(rand io.Reader, alg tcg.TPMAlgID) (secret, ciphertext []byte, err error) {
	kem, err := newDHKEM(k.Curve, alg)
	if err != nil {
		return nil, nil, err
	}
	e, err := NewECCKey(rand, k.Curve.ID)
	if err != nil {
		return nil, nil, err
	}
	defer e.Zero()
	z, err := e.ECDH(k.Q)
	if err != nil {
		return nil, nil, err
	}
	defer clear(z.X)
	ciphertext = serialize(e.Q)
	secret, err = kem.extractAndExpand(z.X, append(serialize(e.Q), serialize(k.Q)...))
	return secret, ciphertext, err
}

// Decapsulate returns the secret that a serialized point carries (Part 1,
// 44.4.3). ErrScheme, ErrSize for another length, ErrPoint for what is no point
// of the curve in the uncompressed form.
func (k *ECCPrivate) Decapsulate(alg tcg.TPMAlgID, ciphertext []byte) ([]byte, error) {
	kem, err := newDHKEM(k.Curve, alg)
	if err != nil {
		return nil, err
	}
	n := k.Curve.Size
	if len(ciphertext) != 1+2*n {
		return nil, ErrSize
	}
	if ciphertext[0] != 4 {
		return nil, ErrPoint
	}
	z, err := k.ECDH(Point{X: ciphertext[1 : 1+n], Y: ciphertext[1+n:]})
	if err != nil {
		return nil, err
	}
	defer clear(z.X)
	return kem.extractAndExpand(z.X, append(append([]byte(nil), ciphertext...), serialize(k.Q)...))
}
