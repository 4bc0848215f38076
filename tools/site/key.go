package site

import (
	"crypto"
	"fmt"
	"os"
	"path/filepath"

	"stubtpm/tools/keyfile"
)

// newFileKey writes a new key of P-256 to the folder, encrypted if there is a
// passphrase.
func newFileKey(dir string, passphrase []byte) (crypto.Signer, error) {
	key, file, err := keyfile.New(passphrase)
	if err != nil {
		return nil, err
	}
	return key, writeFile(filepath.Join(dir, keyFile), file)
}

// loadFileKey reads the key.
func loadFileKey(dir string, passphrase []byte) (crypto.Signer, error) {
	b, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	key, err := keyfile.Parse(b, passphrase)
	if err != nil {
		return nil, fmt.Errorf("site: %s: %w", keyFile, err)
	}
	return key, nil
}
