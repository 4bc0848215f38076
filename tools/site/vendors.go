package site

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

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
		certs, err := parseCertificates(b)
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

// parseCertificates reads certificates in PEM or, one after another, in DER.
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

// parseOne reads the certificate in a file that must hold no other.
func parseOne(b []byte) (*x509.Certificate, error) {
	certs, err := parseCertificates(b)
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
	case c.IsCA:
		return nil, fmt.Errorf("%w: the EK certificate is that of a CA", ErrRefused)
	}
	if _, err := cert.VTPMClaimsOf(c); err == nil {
		return nil, fmt.Errorf("%w: the EK certificate is that of a virtual TPM", ErrRefused)
	}
	// Old certificates have no extended key usage.
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !slices.ContainsFunc(c.UnknownExtKeyUsage, cert.IsEKUsage) {
		return nil, fmt.Errorf("%w: the EK certificate is for another use", ErrRefused)
	}
	return c, verifyEK(c, between, roots, now)
}

// x509Key returns a key's SubjectPublicKeyInfo.
func x509Key(key any) []byte {
	b, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil
	}
	return b
}

func verifyEK(c *x509.Certificate, between, roots []*x509.Certificate, now time.Time) error {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, r := range roots {
		o.Roots.AddCert(r)
	}
	for _, b := range between {
		o.Intermediates.AddCert(b)
	}
	// subjectAltName is critical where the subject is empty (RFC 5280, section
	// 4.2.1.6). It names the TPM's model, which nothing here depends on, in a form
	// that crypto/x509 does not know.
	san := asn1.ObjectIdentifier{2, 5, 29, 17}
	c.UnhandledCriticalExtensions = slices.DeleteFunc(c.UnhandledCriticalExtensions, san.Equal)
	if _, err := c.Verify(o); err != nil {
		return fmt.Errorf("%w: EK certificate: %w", ErrRefused, err)
	}
	return nil
}
