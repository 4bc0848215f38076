package site

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"stubtpm/tools/verify"
	"stubtpm/vtpmmgr/cert"
)

// vendorRoots reads the certificates of makers of TPMs.
func vendorRoots(dir string) ([]*x509.Certificate, error) {
	entries, err := os.ReadDir(filepath.Join(dir, vendorsDir))
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, vendorsDir, e.Name()))
		if err != nil {
			return nil, err
		}
		certs, err := verify.ParseCertificates(b)
		if err != nil {
			return nil, fmt.Errorf("site: %s: %w", filepath.Join(vendorsDir, e.Name()), err)
		}
		all = append(all, certs...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: folder %s has no certificate of a maker of TPMs", ErrRefused, vendorsDir)
	}
	return all, nil
}

// parseOne reads the certificate in a file that must hold no other.
func parseOne(b []byte) (*x509.Certificate, error) {
	certs, err := verify.ParseCertificates(b)
	if err != nil {
		return nil, err
	}
	if len(certs) != 1 {
		return nil, fmt.Errorf("%d certificates, not one", len(certs))
	}
	return certs[0], nil
}

// checkEK returns an error unless der is a certificate, by a maker of TPMs, of an
// endorsement key with this TPMT_PUBLIC.
func checkEK(der, chain, public []byte, roots []*x509.Certificate, now time.Time) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: EK certificate: %w", ErrRefused, err)
	}
	between, err := x509.ParseCertificates(chain)
	if err != nil {
		return nil, fmt.Errorf("%w: chain of the EK certificate: %w", ErrRefused, err)
	}
	p, key, err := cert.ParsePublic(public)
	if err != nil {
		return nil, fmt.Errorf("%w: endorsement key: %w", ErrRefused, err)
	}
	a, own := p.ObjectAttributes, x509Key(key)
	switch {
	case !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin || !a.Restricted || !a.Decrypt || a.SignEncrypt:
		return nil, fmt.Errorf("%w: the endorsement key has not the attributes of one", ErrRefused)
	case own == nil || !bytes.Equal(own, c.RawSubjectPublicKeyInfo):
		return nil, fmt.Errorf("%w: the EK certificate is of another key", ErrRefused)
	}
	if _, err := verify.HardwareEK(c, between, roots, now); err != nil {
		return nil, fmt.Errorf("%w: EK certificate: %w", ErrRefused, err)
	}
	return c, nil
}

// x509Key returns a key's SubjectPublicKeyInfo.
func x509Key(key any) []byte {
	b, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil
	}
	return b
}
