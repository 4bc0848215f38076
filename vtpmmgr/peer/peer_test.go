package peer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpm"
	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/identity"
	"stubtpm/vtpmmgr/transfer"
)

type noStore struct{}

func (noStore) Save([]byte) error { return nil }

type chip struct{ d *vtpm.Device }

func (c chip) Send(b []byte) ([]byte, error) { return c.d.Execute(0, b), nil }

// A world is a manager that a site has certified.
type world struct {
	t        *testing.T
	host     *identity.Host
	site     *x509.Certificate
	evidence Evidence
	manager  transfer.ID
}

var (
	message = transfer.Hash{1}
	nonce   = transfer.Hash{2}
)

func newWorld(t *testing.T) *world {
	t.Helper()
	d, err := vtpm.Manufacture(vtpm.Config{Store: noStore{}})
	if err != nil {
		t.Fatal(err)
	}
	var bus transport.TPM = chip{d}
	w := &world{t: t, manager: transfer.ID{7}}
	_, err = tpm2.Startup{StartupType: tpm2.TPMSUClear}.Execute(bus)
	w.must(err)
	policy, err := identity.Present(bus, []uint{0, 7})
	w.must(err)
	w.host = &identity.Host{Bus: bus, Policy: *policy, Auth: bytes.Repeat([]byte{1}, 32)}
	w.must(w.host.Create())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	now := time.Now()
	der, err := cert.Site(key, "site", cert.Terms{NotBefore: now.Add(-time.Hour), NotAfter: now.Add(2 * time.Hour)})
	w.must(err)
	w.site, err = x509.ParseCertificate(der)
	w.must(err)
	w.evidence = Evidence{Labels: true, Chain: [][]byte{w.certificate(&cert.Issuer{Certificate: w.site, Key: key}), der}}
	w.quote(Binding(w.manager, true, message, nonce))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) certificate(by *cert.Issuer) []byte {
	w.t.Helper()
	p, _, err := cert.ParsePublic(w.host.AK.Public)
	w.must(err)
	name, err := tpm2.ObjectName(p)
	w.must(err)
	_, key, err := cert.ParsePublic(w.host.Certifier.Public)
	w.must(err)
	now := time.Now()
	der, err := by.Host(key, &cert.HostClaims{Manager: w.manager, AK: name.Buffer, Image: [32]byte{5}, SecurityVersion: 6},
		cert.Terms{NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour)})
	w.must(err)
	return der
}

func (w *world) quote(binding evidence.Hash) {
	w.t.Helper()
	q, err := w.host.Quote(w.host.Policy.PCRs, binding)
	w.must(err)
	w.evidence.Quote, err = q.Marshal()
	w.must(err)
}

func (w *world) verify(at time.Time) (*transfer.Claims, error) {
	w.t.Helper()
	b, err := w.evidence.Marshal()
	w.must(err)
	return (&Verifier{Roots: []*x509.Certificate{w.site}, Now: at}).Verify(b, message, nonce)
}

func TestVerify(t *testing.T) {
	w := newWorld(t)
	c, err := w.verify(time.Now())
	w.must(err)
	place, err := cert.KeyHash(w.site.PublicKey)
	w.must(err)
	if want := (transfer.Claims{Manager: w.manager, Image: transfer.Hash{5}, SecurityVersion: 6, Place: place, Labels: true}); *c != want {
		t.Errorf("%+v, want %+v", *c, want)
	}
	if b, err := (&Evidence{Chain: w.evidence.Chain, Quote: w.evidence.Quote}).Marshal(); err != nil || len(b) > transfer.MaxEvidence/2 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestVerifyRefuses: each of these shows something else than it should.
func TestVerifyRefuses(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"without labels":       func(w *world) { w.evidence.Labels = false },
		"another message":      func(w *world) { w.quote(Binding(w.manager, true, transfer.Hash{9}, nonce)) },
		"another nonce":        func(w *world) { w.quote(Binding(w.manager, true, message, transfer.Hash{9})) },
		"another manager":      func(w *world) { w.quote(Binding(transfer.ID{9}, true, message, nonce)) },
		"a quote of a vTPM":    func(w *world) { w.quote(evidence.HardwareNonce(w.manager, 1, evidence.Hash(message))) },
		"another chip's quote": func(w *world) { w.evidence.Quote = newWorld(w.t).evidence.Quote },
		"another site":         func(w *world) { w.evidence.Chain = newWorld(w.t).evidence.Chain },
		"site's certificate":   func(w *world) { w.evidence.Chain = w.evidence.Chain[1:] },
		"its own root": func(w *world) {
			s, err := w.host.Signer()
			w.must(err)
			der := w.certificate(&cert.Issuer{Key: s})
			w.evidence.Chain = [][]byte{der}
			w.site, err = x509.ParseCertificate(der)
			w.must(err)
		},
		"signature changed": func(w *world) {
			q, err := evidence.ParseQuote(w.evidence.Quote)
			w.must(err)
			q.Signature = bytes.Clone(q.Signature)
			q.Signature[len(q.Signature)-1] ^= 1
			w.evidence.Quote, err = q.Marshal()
			w.must(err)
		},
	} {
		w := newWorld(t)
		change(w)
		if c, err := w.verify(time.Now()); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	w := newWorld(t)
	for _, at := range []time.Time{time.Now().Add(-24 * time.Hour), time.Now().Add(90 * time.Minute)} {
		if _, err := w.verify(at); err == nil {
			t.Errorf("at %v", at)
		}
	}
}

func FuzzParse(f *testing.F) {
	e := &Evidence{Labels: true, Chain: [][]byte{{1}, {2, 3}}, Quote: []byte{4}}
	b, err := e.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err == nil {
			again, err := e.Marshal()
			if err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%x is written as %x, %v", b, again, err)
			}
		}
		(&Verifier{Now: time.Now()}).Verify(b, message, nonce)
	})
}
