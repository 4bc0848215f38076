package site

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/tools/verify"
	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/identity"
)

// TestEvidence: a verifier that knows the site's certificate only accepts the
// guest of a vTPM on an admitted host; all of the host's signatures are its chip's.
func TestEvidence(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	m := newMachine(t, v)
	dir := newSite(t, m, v)
	if err := admit(t, m, dir, marshal(t, m.request()), &refusal{}); err != nil {
		t.Fatal(err)
	}
	var host, root *x509.Certificate
	at(t, dir, now, func(s *Site) {
		var err error
		root = s.root
		if host, err = x509.ParseCertificate(s.Issued()[0].Certificate); err != nil {
			t.Fatal(err)
		}
	})
	nonce := []byte("a nonce of the verifier, 30 byte")
	e := m.evidence(t, host, newMachine(t, v), nonce)

	put(t, filepath.Join(dir, "root.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
	p, err := verify.LoadPolicy(put(t, filepath.Join(dir, "verify.json"), []byte(`{"roots": ["root.pem"]}`)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := verify.Verify(marshal(t, e), verify.Question{Nonce: nonce, Now: now}, p)
	if err != nil || r.Site != "CN=Example site" || len(r.HardwarePCRs) != 2 || len(r.GuestPCRs) != 1 {
		t.Errorf("%v: %+v", err, r)
	}
}

// evidence has the host make evidence of a vTPM, whose guest's key is that of
// vtpm.
func (m *machine) evidence(t *testing.T, host *x509.Certificate, vtpm *machine, nonce []byte) *evidence.Evidence {
	t.Helper()
	key, err := m.Signer()
	if err != nil {
		t.Fatal(err)
	}
	issuer := &cert.Issuer{Certificate: host, Key: key}
	claims := &cert.VTPMClaims{UUID: [16]byte{1}, Manager: [16]byte{0xA}, LedgerEpoch: 1}
	ek, err := issuer.EK(vtpm.e.Public, claims, cert.Model{Manufacturer: "id:1", Name: "x", Version: "id:1"}, cert.Terms{NotBefore: now, NotAfter: now.AddDate(0, 1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	s := &evidence.Statement{Manager: claims.Manager, UUID: claims.UUID, LedgerEpoch: 1, Time: uint64(now.Unix()), Nonce: nonce, AK: name(t, vtpm.AK), EKs: [][32]byte{keyHash(t, vtpm.e.Public)}}
	rand.Read(s.Salt[:])
	raw := marshal(t, s)
	leaf := evidence.Leaf(raw)
	hardware, err := m.Quote([]uint{0, 7}, evidence.HardwareNonce(claims.Manager, 1, evidence.Root([]evidence.Hash{leaf})))
	if err != nil {
		t.Fatal(err)
	}
	guest, err := vtpm.Quote([]uint{4}, evidence.GuestNonce(raw, hardware.Attest))
	if err != nil {
		t.Fatal(err)
	}
	return &evidence.Evidence{Chain: host.Raw, EK: ek, Statement: raw, Proof: evidence.Prove([]evidence.Hash{leaf}, 0).Marshal(),
		Hardware: marshal(t, hardware), Guest: marshal(t, guest)}
}

func name(t *testing.T, k identity.Key) []byte {
	t.Helper()
	area, _, err := cert.ParsePublic(k.Public)
	if err != nil {
		t.Fatal(err)
	}
	n, err := tpm2.ObjectName(area)
	if err != nil {
		t.Fatal(err)
	}
	return n.Buffer
}

func keyHash(t *testing.T, public []byte) [32]byte {
	t.Helper()
	_, key, err := cert.ParsePublic(public)
	if err != nil {
		t.Fatal(err)
	}
	h, err := cert.KeyHash(key)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
