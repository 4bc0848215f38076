package verify

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"stubtpm/vtpmmgr/cert"
)

// A host is a manager whose certificate leads to a root of the policy.
type host struct {
	chain  []*x509.Certificate // the host's own first, the root last
	claims *cert.HostClaims
	root   string    // subject of the root
	alone  bool      // it is its own root
	until  time.Time // when the first certificate of the chain ends
}

// A vtpm is a vTPM of which a host certified an endorsement key.
type vtpm struct {
	host   *host
	ek     *x509.Certificate
	claims *cert.VTPMClaims
	until  time.Time
}

func verifyHost(der []byte, lists []*x509.RevocationList, now time.Time, p *Policy) (*host, error) {
	certs, err := x509.ParseCertificates(der)
	if err != nil || len(certs) == 0 {
		return nil, refuse(Malformed, "chain: %v", err)
	}
	if err := checkCertificates(certs...); err != nil {
		return nil, refuse(Malformed, "chain: %v", err)
	}
	return verifyHostCertificate(certs[0], certs[1:], lists, now, p)
}

// verifyHostCertificate appraises the certificate of a host; between may have its
// issuers.
func verifyHostCertificate(c *x509.Certificate, between []*x509.Certificate, lists []*x509.RevocationList, now time.Time, p *Policy) (*host, error) {
	chain, err := verifyChain(c, between, p.roots, now)
	if err != nil {
		return nil, err
	}
	if err := checkIssuers(chain); err != nil {
		return nil, err
	}
	h := &host{chain: chain, root: chain[len(chain)-1].Subject.String(), alone: len(chain) == 1, until: earliest(chain)}
	if h.alone && !p.AllowNoSite {
		return nil, refuse(NoSite, "%s is its own root", h.root)
	}
	for i, c := range chain[:len(chain)-1] {
		if err := checkRevocation(c, chain[i+1], lists, now, p); err != nil {
			return nil, err
		}
	}
	if h.claims, err = cert.HostClaimsOf(h.chain[0]); err != nil {
		return nil, refuse(HostClaims, "%v", err)
	}
	return h, h.check(p)
}

// checkIssuers refuses a chain to which an EK certificate cannot be added:
// x509.Certificate.Verify took the host's certificate for the end of the chain.
// A host vouches for vTPMs only, even if its certificate does not limit the
// length of paths, as that of another CA may not.
func checkIssuers(chain []*x509.Certificate) error {
	for i, c := range chain {
		if !c.IsCA {
			return refuse(HostClaims, "%s is not a CA", c.Subject)
		}
		if limit := c.MaxPathLen; limit >= 0 && i > limit {
			return refuse(Untrusted, "%s may have %d CAs below it, and has %d", c.Subject, limit, i)
		}
		if _, err := cert.HostClaimsOf(c); i > 0 && err == nil {
			return refuse(Untrusted, "%s is a host, and vouches for another", c.Subject)
		}
	}
	return nil
}

// check appraises the manager by its certificate.
func (h *host) check(p *Policy) error {
	c := h.claims
	switch {
	case !allowed(p.Managers, c.Manager[:]):
		return refuse(Manager, "manager %x", c.Manager)
	case !allowed(p.ManagerImages, c.Image[:]):
		return refuse(ManagerImage, "image %x when the host was admitted", c.Image)
	case c.SecurityVersion < p.ManagerMinVersion:
		return refuse(ManagerVersion, "version %d when the host was admitted, the policy wants %d", c.SecurityVersion, p.ManagerMinVersion)
	}
	return nil
}

// verifyVTPM appraises an EK certificate.
func (h *host) verifyVTPM(der []byte, lists []*x509.RevocationList, now time.Time, p *Policy) (*vtpm, error) {
	ek, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, refuse(Malformed, "EK certificate: %v", err)
	}
	if err := checkCertificates(ek); err != nil {
		return nil, refuse(Malformed, "EK %v", err)
	}
	if err := ek.CheckSignatureFrom(h.chain[0]); err != nil {
		return nil, refuse(EKCertificate, "%v", err)
	}
	if ek.IsCA || ek.KeyUsage&(x509.KeyUsageKeyEncipherment|x509.KeyUsageKeyAgreement) == 0 || !slices.ContainsFunc(ek.UnknownExtKeyUsage, cert.IsEKUsage) {
		return nil, refuse(EKCertificate, "%s is not that of an endorsement key", ek.Subject)
	}
	if now.Before(ek.NotBefore) || now.After(ek.NotAfter) {
		return nil, refuse(NotValidNow, "%s: valid from %s to %s", ek.Subject, ek.NotBefore.UTC(), ek.NotAfter.UTC())
	}
	if err := checkRevocation(ek, h.chain[0], lists, now, p); err != nil {
		return nil, err
	}
	v := &vtpm{host: h, ek: ek, until: earliest([]*x509.Certificate{ek, {NotAfter: h.until}})}
	if v.claims, err = cert.VTPMClaimsOf(ek); err != nil {
		return nil, refuse(EKClaims, "%v", err)
	}
	if v.claims.Manager != h.claims.Manager {
		return nil, refuse(EKManager, "manager %x, but the host is %x", v.claims.Manager, h.claims.Manager)
	}
	return v, nil
}

// verifyChain returns the one chain from a certificate to one of the roots.
func verifyChain(c *x509.Certificate, between, roots []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, r := range roots {
		o.Roots.AddCert(r)
	}
	for _, b := range between {
		o.Intermediates.AddCert(b)
	}
	chains, err := c.Verify(o)
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return nil, refuse(NotValidNow, "%s: %v", invalid.Cert.Subject, err)
	}
	if err != nil {
		return nil, refuse(Untrusted, "%v", err)
	}
	return chains[0], nil
}

func earliest(certs []*x509.Certificate) time.Time {
	return slices.MinFunc(certs, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}

// maxLists is the largest number of revocation lists, those of the policy included.
const maxLists = 256

// revocationLists reads the lists that came with the evidence and those of the
// policy. Their signatures are checked where they are used.
func revocationLists(der []byte, p *Policy) ([]*x509.RevocationList, error) {
	lists := slices.Clone(p.crls)
	for len(der) > 0 {
		var one asn1.RawValue
		rest, err := asn1.Unmarshal(der, &one)
		if err != nil {
			return nil, refuse(Malformed, "revocation lists: %v", err)
		}
		if len(lists) == maxLists {
			return nil, refuse(Malformed, "revocation lists: more than %d", maxLists)
		}
		l, err := x509.ParseRevocationList(one.FullBytes)
		if err != nil {
			return nil, refuse(Malformed, "revocation lists: %v", err)
		}
		lists, der = append(lists, l), rest
	}
	return lists, nil
}

// checkRevocation looks for a certificate in the lists of its issuer. An expired
// list still revokes, but is not a current one.
func checkRevocation(c, issuer *x509.Certificate, lists []*x509.RevocationList, now time.Time, p *Policy) error {
	current := false
	for _, l := range lists {
		if !bytes.Equal(l.RawIssuer, issuer.RawSubject) || l.CheckSignatureFrom(issuer) != nil {
			continue
		}
		for _, e := range l.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(c.SerialNumber) == 0 {
				return refuse(Revoked, "%s, serial number %x, on %s", c.Subject, c.SerialNumber, e.RevocationTime.UTC())
			}
		}
		current = current || isWhole(l) && !now.Before(l.ThisUpdate) && !now.After(l.NextUpdate)
	}
	if p.RequireCRLs && !current {
		return refuse(NoRevocation, "none of %s", issuer.Subject)
	}
	return nil
}

// isWhole reports whether a revocation list has all that its issuer revoked: not a delta,
// and not one of what a critical extension says, which may be a part (RFC 5280, section
// 5.2).
func isWhole(l *x509.RevocationList) bool {
	delta := asn1.ObjectIdentifier{2, 5, 29, 27}
	return !slices.ContainsFunc(l.Extensions, func(e pkix.Extension) bool { return e.Critical || e.Id.Equal(delta) })
}

// allowed reports whether list is empty or has b in hexadecimal.
func allowed(list []string, b []byte) bool {
	return len(list) == 0 || slices.Contains(list, hex.EncodeToString(b))
}
