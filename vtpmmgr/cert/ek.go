package cert

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// A Model names the kind of TPM, as its properties do.
type Model struct {
	Manufacturer string // "id:" and TPM_PT_MANUFACTURER in hexadecimal
	Name         string // TPM_PT_VENDOR_STRING_1 to 4
	Version      string // "id:" and TPM_PT_FIRMWARE_VERSION_1 in hexadecimal
}

// EK certifies an endorsement key of a vTPM; public is its TPMT_PUBLIC.
// The vTPM's domain must have made the key from its endorsement seed: what
// a guest can write or load is not to be certified. The claims must name the
// manager of the issuer's certificate.
func (i *Issuer) EK(public []byte, claims *VTPMClaims, m Model, t Terms) ([]byte, error) {
	if err := i.mayClaim(claims); err != nil {
		return nil, err
	}
	p, key, err := ParsePublic(public)
	if err != nil {
		return nil, err
	}
	usage, err := ekUsage(p)
	if err != nil {
		return nil, err
	}
	c, err := t.template(fmt.Sprintf("stubtpm vTPM %x", claims.UUID))
	if err != nil {
		return nil, err
	}
	c.KeyUsage = usage
	c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{ekcOID()}
	c.ExtraExtensions, err = ekExtensions(claims, m)
	if err != nil {
		return nil, err
	}
	return i.sign(c, key)
}

// AK certifies an attestation key of a vTPM; public is its TPMT_PUBLIC.
// The vTPM's domain must have found that the key is its own; see EK for the
// rest. All attestation keys of one vTPM can be linked by their certificates.
func (i *Issuer) AK(public []byte, claims *VTPMClaims, t Terms) ([]byte, error) {
	if err := i.mayClaim(claims); err != nil {
		return nil, err
	}
	p, key, err := ParsePublic(public)
	if err != nil {
		return nil, err
	}
	if !IsAK(p) {
		return nil, fmt.Errorf("%w: a key without the attributes of an attestation key", ErrRefused)
	}
	name, err := tpm2.ObjectName(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	c, err := t.template(fmt.Sprintf("stubtpm vTPM attestation key %x", name.Buffer[2:10]))
	if err != nil {
		return nil, err
	}
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{tcgOID(8, 3)} // tcg-kp-AIKCertificate
	value, err := claims.Marshal()
	if err != nil {
		return nil, err
	}
	c.ExtraExtensions = []pkix.Extension{{Id: vtpmOID(), Value: value}}
	return i.sign(c, key)
}

// mayClaim returns an error unless the issuer is the manager that the claims
// name.
func (i *Issuer) mayClaim(claims *VTPMClaims) error {
	host, err := HostClaimsOf(i.Certificate)
	if err != nil {
		return err
	}
	if host.Manager != claims.Manager {
		return fmt.Errorf("%w: claims of manager %x, certificate of %x", ErrRefused, claims.Manager, host.Manager)
	}
	return nil
}

// IsAK reports whether a key has the attributes of an attestation key: it never
// leaves the TPM that made it, and signs nothing that looks like an attestation
// but is none.
func IsAK(p *tpm2.TPMTPublic) bool {
	a := p.ObjectAttributes
	return a.FixedTPM && a.FixedParent && a.SensitiveDataOrigin && a.Restricted && a.SignEncrypt && !a.Decrypt && !a.X509Sign
}

// ParsePublic reads a TPMT_PUBLIC of an RSA or ECC key. It accepts one encoding
// of each key only.
func ParsePublic(b []byte) (*tpm2.TPMTPublic, crypto.PublicKey, error) {
	p, err := tpm2.Unmarshal[tpm2.TPMTPublic](b)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: public area: %w", ErrRefused, err)
	}
	if !bytes.Equal(tpm2.Marshal(*p), b) {
		return nil, nil, fmt.Errorf("%w: public area: bytes left over", ErrRefused)
	}
	key, err := tpm2.Pub(*p)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: public area: %w", ErrRefused, err)
	}
	if _, err := x509.MarshalPKIXPublicKey(key); err != nil {
		return nil, nil, fmt.Errorf("%w: public area: %w", ErrRefused, err)
	}
	if r, ok := key.(*rsa.PublicKey); ok && !isSound(p, r) {
		return nil, nil, fmt.Errorf("%w: public area: no RSA key of its size with exponent 65537", ErrRefused)
	}
	return p, key, nil
}

// isSound reports whether an RSA key has the size that its parameters say, and what a key
// that a TPM made has.
func isSound(p *tpm2.TPMTPublic, key *rsa.PublicKey) bool {
	d, err := p.Parameters.RSADetail()
	return err == nil && key.N.BitLen() == int(d.KeyBits) && key.N.Bit(0) == 1 && key.E == 65537
}

// ekUsage returns the keyUsage of an endorsement key: RSA-2048, P-256 or P-384,
// with the attributes of the templates of the EK Credential Profile.
func ekUsage(p *tpm2.TPMTPublic) (x509.KeyUsage, error) {
	a := p.ObjectAttributes
	if !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin || !a.AdminWithPolicy || !a.Restricted || !a.Decrypt || a.SignEncrypt {
		return 0, fmt.Errorf("%w: a key without the attributes of an endorsement key", ErrRefused)
	}
	switch p.Type {
	case tpm2.TPMAlgRSA:
		if d, err := p.Parameters.RSADetail(); err == nil && d.KeyBits == 2048 {
			return x509.KeyUsageKeyEncipherment, nil
		}
	case tpm2.TPMAlgECC:
		if d, err := p.Parameters.ECCDetail(); err == nil && (d.CurveID == tpm2.TPMECCNistP256 || d.CurveID == tpm2.TPMECCNistP384) {
			return x509.KeyUsageKeyAgreement, nil
		}
	}
	return 0, fmt.Errorf("%w: an endorsement key is RSA-2048, P-256 or P-384", ErrRefused)
}

// Identifiers of the TCG (EK Credential Profile, annex "OIDs").
func tcgOID(n ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{2, 23, 133}, n...)
}

// IsEKUsage reports whether an extended key usage is that of an EK certificate.
func IsEKUsage(id asn1.ObjectIdentifier) bool { return id.Equal(ekcOID()) }

func ekcOID() asn1.ObjectIdentifier { return tcgOID(8, 1) } // tcg-kp-EKCertificate

func ekExtensions(claims *VTPMClaims, m Model) ([]pkix.Extension, error) {
	ours, err := claims.Marshal()
	if err != nil {
		return nil, err
	}
	san, err := altName(m)
	if err != nil {
		return nil, err
	}
	spec, err := specification()
	if err != nil {
		return nil, err
	}
	return []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: san},
		{Id: asn1.ObjectIdentifier{2, 5, 29, 9}, Value: spec},
		{Id: vtpmOID(), Value: ours},
	}, nil
}

// altName returns a subjectAltName with one directoryName, which has no
// attributes but these: verifiers refuse others.
func altName(m Model) ([]byte, error) {
	var name pkix.RDNSequence
	for i, text := range []string{m.Manufacturer, m.Name, m.Version} {
		if text == "" {
			return nil, fmt.Errorf("%w: the model has an empty field", ErrRefused)
		}
		name = append(name, pkix.RelativeDistinguishedNameSET{{
			Type:  tcgOID(2, i+1), // TPMManufacturer, TPMModel, TPMVersion
			Value: asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(text)},
		}})
	}
	der, err := asn1.Marshal(name)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: der}})
}

// specification returns subjectDirectoryAttributes with the version of the TPM
// library specification: 2.0, level 0, revision 185.
func specification() ([]byte, error) {
	type version struct {
		Family          string `asn1:"utf8"`
		Level, Revision int
	}
	type attribute struct {
		Type   asn1.ObjectIdentifier
		Values []version `asn1:"set"`
	}
	return asn1.Marshal([]attribute{{tcgOID(2, 16), []version{{"2.0", 0, 185}}}})
}
