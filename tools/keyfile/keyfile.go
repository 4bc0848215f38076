// Package keyfile makes and reads files with a private key: PKCS #8 in PEM.
package keyfile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/youmark/pkcs8"
)

// ErrPassphrase means that a key has a passphrase, and none was given.
var ErrPassphrase = errors.New("the key has a passphrase: give it with --passphrase-file")

const encrypted = "ENCRYPTED PRIVATE KEY"

// Passphrase returns the contents of a file without the end of the line, and
// nothing if name is empty. An empty file is an error.
func Passphrase(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	b, err := os.ReadFile(name)
	if b = bytes.TrimRight(b, "\r\n"); err == nil && len(b) == 0 {
		err = fmt.Errorf("%s is empty", name)
	}
	return b, err
}

// New makes a key of P-256, and returns it also as a file, which is encrypted if
// there is a passphrase (RFC 8018, PBES2 with PBKDF2 and AES-256).
func New(passphrase []byte) (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	kind, options := "PRIVATE KEY", (*pkcs8.Opts)(nil)
	if len(passphrase) > 0 {
		kind = encrypted
		options = &pkcs8.Opts{Cipher: pkcs8.AES256CBC,
			KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: 600_000, HMACHash: crypto.SHA256}}
	}
	der, err := pkcs8.MarshalPrivateKey(key, passphrase, options)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), nil
}

// Parse reads a key, which any tool for PKCS #8 may have made.
func Parse(b, passphrase []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	if block.Type != encrypted {
		passphrase = nil
	} else if len(passphrase) == 0 {
		return nil, ErrPassphrase
	}
	key, _, err := pkcs8.ParsePrivateKey(block.Bytes, passphrase)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key of type %T", key)
	}
	return signer, nil
}
