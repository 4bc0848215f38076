package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"stubtpm/vtpmmgr/escrow"
)

// writeNew writes a file that must not be there, for its owner's eyes only.
func writeNew(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func keygen(m *mgrRun) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := writeNew(m.args[0], pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return err
	}
	return m.print(map[string]any{"public": hex.EncodeToString(public), "word": "admin=" + hex.EncodeToString(public)}, func() {
		fmt.Fprintf(m.out, "admin=%x\n", public)
	})
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

// adminKey reads the key that signs orders. Without -key, there need be none:
// what needs no signature goes on.
func (m *mgrRun) adminKey() (ed25519.PrivateKey, error) {
	k, err := readPEM(m.o.key)
	if errors.Is(err, os.ErrNotExist) && m.o.key == defaultKey {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an Ed25519 key", m.o.key)
	}
	return key, nil
}

// hex32 reads 32 bytes in hexadecimal.
func hex32(what, s string) (out [32]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(out) {
		return out, fmt.Errorf("%w: %s: %q is not 32 bytes in hexadecimal", errUsage, what, s)
	}
	return [32]byte(b), nil
}

// publicKey reads an Ed25519 key: hexadecimal, or a file of keygen's.
func publicKey(what, s string) (out [32]byte, err error) {
	if s == "" {
		return out, nil
	}
	if len(s) == 64 {
		return hex32(what, s)
	}
	k, err := readPEM(s)
	if err != nil {
		return out, err
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return out, fmt.Errorf("%s is not an Ed25519 key", s)
	}
	return [32]byte(key.Public().(ed25519.PublicKey)), nil
}

// An escrow key's file has one line, its 32 private bytes in hexadecimal.
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
	return m.print(map[string]any{"public": hex.EncodeToString(k.Public())}, func() { fmt.Fprintf(m.out, "%x\n", k.Public()) })
}

// operatorKey reads the operator's key.
func (m *mgrRun) operatorKey() (*ecdsa.PrivateKey, error) {
	if m.o.operatorKey == "" {
		return nil, fmt.Errorf("%w: -operator-key is missing", errUsage)
	}
	k, err := readPEM(m.o.operatorKey)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not a key of P-256", m.o.operatorKey)
	}
	return key, nil
}
