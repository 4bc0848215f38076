package vtpmmgr

import (
	"crypto/x509"
	"fmt"
	"time"
)

// identitySoon is the time before the end of the host's certificate in which STATUS says
// that it must be renewed.
const identitySoon = 30 * 24 * time.Hour

// identityStatus appends the lines of STATUS about the host's identity. m.mu is held.
func (m *Manager) identityStatus(b []byte, now time.Time) []byte {
	b = fmt.Appendf(b, "identity %s\n", m.identityState(now))
	return fmt.Appendf(b, "certified %d\nrevoked %d\n", len(m.certified), len(m.revoked.list))
}

func (m *Manager) identityState(now time.Time) string {
	if m.noIdentity != nil {
		return "degraded: " + oneLine(m.noIdentity)
	}
	if m.identity == nil {
		return "none"
	}
	if m.unusable != nil {
		return "degraded: " + oneLine(m.unusable) + "; make new keys with identity request"
	}
	if m.notRevoked != nil {
		return "degraded: a part of the revocation list: " + oneLine(m.notRevoked)
	}
	c, err := x509.ParseCertificate(m.identity.certificate)
	if err != nil {
		return "degraded: " + oneLine(err)
	}
	is := "its own root"
	if len(m.identity.chain) != 0 {
		is = "certified by " + oneLine(fmt.Errorf("%s", c.Issuer.CommonName))
	}
	is += ", serial " + c.SerialNumber.Text(16) + ", until " + c.NotAfter.UTC().Format(time.DateOnly)
	switch {
	case now.Before(c.NotBefore):
		return "degraded: the clock says " + now.UTC().Format(time.DateOnly) + ", before the certificate begins: " + is
	case now.After(c.NotAfter):
		return "degraded: the certificate has ended: " + is
	case now.Add(identitySoon).After(c.NotAfter):
		return "degraded: the certificate ends soon, renew it: " + is
	}
	return is
}
