package verify

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"

	"github.com/google/go-tpm/tpm2"
)

// keylimeEndorsement reads the variables with which Keylime's tenant runs its
// ek_check_script: EK_CERT, the certificate in DER and base64, or nothing; EK, the
// key in PEM; EK_TPM, its TPM2B_PUBLIC in base64, from which Keylime made EK and to
// which the registrar encrypted its challenge.
func keylimeEndorsement(getenv func(string) string) (*Endorsement, error) {
	if getenv("EK_CERT") == "" {
		return nil, refuse(Incomplete, "EK_CERT: the agent has no EK certificate")
	}
	der, err := base64.StdEncoding.DecodeString(getenv("EK_CERT"))
	if err != nil {
		return nil, refuse(Malformed, "EK_CERT: %v", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, refuse(Malformed, "EK_CERT: %v", err)
	}
	key, err := publicKey([]byte(getenv("EK")))
	if err != nil {
		return nil, refuse(Malformed, "EK: %v", err)
	}
	inTPM, err := tpmKey(getenv("EK_TPM"))
	if err != nil {
		return nil, refuse(Malformed, "EK_TPM: %v", err)
	}
	return &Endorsement{Certificate: c, Keys: []crypto.PublicKey{key, inTPM}}, nil
}

// publicKey reads a SubjectPublicKeyInfo in PEM.
func publicKey(b []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// tpmKey reads a TPM2B_PUBLIC in base64.
func tpmKey(s string) (crypto.PublicKey, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, err
	}
	p, err := tpm2.Unmarshal[tpm2.TPM2BPublic](b)
	if err != nil {
		return nil, err
	}
	public, err := p.Contents()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(tpm2.Marshal(tpm2.New2B(*public)), b) {
		return nil, errors.New("bytes after the public area")
	}
	return tpm2.Pub(*public)
}
