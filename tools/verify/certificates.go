package verify

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
)

// ParseCertificates reads certificates in PEM or, one after another, in DER. A key
// or a signature that would take long to verify is an error.
func ParseCertificates(b []byte) ([]*x509.Certificate, error) {
	certs, err := parseCertificates(b)
	if err != nil {
		return nil, err
	}
	return certs, checkCertificates(certs...)
}

func parseCertificates(b []byte) ([]*x509.Certificate, error) {
	block, rest := pem.Decode(b)
	if block == nil {
		return x509.ParseCertificates(b)
	}
	var all []*x509.Certificate
	for ; block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// readCertificates reads a file, or what are certificates among the files of a
// folder: nothing in it is trusted.
func readCertificates(name string) ([]*x509.Certificate, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		certs, err := ParseCertificates(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return certs, nil
	}
	files, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(name, f.Name()))
		if err != nil {
			continue
		}
		if certs, err := ParseCertificates(b); err == nil {
			all = append(all, certs...)
		}
	}
	return all, nil
}
