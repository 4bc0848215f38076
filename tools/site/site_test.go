package site

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/identity"
)

// TestAdmission: a host in order gets a certificate of its certification key,
// which leads to the site's.
func TestAdmission(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	dir := newSite(t, m, v)
	request := marshal(t, m.request())
	var challenge []byte
	var err error
	at(t, dir, now, func(s *Site) {
		if challenge, err = s.Challenge(request, nil); err != nil {
			t.Fatal(err)
		}
	})
	answer := marshal(t, m.answer(t, request, challenge))
	at(t, dir, now.Add(time.Hour), func(s *Site) {
		der, err := s.Certify(request, answer, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkCertificate(t, m, s.root, der)
		if _, err := s.Certify(request, answer, nil); !errors.Is(err, ErrRefused) {
			t.Errorf("an answer is good for two certificates: %v", err)
		}
	})
}

func checkCertificate(t *testing.T, m *machine, root *x509.Certificate, der []byte) {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	key, err := m.Signer()
	if err != nil {
		t.Fatal(err)
	}
	claims, err := cert.HostClaimsOf(c)
	if err != nil {
		t.Fatal(err)
	}
	if !c.PublicKey.(*ecdsa.PublicKey).Equal(key.Public()) || !c.IsCA || !c.MaxPathLenZero || c.CheckSignatureFrom(root) != nil ||
		c.NotAfter.After(now.AddDate(0, 3, 1)) || c.NotAfter.Before(now.AddDate(0, 2, 28)) || c.CRLDistributionPoints[0] != "http://pki.example/site.crl" {
		t.Errorf("%+v", c)
	}
	if claims.Manager != [16]byte{0xA} || claims.Image != [32]byte{0xEE} || claims.SecurityVersion != 3 {
		t.Errorf("%+v", claims)
	}
	// The manager's key, in the chip, certifies with it.
	issuer := &cert.Issuer{Certificate: c, Key: key}
	if _, err := issuer.EK(m.e.Public, &cert.VTPMClaims{Manager: claims.Manager}, cert.Model{Manufacturer: "id:1", Name: "x", Version: "id:1"},
		cert.Terms{NotBefore: now, NotAfter: now.AddDate(0, 1, 0)}); err != nil {
		t.Error(err)
	}
}

// A refusal changes one thing of a case that is admitted.
type refusal struct {
	name, want string
	request    func(t *testing.T, r *identity.Request)
	answer     func(t *testing.T, m *machine, request []byte, a *identity.Answer)
	policy     func(p *Policy)
	when       time.Duration
}

func refusals() []refusal {
	flip := func(b []byte, i int) []byte {
		b = bytes.Clone(b)
		b[(i+len(b))%len(b)] ^= 1
		return b
	}
	request := func(name, want string, f func(t *testing.T, r *identity.Request)) refusal {
		return refusal{name: name, want: want, request: f}
	}
	answer := func(name, want string, f func(t *testing.T, m *machine, request []byte, a *identity.Answer)) refusal {
		return refusal{name: name, want: want, answer: f}
	}
	return []refusal{
		request("no EK certificate", "no EK certificate", func(t *testing.T, r *identity.Request) { r.Certificate = nil }),
		request("EK certificate altered", "EK certificate", func(t *testing.T, r *identity.Request) { r.Certificate = flip(r.Certificate, -1) }),
		request("another maker", "unknown authority", func(t *testing.T, r *identity.Request) {
			r.Certificate = newVendor(t).ek(t, r.EK, now.AddDate(1, 0, 0)).Raw
		}),
		request("another chip's EK certificate", "of another key", func(t *testing.T, r *identity.Request) {
			v := newVendor(t)
			r.Certificate = newMachine(t, v).e.Certificate
		}),
		request("a maker's own certificate", "of another key", func(t *testing.T, r *identity.Request) { r.Certificate = newVendor(t).root.Raw }),
		request("a virtual TPM", "virtual", func(t *testing.T, r *identity.Request) {
			v := newVendor(t)
			r.Certificate = v.virtual(t, r.EK)
		}),
		request("a certificate for another use", "another use", func(t *testing.T, r *identity.Request) {
			old := parse(t, r.Certificate)
			r.Certificate = newVendor(t).sign(t, &x509.Certificate{NotAfter: old.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, old.PublicKey).Raw
		}),
		request("chain is none", "chain", func(t *testing.T, r *identity.Request) { r.Chain = []byte{1} }),
		request("AK in place of the EK", "attributes", func(t *testing.T, r *identity.Request) { r.EK = r.AK }),
		request("image", "managerImages", func(t *testing.T, r *identity.Request) { r.Image[31]++ }),
		request("version", "security version", func(t *testing.T, r *identity.Request) { r.SecurityVersion = 2 }),
		request("keys swapped", "attributes", func(t *testing.T, r *identity.Request) { r.AK, r.Certifier = r.Certifier, r.AK }),
		request("keys of another policy", "policy", func(t *testing.T, r *identity.Request) { r.Policy.Values[0] ^= 1 }),
		request("AK that is not restricted", "attributes", func(t *testing.T, r *identity.Request) { r.AK = flip(r.AK, 5) }),
		request("no key", "public area", func(t *testing.T, r *identity.Request) { r.AK = []byte{1} }),
		{name: "PCR not in the policy", want: "PCR 4", policy: func(p *Policy) { p.PCRs["4"] = nil }},
		{name: "PCR value", want: "PCR 0 is", policy: func(p *Policy) { p.PCRs["0"] = []string{strings.Repeat("ab", 32)} }},
		{name: "no image allowed", want: "managerImages", policy: func(p *Policy) { p.ManagerImages = nil }},
		{name: "EK certificate expired", want: "expired", when: 11 * 366 * 24 * time.Hour},
		{name: "challenge expired", want: "challenge ended", when: 25 * time.Hour},

		answer("another secret", "secret", func(_ *testing.T, _ *machine, _ []byte, a *identity.Answer) { a.Secret[3] ^= 1 }),
		answer("signature altered", "signature", func(_ *testing.T, _ *machine, _ []byte, a *identity.Answer) { a.Signature = flip(a.Signature, -1) }),
		answer("certification altered", "signature", func(_ *testing.T, _ *machine, _ []byte, a *identity.Answer) { a.Attest = flip(a.Attest, -1) }),
		answer("quote in place of the certification", "attestation", func(t *testing.T, m *machine, request []byte, a *identity.Answer) {
			q, err := m.Quote([]uint{0, 7}, [32]byte{})
			if err != nil {
				t.Fatal(err)
			}
			a.Attest, a.Signature = q.Attest, q.Signature
		}),
		answer("answer to another challenge", "another question", func(t *testing.T, m *machine, request []byte, a *identity.Answer) {
			e := m.stale(t, request)
			a.Attest, a.Signature = e.Attest, e.Signature
		}),
		answer("quote of another challenge", "hardware-binding", func(t *testing.T, m *machine, request []byte, a *identity.Answer) {
			a.Quote = m.stale(t, request).Quote
		}),
		answer("quote of fewer PCRs", "1 PCRs were quoted", func(t *testing.T, m *machine, request []byte, a *identity.Answer) {
			a.Quote = m.requote(t, a, []uint{7})
		}),
		answer("quote of other PCRs", "PCR sha256:1 was quoted", func(t *testing.T, m *machine, request []byte, a *identity.Answer) {
			a.Quote = m.requote(t, a, []uint{1, 7})
		}),
	}
}

// stale returns an answer for the request that is to another nonce.
func (m *machine) stale(t *testing.T, request []byte) *identity.Answer {
	t.Helper()
	ak, _, err := cert.ParsePublic(m.AK.Public)
	if err != nil {
		t.Fatal(err)
	}
	name, err := tpm2.ObjectName(ak)
	if err != nil {
		t.Fatal(err)
	}
	area, _, err := cert.ParsePublic(m.e.Public)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := (&admission{ek: area, akName: name.Buffer}).challenge(now)
	if err != nil {
		t.Fatal(err)
	}
	return m.answer(t, request, marshal(t, c))
}

// requote has the chip quote other PCRs over the same qualifyingData.
func (m *machine) requote(t *testing.T, a *identity.Answer, pcrs []uint) []byte {
	t.Helper()
	attest, err := tpm2.Unmarshal[tpm2.TPMSAttest](a.Attest)
	if err != nil {
		t.Fatal(err)
	}
	q, err := m.Quote(pcrs, [32]byte(attest.ExtraData.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	return marshal(t, q)
}

// TestRefusals: each is refused for what it changed, at the challenge or at the
// answer, and leaves no certificate.
func TestRefusals(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	for _, c := range refusals() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := newSite(t, m, v)
			r := m.request()
			r.Policy.Values = bytes.Clone(r.Policy.Values)
			if c.request != nil {
				c.request(t, r)
			}
			request := marshal(t, r)
			err := admit(t, m, dir, request, &c)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want a refusal with %q", err, c.want)
			}
			at(t, dir, now, func(s *Site) {
				if len(s.Issued()) != 0 {
					t.Error("a certificate was made")
				}
			})
		})
	}
}

func admit(t *testing.T, m *machine, dir string, request []byte, c *refusal) (err error) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var challenge []byte
	at(t, dir, now, func(s *Site) {
		if c.policy != nil {
			c.policy(s.policy)
		}
		challenge, err = s.Challenge(request, nil)
	})
	if err != nil {
		return err
	}
	a := m.answer(t, request, challenge)
	if c.answer != nil {
		c.answer(t, m, request, a)
	}
	at(t, dir, now.Add(c.when), func(s *Site) { _, err = s.Certify(request, marshal(t, a), nil) })
	return err
}

// TestSoftwareKey: a certification key outside of the chip, with the public area
// that is asked for, has no attestation.
func TestSoftwareKey(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	dir := newSite(t, m, v)
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	area, _, err := cert.ParsePublic(m.Certifier.Public)
	if err != nil {
		t.Fatal(err)
	}
	fixed := func(n *big.Int) tpm2.TPM2BECCParameter {
		return tpm2.TPM2BECCParameter{Buffer: n.FillBytes(make([]byte, 32))}
	}
	area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: fixed(own.X), Y: fixed(own.Y)})
	r := m.request()
	r.Certifier = tpm2.Marshal(*area)
	if err := admit(t, m, dir, marshal(t, r), &refusal{}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "certified is") {
		t.Error(err)
	}
}

// TestAnotherChip: the chip with the EK certificate is not the one with the keys.
func TestAnotherChip(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m, genuine := newMachine(t, v), newMachine(t, v)
	dir := newSite(t, m, v)
	r := m.request()
	r.EK, r.Certificate = genuine.e.Public, genuine.e.Certificate
	at(t, dir, now, func(s *Site) {
		b, err := s.Challenge(marshal(t, r), nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := identity.ParseChallenge(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range []*machine{m, genuine} {
			if _, err := h.Answer(marshal(t, r), c, h.e); err == nil {
				t.Error("a chip without the key opens the credential")
			}
		}
	})
}

// TestRevocation: the list has what was revoked, its number grows, and it is
// recorded before the list is given out.
func TestRevocation(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	dir := newSite(t, m, v)
	if err := admit(t, m, dir, marshal(t, m.request()), &refusal{}); err != nil {
		t.Fatal(err)
	}
	if err := admit(t, m, dir, marshal(t, m.request()), &refusal{}); err != nil {
		t.Fatal(err)
	}
	numbers := map[string]bool{}
	list := func(when time.Time) *x509.RevocationList {
		var l *x509.RevocationList
		at(t, dir, when, func(s *Site) {
			der, err := s.CRL()
			if err != nil {
				t.Fatal(err)
			}
			if l, err = x509.ParseRevocationList(der); err != nil || l.CheckSignatureFrom(s.root) != nil {
				t.Fatal(err)
			}
		})
		numbers[l.Number.String()] = true
		return l
	}
	if n := len(list(now).RevokedCertificateEntries); n != 0 {
		t.Errorf("%d are revoked", n)
	}
	var serial string
	at(t, dir, now, func(s *Site) {
		serial = s.Issued()[1].Serial
		if n, err := s.Revoke(serial); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := s.Revoke("00"); err == nil {
			t.Error("a certificate that there is not was revoked")
		}
	})
	l := list(now.Add(time.Minute))
	if len(l.RevokedCertificateEntries) != 1 || hex.EncodeToString(l.RevokedCertificateEntries[0].SerialNumber.Bytes()) != serial {
		t.Errorf("%v", l.RevokedCertificateEntries)
	}
	at(t, dir, now, func(s *Site) {
		if n, err := s.Revoke(hex.EncodeToString(append([]byte{0xA}, make([]byte, 15)...))); n != 1 || err != nil {
			t.Errorf("by manager: %d, %v", n, err)
		}
	})
	if n := len(list(now).RevokedCertificateEntries); n != 2 || len(numbers) != 3 {
		t.Errorf("%d are revoked, %d lists have numbers of their own", n, len(numbers))
	}
}

// TestConcurrent: sites that are opened at the same time lose nothing.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	dir := newSite(t, m, v)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			at(t, dir, now, func(s *Site) {
				if _, err := s.CRL(); err != nil {
					t.Error(err)
				}
			})
		})
	}
	all.Wait()
	at(t, dir, now, func(s *Site) {
		if s.state.CRLNumber != 8 {
			t.Errorf("%d lists", s.state.CRLNumber)
		}
	})
}

// TestDiskFails: what cannot be recorded is not given out, and the site stays as
// it was.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	dir := newSite(t, m, v)
	request := marshal(t, m.request())
	at(t, dir, now, func(s *Site) {
		challenge, err := s.Challenge(request, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer := marshal(t, m.answer(t, request, challenge))
		s.dir = filepath.Join(dir, "gone") // the folder goes away while the site is open
		os.MkdirAll(filepath.Join(s.dir, vendorsDir), 0o700)
		put(t, filepath.Join(s.dir, vendorsDir, "maker.pem"), pemOf(v.root.Raw))
		os.Mkdir(filepath.Join(s.dir, stateFile), 0o700) // a state that cannot be replaced
		if der, err := s.Certify(request, answer, nil); err == nil || der != nil {
			t.Error("a certificate that is not recorded was given out")
		}
		if l, err := s.CRL(); err == nil || l != nil {
			t.Error("a list with a number that is not recorded was given out")
		}
		left, err := filepath.Glob(filepath.Join(s.dir, ".new-*"))
		if err != nil || len(left) != 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	})
	at(t, dir, now, func(s *Site) {
		if len(s.Issued()) != 0 || s.state.CRLNumber != 0 || len(s.state.Pending) != 1 {
			t.Errorf("%+v", s.state)
		}
	})
}

// TestInitTwice: no site is made over another; what an Init left that did not end
// is in no way.
func TestInitTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := func(dir string) (crypto.Signer, error) { return newFileKey(dir, nil) }
	failing := func(dir string) (crypto.Signer, error) {
		newFileKey(dir, nil)
		return nil, errors.New("no")
	}
	if err := Init(dir, "x", 1, failing, now); err == nil {
		t.Error("made")
	}
	if err := Init(dir, "x", 1, key, now); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := Init(dir, "x", 1, key, now); err == nil {
		t.Error("made twice")
	}
	if after, err := os.ReadFile(filepath.Join(dir, keyFile)); err != nil || !bytes.Equal(before, after) {
		t.Error("the key was replaced")
	}
}
