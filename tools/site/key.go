package site

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/youmark/pkcs8"
)

// newFileKey writes a new key of P-256 to the folder: PKCS #8, encrypted if there
// is a passphrase (RFC 8018, PBES2 with PBKDF2 and AES-256).
func newFileKey(dir string, passphrase []byte) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	kind, options := "PRIVATE KEY", (*pkcs8.Opts)(nil)
	if len(passphrase) > 0 {
		kind = "ENCRYPTED PRIVATE KEY"
		options = &pkcs8.Opts{Cipher: pkcs8.AES256CBC,
			KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: 600_000, HMACHash: crypto.SHA256}}
	}
	der, err := pkcs8.MarshalPrivateKey(key, passphrase, options)
	if err != nil {
		return nil, err
	}
	return key, writeFile(filepath.Join(dir, keyFile), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// loadFileKey reads the key, which any tool for PKCS #8 may have made.
func loadFileKey(dir string, passphrase []byte) (crypto.Signer, error) {
	b, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("site: %s: no PEM", keyFile)
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" && len(passphrase) == 0 {
		return nil, errors.New("site: the key has a passphrase: give it with --passphrase-file")
	}
	if block.Type != "ENCRYPTED PRIVATE KEY" {
		passphrase = nil
	}
	key, _, err := pkcs8.ParsePrivateKey(block.Bytes, passphrase)
	if err != nil {
		return nil, fmt.Errorf("site: %s: %w", keyFile, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("site: %s: key of type %T", keyFile, key)
	}
	return signer, nil
}
