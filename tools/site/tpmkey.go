package site

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpmmgr/cert"
)

// A tpmKey is the site's key in a TPM, below its storage key. It leaves nothing
// loaded.
type tpmKey struct {
	Area    []byte `json:"public"`  // TPMT_PUBLIC
	Private []byte `json:"private"` // contents of TPM2B_PRIVATE

	bus  transport.TPM
	auth []byte
	key  *ecdsa.PublicKey
}

// authOf returns the authorization value of a passphrase. It has no zeros, which
// go-tpm would cut off.
func authOf(passphrase []byte) []byte {
	if len(passphrase) == 0 {
		return nil
	}
	h := sha256.Sum256(passphrase)
	return []byte(hex.EncodeToString(h[:16]))
}

// newTPMKey makes a key of P-256 in a TPM, and writes the parts that are kept
// outside of it to the folder.
func newTPMKey(dir string, bus transport.TPM, passphrase []byte) (crypto.Signer, error) {
	k := &tpmKey{bus: bus, auth: authOf(passphrase)}
	srk, done, err := k.storage()
	if err != nil {
		return nil, err
	}
	defer done()
	public, err := srk.OutPublic.Contents()
	if err != nil {
		return nil, err
	}
	r, err := tpm2.Create{
		ParentHandle: tpm2.AuthHandle{Handle: srk.ObjectHandle, Name: srk.Name,
			Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Salted(srk.ObjectHandle, *public), tpm2.AESEncryption(128, tpm2.EncryptIn))},
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: k.auth}}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, SignEncrypt: true},
			Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256,
				Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})}}),
		}),
	}.Execute(bus)
	if err != nil {
		return nil, fmt.Errorf("site: key in the TPM: %w", err)
	}
	k.Area, k.Private = r.OutPublic.Bytes(), r.OutPrivate.Buffer
	if err := k.parse(); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return nil, err
	}
	return k, writeFile(filepath.Join(dir, tpmKeyFile), append(b, '\n'))
}

func loadTPMKey(dir string, bus transport.TPM, passphrase []byte) (crypto.Signer, error) {
	b, err := os.ReadFile(filepath.Join(dir, tpmKeyFile))
	if err != nil {
		return nil, err
	}
	k := &tpmKey{bus: bus, auth: authOf(passphrase)}
	if err := json.Unmarshal(b, k); err != nil {
		return nil, fmt.Errorf("site: %s: %w", tpmKeyFile, err)
	}
	return k, k.parse()
}

func (k *tpmKey) parse() error {
	_, key, err := cert.ParsePublic(k.Area)
	if err != nil {
		return fmt.Errorf("site: %s: %w", tpmKeyFile, err)
	}
	ecc, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("site: %s: key of type %T", tpmKeyFile, key)
	}
	k.key = ecc
	return nil
}

// storage makes the storage key; done flushes it.
func (k *tpmKey) storage() (srk *tpm2.CreatePrimaryResponse, done func(), err error) {
	srk, err = tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(k.bus)
	if err != nil {
		return nil, nil, fmt.Errorf("site: storage key of the TPM: %w", err)
	}
	return srk, func() { tpm2.FlushContext{FlushHandle: srk.ObjectHandle}.Execute(k.bus) }, nil
}

// Public returns an *ecdsa.PublicKey.
func (k *tpmKey) Public() crypto.PublicKey { return k.key }

// Sign signs a SHA-256 digest. The TPM makes its random numbers itself.
func (k *tpmKey) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if o.HashFunc() != crypto.SHA256 {
		return nil, fmt.Errorf("site: the key in the TPM signs SHA-256 only, not %v", o.HashFunc())
	}
	srk, done, err := k.storage()
	if err != nil {
		return nil, err
	}
	defer done()
	storage, err := srk.OutPublic.Contents()
	if err != nil {
		return nil, err
	}
	loaded, err := tpm2.Load{ParentHandle: tpm2.NamedHandle{Handle: srk.ObjectHandle, Name: srk.Name},
		InPrivate: tpm2.TPM2BPrivate{Buffer: k.Private}, InPublic: tpm2.BytesAs2B[tpm2.TPMTPublic](k.Area)}.Execute(k.bus)
	if err != nil {
		return nil, fmt.Errorf("site: the TPM does not load the key, which may be another TPM's: %w", err)
	}
	defer tpm2.FlushContext{FlushHandle: loaded.ObjectHandle}.Execute(k.bus)
	r, err := tpm2.Sign{
		// Salted, or who listens on the bus could try passphrases.
		KeyHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name,
			Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Auth(k.auth), tpm2.Salted(srk.ObjectHandle, *storage))},
		Digest:     tpm2.TPM2BDigest{Buffer: digest},
		InScheme:   tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}.Execute(k.bus)
	if errors.Is(err, tpm2.TPMRCAuthFail) {
		return nil, errors.New("site: the key in the TPM has another passphrase")
	}
	if err != nil {
		return nil, fmt.Errorf("site: signature by the TPM: %w", err)
	}
	e, err := r.Signature.Signature.ECDSA()
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(e.SignatureR.Buffer), new(big.Int).SetBytes(e.SignatureS.Buffer)})
}
