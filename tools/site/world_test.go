package site

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpm"
	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/identity"
)

// now is the site's clock in all tests.
var now = time.Date(2030, 6, 15, 12, 0, 0, 0, time.UTC)

// A chip is this project's device as a hardware TPM.
type chip struct{ d *vtpm.Device }

func (c *chip) Save([]byte) error                   { return nil }
func (c *chip) Close() error                        { return nil }
func (c *chip) Send(command []byte) ([]byte, error) { return bytes.Clone(c.d.Execute(0, command)), nil }

func newChip(t testing.TB) *chip {
	t.Helper()
	c := new(chip)
	var err error
	if c.d, err = vtpm.Manufacture(vtpm.Config{Store: c}); err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(c); err != nil {
		t.Fatal(err)
	}
	return c
}

// A vendor makes TPMs.
type vendor struct {
	key  *ecdsa.PrivateKey
	root *x509.Certificate
}

func newVendor(t testing.TB) *vendor {
	t.Helper()
	v := new(vendor)
	var err error
	if v.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	v.root = v.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Maker of TPMs"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: now.AddDate(20, 0, 0)}, v.key.Public())
	return v
}

func (v *vendor) sign(t testing.TB, c *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	parent := v.root
	if parent == nil {
		parent = c
	}
	c.SerialNumber, c.NotBefore = big.NewInt(7), now.AddDate(-1, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key, v.key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

// ek certifies a chip's key as makers do: an empty subject, so that
// subjectAltName is critical.
func (v *vendor) ek(t testing.TB, public []byte, until time.Time) *x509.Certificate {
	t.Helper()
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](public)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tpm2.Pub(*area)
	if err != nil {
		t.Fatal(err)
	}
	name, err := asn1.Marshal(pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 23, 133, 2, 1}, Value: "id:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	san, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: name}})
	if err != nil {
		t.Fatal(err)
	}
	return v.sign(t, &x509.Certificate{BasicConstraintsValid: true, KeyUsage: x509.KeyUsageKeyAgreement, NotAfter: until,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: san}}}, key)
}

// virtual certifies a key as that of a vTPM, with v as the site of its host.
func (v *vendor) virtual(t testing.TB, public []byte) []byte {
	t.Helper()
	site := &cert.Issuer{Key: v.key}
	terms := cert.Terms{NotBefore: now, NotAfter: now.AddDate(0, 1, 0)}
	der, err := cert.Site(v.key, "Site", terms)
	if err != nil {
		t.Fatal(err)
	}
	site.Certificate = parse(t, der)
	if der, err = site.Host(v.key.Public(), &cert.HostClaims{AK: append([]byte{0, 0x0B}, make([]byte, 32)...)}, terms); err != nil {
		t.Fatal(err)
	}
	host := &cert.Issuer{Certificate: parse(t, der), Key: v.key}
	if der, err = host.EK(public, &cert.VTPMClaims{}, cert.Model{Manufacturer: "id:1", Name: "x", Version: "id:1"}, terms); err != nil {
		t.Fatal(err)
	}
	return der
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A machine is a host that wants to be admitted.
type machine struct {
	*identity.Host
	mu sync.Mutex // a Host is not safe for concurrent use
	e  *identity.Endorsement
}

func newMachine(t testing.TB, v *vendor) *machine {
	t.Helper()
	c := newChip(t)
	p, err := identity.Present(c, []uint{0, 7})
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{Host: &identity.Host{Bus: c, Policy: *p, Auth: bytes.Repeat([]byte{7}, 32)}}
	if err := m.Create(); err != nil {
		t.Fatal(err)
	}
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(c)
	if err != nil {
		t.Fatal(err)
	}
	tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(c)
	m.e = &identity.Endorsement{Template: tpm2.ECCEKTemplate, Public: r.OutPublic.Bytes()}
	m.e.Certificate = v.ek(t, m.e.Public, now.AddDate(10, 0, 0)).Raw
	return m
}

func (m *machine) request() *identity.Request {
	return m.Request([16]byte{0xA}, [32]byte{0xEE}, 3, m.e)
}

func marshal(t testing.TB, m interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answer answers a challenge in its wire form.
func (m *machine) answer(t testing.TB, request, challenge []byte) *identity.Answer {
	t.Helper()
	c, err := identity.ParseChallenge(challenge)
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Answer(request, c, m.e)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func put(t testing.TB, name string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// strict is a policy that the machine of request meets.
func strict(m *machine) *Policy {
	return &Policy{Months: 3, CRLDays: 30, ManagerImages: []string{hex.EncodeToString(append([]byte{0xEE}, make([]byte, 31)...))}, MinVersion: 3,
		PCRs: map[string][]string{"0": {}, "7": {hex.EncodeToString(m.Policy.Values[32:])}}, CRL: "http://pki.example/site.crl"}
}

// newSite makes a site that admits machines like m by a maker.
func newSite(t testing.TB, m *machine, v *vendor) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "site")
	key := func(dir string) (crypto.Signer, error) { return newFileKey(dir, nil) }
	if err := Init(dir, "Example site", 20, key, now); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, vendorsDir, "maker.pem"), pemOf(v.root.Raw))
	b, err := json.Marshal(strict(m))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, policyFile), b)
	return dir
}

// at opens a site at a time, calls f and closes it.
func at(t testing.TB, dir string, when time.Time, f func(s *Site)) {
	t.Helper()
	s, err := Open(dir, func(dir string) (crypto.Signer, error) { return loadFileKey(dir, nil) }, when)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f(s)
}

var _ transport.TPMCloser = (*chip)(nil)
