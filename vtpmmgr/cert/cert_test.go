package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm"
)

// A device is this project's TPM in process.
type device struct{ d *vtpm.Device }

func (v *device) Save([]byte) error { return nil }

func (v *device) Send(command []byte) ([]byte, error) {
	return bytes.Clone(v.d.Execute(0, command)), nil
}

// p384 is the template of an EK of P-384 (EK Credential Profile, template H-3).
func p384() tpm2.TPMTPublic {
	t := tpm2.ECCEKTemplate
	t.NameAlg = tpm2.TPMAlgSHA384
	t.ObjectAttributes.UserWithAuth = true
	t.AuthPolicy = tpm2.TPM2BDigest{Buffer: make([]byte, 48)}
	t.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgAES,
			KeyBits: tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(256)), Mode: tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB)},
		CurveID: tpm2.TPMECCNistP384,
	})
	t.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	return t
}

// endorsementKeys returns the public areas that a vTPM makes of the templates.
func endorsementKeys(t testing.TB, templates map[string]tpm2.TPMTPublic) map[string][]byte {
	t.Helper()
	v := new(device)
	var err error
	if v.d, err = vtpm.Manufacture(vtpm.Config{Store: v}); err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(v); err != nil {
		t.Fatal(err)
	}
	keys := map[string][]byte{}
	for name, template := range templates {
		r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template)}.Execute(v)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		keys[name] = r.OutPublic.Bytes()
		if _, err := (tpm2.FlushContext{FlushHandle: r.ObjectHandle}).Execute(v); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

func signer(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func parsed(t testing.TB, der []byte, err error) *x509.Certificate {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// begin is one moment for all certificates of a test: none outlives its issuer.
var begin = time.Now().Add(-time.Minute).Truncate(time.Second)

func terms(days int) Terms {
	return Terms{NotBefore: begin, NotAfter: begin.AddDate(0, 0, days), CRL: "http://crl.example/site.crl"}
}

func testClaims() *VTPMClaims {
	return &VTPMClaims{Migratable: true, UUID: [16]byte{1}, Manager: [16]byte{2}, Group: 3, LedgerEpoch: 1<<32 - 1, Epoch: 5,
		Image: [32]byte{6}, SecurityVersion: 7, Profile: "pc-client"}
}

func testHost() *HostClaims {
	return &HostClaims{Manager: [16]byte{2}, AK: append([]byte{0, 11}, make([]byte, 32)...), Image: [32]byte{8}, SecurityVersion: 9}
}

var testModel = Model{Manufacturer: "id:53545542", Name: "stubtpm", Version: "id:00010000"}

// chain makes a site and a host.
func chain(t testing.TB) (site, host *Issuer) {
	t.Helper()
	site, host = &Issuer{Key: signer(t)}, &Issuer{Key: signer(t)}
	der, err := Site(site.Key, "Example site", terms(365))
	site.Certificate = parsed(t, der, err)
	der, err = site.Host(host.Key.Public(), testHost(), terms(90))
	host.Certificate = parsed(t, der, err)
	return site, host
}

// TestEK certifies what a vTPM makes of each template. Go's verifier and
// openssl, which know nothing of vTPMs, must accept the chain, and our claims
// must come back.
func TestEK(t *testing.T) {
	t.Parallel()
	site, host := chain(t)
	keys := endorsementKeys(t, map[string]tpm2.TPMTPublic{"RSA-2048": tpm2.RSAEKTemplate, "P-256": tpm2.ECCEKTemplate, "P-384": p384()})
	for name, public := range keys {
		der, err := host.EK(public, testClaims(), testModel, terms(30))
		ek := parsed(t, der, err)
		if _, key, err := ParsePublic(public); err != nil || !key.(interface{ Equal(crypto.PublicKey) bool }).Equal(ek.PublicKey) {
			t.Errorf("%s: the certificate has another key, %v", name, err)
		}
		if got, err := VTPMClaimsOf(ek); err != nil || *got != *testClaims() {
			t.Errorf("%s: claims %+v, %v", name, got, err)
		}
		if len(ek.UnhandledCriticalExtensions) != 0 {
			t.Errorf("%s: critical extensions that Go does not know: %v", name, ek.UnhandledCriticalExtensions)
		}
		roots, between := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(site.Certificate)
		between.AddCert(host.Certificate)
		if _, err := ek.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := openssl(t, site.Certificate, host.Certificate, ek); err != nil {
			t.Errorf("%s: openssl verify: %v", name, err)
		}
	}
	if got, err := HostClaimsOf(host.Certificate); err != nil || !bytes.Equal(got.AK, testHost().AK) || got.Manager != testHost().Manager {
		t.Errorf("host claims %+v, %v", got, err)
	}
}

// openssl has openssl verify the chain, strictly.
func openssl(t *testing.T, site, host, ek *x509.Certificate) error {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Log("openssl is not installed: it did not verify the chain")
		return nil
	}
	dir := t.TempDir()
	file := func(name string, c *x509.Certificate) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	out, err := exec.Command("openssl", "verify", "-x509_strict", "-CAfile", file("site", site), "-untrusted", file("host", host), file("ek", ek)).CombinedOutput()
	if err != nil {
		return errors.New(string(out))
	}
	return nil
}

func TestEKRefuses(t *testing.T) {
	t.Parallel()
	site, host := chain(t)
	public := endorsementKeys(t, map[string]tpm2.TPMTPublic{"": tpm2.ECCEKTemplate})[""]
	changed := func(change func(*tpm2.TPMTPublic)) []byte {
		p, _, err := ParsePublic(public)
		if err != nil {
			t.Fatal(err)
		}
		change(p)
		return tpm2.Marshal(*p)
	}
	srk := endorsementKeys(t, map[string]tpm2.TPMTPublic{"": tpm2.ECCSRKTemplate})[""]
	foreign, long, noName := testClaims(), testClaims(), testModel
	foreign.Manager[0]++
	long.Profile = strings.Repeat("a", MaxProfile+1)
	noName.Name = ""
	late := terms(91)
	for what, c := range map[string]struct {
		issuer *Issuer
		public []byte
		claims *VTPMClaims
		model  Model
		terms  Terms
		want   error
	}{
		"site as issuer":         {site, public, testClaims(), testModel, terms(30), ErrClaims},
		"another manager":        {host, public, foreign, testModel, terms(30), ErrRefused},
		"storage key":            {host, srk, testClaims(), testModel, terms(30), ErrRefused},
		"signing key":            {host, changed(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.SignEncrypt = true }), testClaims(), testModel, terms(30), ErrRefused},
		"not fixed to the TPM":   {host, changed(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.FixedTPM = false }), testClaims(), testModel, terms(30), ErrRefused},
		"imported":               {host, changed(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.SensitiveDataOrigin = false }), testClaims(), testModel, terms(30), ErrRefused},
		"not restricted":         {host, changed(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted = false }), testClaims(), testModel, terms(30), ErrRefused},
		"point not on the curve": {host, changed(func(p *tpm2.TPMTPublic) { p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}) }), testClaims(), testModel, terms(30), ErrRefused},
		"bytes left over":        {host, append(bytes.Clone(public), 0), testClaims(), testModel, terms(30), ErrRefused},
		"no public area":         {host, nil, testClaims(), testModel, terms(30), ErrRefused},
		"long profile":           {host, public, long, testModel, terms(30), ErrClaims},
		"no model":               {host, public, testClaims(), noName, terms(30), ErrRefused},
		"outlives the host":      {host, public, testClaims(), testModel, late, ErrRefused},
		"ends before it begins":  {host, public, testClaims(), testModel, terms(-1), ErrRefused},
	} {
		if _, err := c.issuer.EK(c.public, c.claims, c.model, c.terms); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// akTemplate is that of a key that signs attestations.
func akTemplate() tpm2.TPMTPublic {
	t := tpm2.ECCSRKTemplate
	t.ObjectAttributes.Decrypt, t.ObjectAttributes.SignEncrypt = false, true
	t.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
		CurveID: tpm2.TPMECCNistP256,
	})
	return t
}

func TestAK(t *testing.T) {
	t.Parallel()
	_, host := chain(t)
	keys := endorsementKeys(t, map[string]tpm2.TPMTPublic{"AK": akTemplate(), "EK": tpm2.ECCEKTemplate})
	der, err := host.AK(keys["AK"], testClaims(), terms(30))
	ak := parsed(t, der, err)
	if err := ak.CheckSignatureFrom(host.Certificate); err != nil {
		t.Error(err)
	}
	if got, err := VTPMClaimsOf(ak); err != nil || *got != *testClaims() {
		t.Errorf("claims %+v, %v", got, err)
	}
	if _, err := host.AK(keys["EK"], testClaims(), terms(30)); !errors.Is(err, ErrRefused) {
		t.Errorf("an endorsement key as attestation key: %v", err)
	}
	if _, err := host.EK(keys["AK"], testClaims(), testModel, terms(30)); !errors.Is(err, ErrRefused) {
		t.Errorf("an attestation key as endorsement key: %v", err)
	}
	foreign := testClaims()
	foreign.Manager[0]++
	if _, err := host.AK(keys["AK"], foreign, terms(30)); !errors.Is(err, ErrRefused) {
		t.Errorf("another manager: %v", err)
	}
}

// TestClaimsEveryByte: a claim with a changed byte is refused or another claim.
func TestClaimsEveryByte(t *testing.T) {
	t.Parallel()
	v, err := testClaims().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	h, err := testHost().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for i := range v {
		b := bytes.Clone(v)
		b[i] ^= 1
		if c, err := ParseVTPMClaims(b); err == nil && *c == *testClaims() {
			t.Errorf("vTPM: byte %d does not count", i)
		}
	}
	for i := range h {
		b := bytes.Clone(h)
		b[i] ^= 1
		if c, err := ParseHostClaims(b); err == nil {
			if again, _ := c.Marshal(); bytes.Equal(again, h) {
				t.Errorf("host: byte %d does not count", i)
			}
		}
	}
}

// TestSerials: serial numbers are positive, of at most 20 bytes, and differ.
func TestSerials(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		term := terms(1)
		c, err := term.template("x")
		if err != nil {
			t.Fatal(err)
		}
		if c.SerialNumber.Sign() <= 0 || c.SerialNumber.BitLen() > 127 || seen[c.SerialNumber.String()] {
			t.Errorf("serial %x", c.SerialNumber)
		}
		seen[c.SerialNumber.String()] = true
	}
}

// TestCRL: a list has its issuer's signature, its number and its entries.
func TestCRL(t *testing.T) {
	t.Parallel()
	site, _ := chain(t)
	der, err := site.CRL(7, []Revocation{{big.NewInt(5), time.Now(), 4}}, terms(7))
	if err != nil {
		t.Fatal(err)
	}
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.CheckSignatureFrom(site.Certificate); err != nil || l.Number.Int64() != 7 || len(l.RevokedCertificateEntries) != 1 ||
		l.RevokedCertificateEntries[0].SerialNumber.Int64() != 5 || l.RevokedCertificateEntries[0].ReasonCode != 4 {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestHostAlone: a host without a site is its own root, and cannot be that of
// another host.
func TestHostAlone(t *testing.T) {
	t.Parallel()
	key := signer(t)
	i := &Issuer{Key: key}
	der, err := i.Host(key.Public(), testHost(), terms(30))
	i.Certificate = parsed(t, der, err)
	if err := i.Certificate.CheckSignatureFrom(i.Certificate); err != nil {
		t.Error(err)
	}
	if i.Certificate.MaxPathLen != 0 || !i.Certificate.MaxPathLenZero {
		t.Error("a host may certify CAs")
	}
	other := signer(t)
	der, err = i.Host(other.Public(), testHost(), terms(30))
	below := parsed(t, der, err)
	roots := x509.NewCertPool()
	roots.AddCert(i.Certificate)
	j := &Issuer{Certificate: below, Key: other}
	der, err = j.EK(endorsementKeys(t, map[string]tpm2.TPMTPublic{"": tpm2.ECCEKTemplate})[""], testClaims(), testModel, terms(30))
	between := x509.NewCertPool()
	between.AddCert(below)
	if _, err := parsed(t, der, err).Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
		t.Error("a host's certificate below another host's is accepted")
	}
}

// TestHostRequest has openssl, in the place of an enterprise's CA, read the
// request.
func TestHostRequest(t *testing.T) {
	t.Parallel()
	der, err := HostRequest(signer(t), testHost())
	if err != nil {
		t.Fatal(err)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil || r.CheckSignature() != nil {
		t.Fatalf("%v", err)
	}
	if len(r.Extensions) != 1 || !r.Extensions[0].Id.Equal(hostOID()) {
		t.Errorf("extensions %v", r.Extensions)
	}
	bad := testHost()
	bad.AK = bad.AK[:33]
	if _, err := HostRequest(signer(t), bad); !errors.Is(err, ErrClaims) {
		t.Errorf("a Name that is cut: %v", err)
	}
}

func FuzzVTPMClaims(f *testing.F) {
	b, _ := testClaims().Marshal()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseVTPMClaims(b); err == nil {
			if again, err := c.Marshal(); err != nil || !bytes.Equal(again, b) {
				t.Errorf("%x is written back as %x, %v", b, again, err)
			}
		} else if !errors.Is(err, ErrClaims) {
			t.Error(err)
		}
	})
}

func FuzzHostClaims(f *testing.F) {
	b, _ := testHost().Marshal()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseHostClaims(b); err == nil {
			if again, err := c.Marshal(); err != nil || !bytes.Equal(again, b) {
				t.Errorf("%x is written back as %x, %v", b, again, err)
			}
		} else if !errors.Is(err, ErrClaims) {
			t.Error(err)
		}
	})
}

// FuzzPublic: a public area that is accepted has one encoding, and a key that
// can be written to a certificate.
func FuzzPublic(f *testing.F) {
	f.Add(endorsementKeys(f, map[string]tpm2.TPMTPublic{"": tpm2.ECCEKTemplate})[""])
	f.Fuzz(func(t *testing.T, b []byte) {
		p, key, err := ParsePublic(b)
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Error(err)
			}
			return
		}
		if !bytes.Equal(tpm2.Marshal(*p), b) {
			t.Errorf("%x is written back otherwise", b)
		}
		if _, err := KeyHash(key); err != nil {
			t.Error(err)
		}
	})
}
