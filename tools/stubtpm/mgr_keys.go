package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"stubtpm/vtpmmgr/escrow"
)

// writeNew writes a new file that only its owner can read. It fails if the file exists.
func writeNew(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func keygen(m *mgrRun) error {
	var private any
	var public []byte
	switch m.o.purpose {
	case "admin", "host", "approver":
		pub, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		private, public = priv, pub
	case "operator":
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		private = k
		if public, err = k.PublicKey.Bytes(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: --for %s: want admin, host, approver or operator", errUsage, m.o.purpose)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := writeNew(m.args[0], pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return err
	}
	view := keyView{Public: hex.EncodeToString(public)}
	line := view.Public
	if m.o.purpose != "approver" {
		view.Word = m.o.purpose + "=" + view.Public
		line = view.Word
	}
	return m.print(view, func() { fmt.Fprintln(m.out, line) })
}

// A keyView is a new key in JSON.
type keyView struct {
	Public string `json:"public"`
	Word   string `json:"word,omitempty"` // parameter of the manager's command line
}

// readPEM returns the private key of a PEM file.
func readPEM(name string) (any, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s is not a PEM file", name)
	}
	if block.Type == "EC PRIVATE KEY" {
		return x509.ParseECPrivateKey(block.Bytes)
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}

// adminKey returns the key that signs orders. Without --key it may be missing, for orders
// that need no signature.
func (m *mgrRun) adminKey() (ed25519.PrivateKey, error) {
	k, err := readSigner(m.o.key)
	if errors.Is(err, os.ErrNotExist) && m.o.key == defaultKey {
		return nil, nil
	}
	return k, err
}

// mustKey is adminKey for orders that need a key.
func (m *mgrRun) mustKey() (ed25519.PrivateKey, error) {
	k, err := m.adminKey()
	if err == nil && k == nil {
		err = fmt.Errorf("%s: %w; make one with keygen", m.o.key, os.ErrNotExist)
	}
	return k, err
}

// readSigner reads an Ed25519 private key.
func readSigner(name string) (ed25519.PrivateKey, error) {
	k, err := readPEM(name)
	if err != nil {
		return nil, err
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an Ed25519 key", name)
	}
	return key, nil
}

// hex32 decodes 32 bytes in hexadecimal.
func hex32(what, s string) (out [32]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(out) {
		return out, fmt.Errorf("%w: %s: %q is not 32 bytes in hexadecimal", errUsage, what, s)
	}
	return [32]byte(b), nil
}

// publicKey returns an Ed25519 public key, given as hexadecimal or as a file of keygen;
// zeros for "none".
func publicKey(what, s string) (out [32]byte, err error) {
	if s == "" || s == "none" {
		return out, nil
	}
	if len(s) == 64 {
		if k, err := hex32(what, s); err == nil {
			return k, nil
		}
	}
	key, err := readSigner(s)
	if err != nil {
		return out, fmt.Errorf("%s: %w", what, err)
	}
	return [32]byte(key.Public().(ed25519.PublicKey)), nil
}

// readEscrow reads an escrow key's file: one line, the 32 bytes of the private key in
// hexadecimal.
func readEscrow(name string) (escrow.Private, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return escrow.Private{}, err
	}
	k, err := hex32(name, string(bytes.TrimSpace(b)))
	if err != nil {
		return escrow.Private{}, err
	}
	return escrow.Parse(k[:])
}

func escrowKeygen(m *mgrRun) error {
	k, err := escrow.Generate()
	if err != nil {
		return err
	}
	b, err := k.Bytes()
	if err != nil {
		return err
	}
	if err := writeNew(m.args[0], []byte(hex.EncodeToString(b)+"\n")); err != nil {
		return err
	}
	return m.print(keyView{Public: hex.EncodeToString(k.Public())}, func() { fmt.Fprintf(m.out, "%x\n", k.Public()) })
}

// readOperator reads an operator's private key.
func readOperator(name string) (*ecdsa.PrivateKey, error) {
	k, err := readPEM(name)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s is not a P-256 key", name)
	}
	return key, nil
}
