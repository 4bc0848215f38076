// Package cert makes and reads the X.509 certificates of a site, of its hosts
// and of the endorsement keys of their vTPMs.
//
// docs/evidence-format.md, "Certificates", has the profile. That of endorsement
// keys follows the TCG EK Credential Profile for TPM Family 2.0, version 2.6, as
// far as verifiers in the field check it. What is particular to a vTPM is in
// extensions that are not critical, so that those verifiers accept it.
package cert

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// ErrRefused is wrapped by the errors of what must not be certified.
var ErrRefused = errors.New("cert: refused")

// An Issuer certifies. Its certificate must be that of its key.
type Issuer struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// Terms are for how long a certificate is valid and where its revocation is
// told.
type Terms struct {
	NotBefore, NotAfter time.Time

	// Serial is the serial number, of 16 bytes; nil for a random one.
	Serial []byte

	// CRL is the URL of the issuer's certificate revocation list, if it has one.
	CRL string
}

// template returns what all certificates have in common.
func (t *Terms) template(name string) (*x509.Certificate, error) {
	if !t.NotAfter.After(t.NotBefore) {
		return nil, fmt.Errorf("%w: it would end before it begins", ErrRefused)
	}
	serial := t.Serial
	if serial == nil {
		serial = make([]byte, 16)
		rand.Read(serial)
		serial[0] = serial[0]&0x7F | 0x40 // positive, and always of 16 bytes
	}
	c := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    t.NotBefore, NotAfter: t.NotAfter,
		BasicConstraintsValid: true,
	}
	if t.CRL != "" {
		c.CRLDistributionPoints = []string{t.CRL}
	}
	return c, nil
}

// Site makes the certificate of a site's key, signed by itself.
func Site(key crypto.Signer, name string, t Terms) ([]byte, error) {
	c, err := t.template(name)
	if err != nil {
		return nil, err
	}
	c.IsCA, c.MaxPathLen = true, 1
	c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if c.SubjectKeyId, err = keyID(key.Public()); err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
}

// Host certifies a manager's certification key. An Issuer whose key is that key,
// and whose certificate is nil, makes a host its own root.
func (i *Issuer) Host(key crypto.PublicKey, claims *HostClaims, t Terms) ([]byte, error) {
	c, err := t.template(fmt.Sprintf("stubtpm manager %x", claims.Manager))
	if err != nil {
		return nil, err
	}
	c.IsCA, c.MaxPathLenZero = true, true
	c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	value, err := claims.Marshal()
	if err != nil {
		return nil, err
	}
	c.ExtraExtensions = []pkix.Extension{{Id: hostOID(), Value: value}}
	if i.Certificate == nil {
		if c.SubjectKeyId, err = keyID(key); err != nil {
			return nil, err
		}
		return x509.CreateCertificate(rand.Reader, c, c, key, i.Key)
	}
	return i.sign(c, key)
}

// HostRequest makes a certificate signing request (PKCS #10) for another CA to
// do what Host does.
func HostRequest(key crypto.Signer, claims *HostClaims) ([]byte, error) {
	value, err := claims.Marshal()
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: fmt.Sprintf("stubtpm manager %x", claims.Manager)},
		ExtraExtensions: []pkix.Extension{{Id: hostOID(), Value: value}},
	}, key)
}

// sign makes a certificate of key below the issuer's.
func (i *Issuer) sign(c *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	switch parent := i.Certificate; {
	case !parent.IsCA || parent.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, fmt.Errorf("%w: %s is not a CA", ErrRefused, parent.Subject)
	case len(parent.SubjectKeyId) == 0:
		return nil, fmt.Errorf("%w: %s has no subjectKeyIdentifier", ErrRefused, parent.Subject)
	case c.NotAfter.After(parent.NotAfter):
		return nil, fmt.Errorf("%w: it would outlive its issuer, which ends on %s", ErrRefused, parent.NotAfter.UTC().Format(time.DateOnly))
	}
	var err error
	if c.SubjectKeyId, err = keyID(key); err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, c, i.Certificate, key, i.Key)
}

// A Revocation is one certificate that is no longer valid.
type Revocation struct {
	Serial *big.Int
	Time   time.Time
	Reason int // RFC 5280, section 5.3.1
}

// CRL makes the issuer's revocation list. Each list must have a higher number
// than the one before it.
func (i *Issuer) CRL(number uint64, revoked []Revocation, t Terms) ([]byte, error) {
	list := &x509.RevocationList{Number: new(big.Int).SetUint64(number), ThisUpdate: t.NotBefore, NextUpdate: t.NotAfter}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: r.Serial, RevocationTime: r.Time, ReasonCode: r.Reason})
	}
	return x509.CreateRevocationList(rand.Reader, list, i.Certificate, i.Key)
}

// PublicKeyInfo returns the SubjectPublicKeyInfo of a key in DER, as it stands in a
// certificate.
func PublicKeyInfo(key crypto.PublicKey) ([]byte, error) { return x509.MarshalPKIXPublicKey(key) }

// KeyHash returns the SHA-256 hash of a key's SubjectPublicKeyInfo.
func KeyHash(key crypto.PublicKey) (h [32]byte, err error) {
	der, err := PublicKeyInfo(key)
	return sha256.Sum256(der), err
}

// keyID returns a subjectKeyIdentifier (RFC 7093, section 2, method 4).
func keyID(key crypto.PublicKey) ([]byte, error) {
	h, err := KeyHash(key)
	return h[:20], err
}

// arc returns an identifier below the arc of this project. It is made from the
// UUID cd9ebdab-13a5-4450-8664-21a16a5ca434 below the arc that Microsoft set
// aside for that. The arc 2.25 of X.667 is of no use: it has the UUID as one
// number, and crypto/x509 reads none of more than 31 bits.
func arc(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113556, 1, 8000, 2554, 0xcd9e, 0xbdab, 0x13a5, 0x4450, 0x8664, 0x21a16a, 0x5ca434, n}
}

func vtpmOID() asn1.ObjectIdentifier { return arc(1) }
func hostOID() asn1.ObjectIdentifier { return arc(2) }
