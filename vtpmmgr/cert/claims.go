package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrClaims is wrapped by the errors of claims that are malformed or absent.
var ErrClaims = errors.New("cert: claims")

// MaxProfile is the size in bytes of the longest profile.
const MaxProfile = 128

// claimsVersion is that of both kinds.
const claimsVersion = 1

// VTPMClaims are what a manager claims about a vTPM when it certifies one of
// its endorsement keys.
type VTPMClaims struct {
	Migratable      bool
	UUID            [16]byte
	Manager         [16]byte
	Group           uint32
	LedgerEpoch     uint32
	Epoch           uint32
	Image           [32]byte // SHA-256 of the image that the vTPM must have; zeros for any
	SecurityVersion uint32
	Profile         string
}

// HostClaims are what a site claims about a manager when it certifies its key.
type HostClaims struct {
	Manager         [16]byte
	AK              []byte   // Name of the attestation key, by SHA-256: 34 bytes
	Image           [32]byte // SHA-256 of the manager's image; zeros if not known
	SecurityVersion uint32
}

// vtpmDER and hostDER are the ASN.1 types of docs/evidence-format.md.
type vtpmDER struct {
	Version                   int
	Virtual, Migratable       bool
	UUID, Manager             []byte
	Group, LedgerEpoch, Epoch int64
	Image                     []byte
	SecurityVersion           int64
	Profile                   string `asn1:"utf8"`
}

type hostDER struct {
	Version         int
	Manager, AK     []byte
	Image           []byte
	SecurityVersion int64
}

// Marshal returns the DER encoding.
func (c *VTPMClaims) Marshal() ([]byte, error) {
	if len(c.Profile) > MaxProfile || !utf8.ValidString(c.Profile) {
		return nil, fmt.Errorf("%w: profile of %d bytes", ErrClaims, len(c.Profile))
	}
	return asn1.Marshal(vtpmDER{claimsVersion, true, c.Migratable, c.UUID[:], c.Manager[:], int64(c.Group),
		int64(c.LedgerEpoch), int64(c.Epoch), c.Image[:], int64(c.SecurityVersion), c.Profile})
}

// ParseVTPMClaims reads the DER encoding. Every accepted input is what Marshal
// writes of the result.
func ParseVTPMClaims(b []byte) (*VTPMClaims, error) {
	var d vtpmDER
	if err := unmarshal(b, &d); err != nil {
		return nil, err
	}
	if d.Version != claimsVersion || !d.Virtual {
		return nil, fmt.Errorf("%w: version %d", ErrClaims, d.Version)
	}
	c := &VTPMClaims{Migratable: d.Migratable, Group: uint32(d.Group), LedgerEpoch: uint32(d.LedgerEpoch),
		Epoch: uint32(d.Epoch), SecurityVersion: uint32(d.SecurityVersion), Profile: d.Profile}
	copy(c.UUID[:], d.UUID)
	copy(c.Manager[:], d.Manager)
	copy(c.Image[:], d.Image)
	return c, same(b, c)
}

// Marshal returns the DER encoding.
func (c *HostClaims) Marshal() ([]byte, error) {
	if len(c.AK) != 34 || !bytes.HasPrefix(c.AK, []byte{0, 0x0B}) {
		return nil, fmt.Errorf("%w: Name of %d bytes", ErrClaims, len(c.AK))
	}
	return asn1.Marshal(hostDER{claimsVersion, c.Manager[:], c.AK, c.Image[:], int64(c.SecurityVersion)})
}

// ParseHostClaims reads the DER encoding. Every accepted input is what Marshal
// writes of the result.
func ParseHostClaims(b []byte) (*HostClaims, error) {
	var d hostDER
	if err := unmarshal(b, &d); err != nil {
		return nil, err
	}
	if d.Version != claimsVersion {
		return nil, fmt.Errorf("%w: version %d", ErrClaims, d.Version)
	}
	c := &HostClaims{AK: d.AK, SecurityVersion: uint32(d.SecurityVersion)}
	copy(c.Manager[:], d.Manager)
	copy(c.Image[:], d.Image)
	return c, same(b, c)
}

func unmarshal(b []byte, to any) error {
	rest, err := asn1.Unmarshal(b, to)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrClaims, err)
	}
	if len(rest) != 0 {
		return fmt.Errorf("%w: %d bytes left over", ErrClaims, len(rest))
	}
	return nil
}

// same returns an error unless c is written as b: a number, an array or a text
// that is out of range is not.
func same(b []byte, c interface{ Marshal() ([]byte, error) }) error {
	again, err := c.Marshal()
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return fmt.Errorf("%w: a field is out of range, or not in DER", ErrClaims)
	}
	return nil
}

// VTPMClaimsOf returns the claims of an EK certificate.
func VTPMClaimsOf(c *x509.Certificate) (*VTPMClaims, error) {
	b, err := extension(c, vtpmOID())
	if err != nil {
		return nil, err
	}
	return ParseVTPMClaims(b)
}

// HostClaimsOf returns the claims of a host certificate.
func HostClaimsOf(c *x509.Certificate) (*HostClaims, error) {
	b, err := extension(c, hostOID())
	if err != nil {
		return nil, err
	}
	return ParseHostClaims(b)
}

// extension returns the value of an extension. The parser has refused a
// certificate that has one twice.
func extension(c *x509.Certificate, id asn1.ObjectIdentifier) ([]byte, error) {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return e.Value, nil
		}
	}
	return nil, fmt.Errorf("%w: %s has none", ErrClaims, c.Subject)
}
