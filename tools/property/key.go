package property

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/tools/keyfile"
)

// A Key approves. Its Name is in the policies.
type Key struct {
	public *tpm2.TPMTPublic
	key    crypto.PublicKey
	name   []byte
}

// NewKey returns a key of P-256, P-384, or RSA of 2048 to 4096 bits. Its public area is the
// one that tpm2_loadexternal makes of a key in PEM, so both have one Name.
func NewKey(key crypto.PublicKey) (*Key, error) {
	p := &tpm2.TPMTPublic{NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: tpm2.TPMAObject{UserWithAuth: true, Decrypt: true, SignEncrypt: true}}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if err := eccArea(p, key); err != nil {
			return nil, err
		}
	case *rsa.PublicKey:
		if err := rsaArea(p, key); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("property: key of type %T", key)
	}
	name, err := tpm2.ObjectName(p)
	if err != nil {
		return nil, err
	}
	return &Key{p, key, name.Buffer}, nil
}

func eccArea(p *tpm2.TPMTPublic, key *ecdsa.PublicKey) error {
	curve := map[elliptic.Curve]tpm2.TPMECCCurve{elliptic.P256(): tpm2.TPMECCNistP256, elliptic.P384(): tpm2.TPMECCNistP384}[key.Curve]
	if curve == 0 {
		return errors.New("property: a key on another curve than P-256 and P-384")
	}
	point, err := key.Bytes() // 4, X, Y
	if err != nil {
		return fmt.Errorf("property: %w", err)
	}
	half := (len(point) + 1) / 2
	p.Type = tpm2.TPMAlgECC
	p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: curve,
		Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull}, Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgNull}, KDF: tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull}})
	p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
		X: tpm2.TPM2BECCParameter{Buffer: point[1:half]}, Y: tpm2.TPM2BECCParameter{Buffer: point[half:]}})
	return nil
}

func rsaArea(p *tpm2.TPMTPublic, key *rsa.PublicKey) error {
	bits := key.N.BitLen()
	if bits != 2048 && bits != 3072 && bits != 4096 || key.E != 65537 {
		return fmt.Errorf("property: an RSA key of %d bits with exponent %d", bits, key.E)
	}
	p.Type = tpm2.TPMAlgRSA
	p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: tpm2.TPMKeyBits(bits), Exponent: uint32(key.E),
		Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull}, Scheme: tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgNull}})
	p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: key.N.Bytes()})
	return nil
}

// area returns the TPM2B_PUBLIC.
func (k *Key) area() []byte { return tpm2.Marshal(tpm2.New2B(*k.public)) }

// parseArea reads a TPM2B_PUBLIC that area wrote.
func parseArea(b []byte) (*Key, error) {
	p, err := tpm2.Unmarshal[tpm2.TPM2BPublic](b)
	if err != nil {
		return nil, fmt.Errorf("%w: public area: %w", ErrRefused, err)
	}
	inner, err := p.Contents()
	if err != nil {
		return nil, fmt.Errorf("%w: public area: %w", ErrRefused, err)
	}
	key, err := tpm2.Pub(*inner)
	if err != nil {
		return nil, fmt.Errorf("%w: public area: %w", ErrRefused, err)
	}
	k, err := NewKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: public area: %w", ErrRefused, err)
	}
	if !bytes.Equal(k.area(), b) {
		return nil, fmt.Errorf("%w: public area: not that of tpm2_loadexternal", ErrRefused)
	}
	return k, nil
}

// parsePublic reads a key in PEM: a public one, a certificate, or a private one
// without passphrase.
func parsePublic(b []byte) (*Key, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("property: no PEM")
	}
	switch block.Type {
	case "PUBLIC KEY":
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("property: %w", err)
		}
		return NewKey(key)
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("property: %w", err)
		}
		return NewKey(c.PublicKey)
	}
	key, err := keyfile.Parse(b, nil)
	if errors.Is(err, keyfile.ErrPassphrase) {
		return nil, errors.New("property: the key has a passphrase: give the public key in its place")
	}
	if err != nil {
		return nil, fmt.Errorf("property: %w", err)
	}
	return NewKey(key.Public())
}

func publicPEM(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}

// sign returns a TPMT_SIGNATURE over a message: ECDSA or RSASSA with SHA-256.
func sign(key crypto.Signer, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	if k, ok := key.(*ecdsa.PrivateKey); ok {
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			return nil, err
		}
		size := (k.Curve.Params().BitSize + 7) / 8
		return tpm2.Marshal(tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgECDSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{
			Hash:       tpm2.TPMAlgSHA256,
			SignatureR: tpm2.TPM2BECCParameter{Buffer: r.FillBytes(make([]byte, size))},
			SignatureS: tpm2.TPM2BECCParameter{Buffer: s.FillBytes(make([]byte, size))}})}), nil
	}
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return tpm2.Marshal(tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgRSASSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgRSASSA,
		&tpm2.TPMSSignatureRSA{Hash: tpm2.TPMAlgSHA256, Sig: tpm2.TPM2BPublicKeyRSA{Buffer: sig}})}), nil
}

// verify returns an error unless signature is one that sign makes.
func (k *Key) verify(message, signature []byte) error {
	sig, err := tpm2.Unmarshal[tpm2.TPMTSignature](signature)
	if err != nil {
		return fmt.Errorf("%w: signature: %w", ErrRefused, err)
	}
	if !bytes.Equal(tpm2.Marshal(*sig), signature) {
		return fmt.Errorf("%w: signature: bytes left over", ErrRefused)
	}
	digest := sha256.Sum256(message)
	good := false
	switch key := k.key.(type) {
	case *ecdsa.PublicKey:
		s, err := sig.Signature.ECDSA()
		good = err == nil && sig.SigAlg == tpm2.TPMAlgECDSA && s.Hash == tpm2.TPMAlgSHA256 &&
			ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(s.SignatureR.Buffer), new(big.Int).SetBytes(s.SignatureS.Buffer))
	case *rsa.PublicKey:
		s, err := sig.Signature.RSASSA()
		good = err == nil && sig.SigAlg == tpm2.TPMAlgRSASSA && s.Hash == tpm2.TPMAlgSHA256 &&
			rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], s.Sig.Buffer) == nil
	}
	if !good {
		return fmt.Errorf("%w: the signature is not that of key %x over this policy and reference", ErrRefused, k.name)
	}
	return nil
}
