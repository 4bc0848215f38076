package verify

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"

	"stubtpm/vtpmmgr/cert"
)

// HardwareEK returns the chain from the certificate of a hardware TPM's endorsement
// key to a maker of TPMs. An error is a *Refusal.
func HardwareEK(c *x509.Certificate, between, makers []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	if err := checkCertificates(append(between[:len(between):len(between)], c)...); err != nil {
		return nil, refuse(Malformed, "%v", err)
	}
	if c.IsCA {
		return nil, refuse(EKCertificate, "it is that of a CA")
	}
	if _, err := cert.VTPMClaimsOf(c); err == nil {
		return nil, refuse(Virtual, "it is that of a virtual TPM")
	}
	// Old certificates have no extended key usage.
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !slices.ContainsFunc(c.UnknownExtKeyUsage, cert.IsEKUsage) {
		return nil, refuse(EKCertificate, "it is for another use")
	}
	// subjectAltName is critical where the subject is empty (RFC 5280, section
	// 4.2.1.6). It names the TPM's model, which nothing here depends on, in a form
	// that crypto/x509 does not know.
	own := *c
	own.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(c.UnhandledCriticalExtensions), asn1.ObjectIdentifier{2, 5, 29, 17}.Equal)
	chain, err := verifyChain(&own, between, makers, now)
	if err != nil {
		return nil, err
	}
	for _, above := range chain[1:] {
		if _, err := cert.HostClaimsOf(above); err == nil {
			return nil, refuse(EKClaims, "%s is a host of vTPMs, and no maker of TPMs", above.Subject)
		}
	}
	return chain, nil
}
