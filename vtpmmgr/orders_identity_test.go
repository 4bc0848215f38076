package vtpmmgr

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/identity"
	"stubtpm/vtpmmgr/proto"
)

// A testSite admits whoever asks.
type testSite struct {
	issuer cert.Issuer
	terms  cert.Terms
}

func newTestSite(t *testing.T) *testSite {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &testSite{terms: cert.Terms{NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}}
	der, err := cert.Site(key, "test", s.terms)
	if err != nil {
		t.Fatal(err)
	}
	s.issuer.Key = key
	if s.issuer.Certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return s
}

func publicOf(t *testing.T, b []byte) *tpm2.TPMTPublic {
	t.Helper()
	p, _, err := cert.ParsePublic(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func nameOf(t *testing.T, b []byte) []byte {
	t.Helper()
	name, err := tpm2.ObjectName(publicOf(t, b))
	if err != nil {
		t.Fatal(err)
	}
	return name.Buffer
}

// challenge returns one that only the chip of the request can answer.
func (s *testSite) challenge(t *testing.T, r *identity.Request, secret []byte) []byte {
	t.Helper()
	key, err := tpm2.ImportEncapsulationKey(publicOf(t, r.EK))
	if err != nil {
		t.Fatal(err)
	}
	blob, encrypted, err := tpm2.CreateCredential(rand.Reader, key, nameOf(t, r.AK), secret)
	if err != nil {
		t.Fatal(err)
	}
	b, err := (&identity.Challenge{Nonce: [32]byte{5}, Credential: blob, Secret: encrypted}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *testSite) certify(t *testing.T, key any, claims *cert.HostClaims) [][]byte {
	t.Helper()
	terms := s.terms
	terms.NotAfter = s.issuer.Certificate.NotAfter
	der, err := s.issuer.Host(key, claims, terms)
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{der, s.issuer.Certificate.Raw}
}

// TestIdentityOrders: a host is its own root until a site admits it; the request stays
// the same across a restart, the challenge is answered, and only a certificate of this
// manager and its keys is kept.
func TestIdentityOrders(t *testing.T) {
	t.Parallel()
	t.Run("device", func(t *testing.T) { identityOrders(t, hardwareTPM(t)) })
	t.Run("swtpm", func(t *testing.T) {
		tpm, stop := swtpm(t, t.TempDir())
		defer stop()
		identityOrders(t, tpm)
	})
}

func identityOrders(t *testing.T, tpm transport.TPM) {
	disk := blocktest.NewMem(testDisk)
	m := newTestManager(t, tpm, disk)
	admin := as(t, m, testAdmin)
	site := newTestSite(t)

	if _, err := admin.IdentityAnswer(site.challenge(t, &identity.Request{EK: mustEK(t, m), AK: mustEK(t, m)}, make([]byte, 32))); !errors.Is(err, proto.BadCertificate) {
		t.Errorf("a challenge before there are keys: %v", err)
	}
	for name, key := range map[string]*proto.Client{"host": as(t, m, testHost), "stranger": as(t, m, testApprover)} {
		if _, err := key.IdentityRequest([32]byte{}, 0); !errors.Is(err, proto.Unsigned) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m.identity != nil {
		t.Fatal("keys were made for a signer that may not ask")
	}
	asked, err := admin.IdentityRequest([32]byte{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := x509.ParseCertificate(m.identity.certificate)
	if err != nil || alone.CheckSignatureFrom(alone) != nil || len(m.identity.chain) != 0 {
		t.Errorf("not its own root: %v", err)
	}

	if m, err = Open(Config{TPM: tpm, Disk: disk, Log: t.Logf}); err != nil {
		t.Fatal(err)
	}
	admin = as(t, m, testAdmin)
	if again, err := admin.IdentityRequest([32]byte{}, 0); err != nil || !bytes.Equal(again, asked) {
		t.Errorf("another request after a restart: %v", err)
	}
	r, err := identity.ParseRequest(asked)
	if err != nil {
		t.Fatal(err)
	}
	if r.Manager != m.id || identity.CheckKeys(publicOf(t, r.AK), publicOf(t, r.Certifier), &r.Policy) != nil {
		t.Errorf("request %+v", r)
	}

	secret := bytes.Repeat([]byte{9}, identity.SecretSize)
	b, err := admin.IdentityAnswer(site.challenge(t, r, secret))
	if err != nil {
		t.Fatal(err)
	}
	if a, err := identity.ParseAnswer(b); err != nil || !bytes.Equal(a.Secret[:], secret) {
		t.Errorf("answer: %v", err)
	}
	other := *r
	other.AK = r.Certifier
	if _, err := admin.IdentityAnswer(site.challenge(t, &other, secret)); !errors.Is(err, proto.BadCertificate) {
		t.Errorf("a challenge for another key: %v", err)
	}

	_, own, err := cert.ParsePublic(r.Certifier)
	if err != nil {
		t.Fatal(err)
	}
	claims := cert.HostClaims{Manager: m.id, AK: nameOf(t, r.AK)}
	wrongManager, wrongAK := claims, claims
	wrongManager.Manager[0] ^= 1
	wrongAK.AK = nameOf(t, r.Certifier)
	good := site.certify(t, own, &claims)
	for name, list := range map[string][][]byte{
		"another key":         site.certify(t, site.issuer.Key.Public(), &claims),
		"another manager":     site.certify(t, own, &wrongManager),
		"another AK":          site.certify(t, own, &wrongAK),
		"without its issuer":  good[:1],
		"of another issuer":   {good[0], newTestSite(t).issuer.Certificate.Raw},
		"the other way round": {good[1], good[0]},
		"no certificate":      {{1, 2}, good[1]},
	} {
		before := m.identity
		if err := admin.IdentityCertificate(list); !errors.Is(err, proto.BadCertificate) {
			t.Errorf("%s: %v", name, err)
		}
		if m.identity != before {
			t.Errorf("%s: kept", name)
		}
	}
	if err := as(t, m, testHost).IdentityCertificate(good); !errors.Is(err, proto.Unsigned) {
		t.Errorf("by the host's key: %v", err)
	}
	if err := admin.IdentityCertificate(good); err != nil {
		t.Fatal(err)
	}
	if m, err = Open(Config{TPM: tpm, Disk: disk, Log: t.Logf}); err != nil {
		t.Fatal(err)
	}
	if h := m.identity; h == nil || !bytes.Equal(h.certificate, good[0]) || len(h.chain) != 1 || !bytes.Equal(h.chain[0], good[1]) {
		t.Error("the certificate is gone after a restart")
	}
}

func mustEK(t *testing.T, m *Manager) []byte {
	t.Helper()
	e, err := identity.EndorsementKey(m.cfg.TPM, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e.Public
}

// TestIdentityOtherPCRs: once the PCRs have other values the next request is for new
// keys, and the certificate of the old ones is gone.
func TestIdentityOtherPCRs(t *testing.T) {
	t.Parallel()
	tpm := hardwareTPM(t)
	m := newTestManager(t, tpm, blocktest.NewMem(testDisk))
	admin := as(t, m, testAdmin)
	first, err := admin.IdentityRequest([32]byte{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	old := m.identity
	if _, err := (tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: 7, Auth: tpm2.PasswordAuth(nil)}, Digests: tpm2.TPMLDigestValues{
		Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}}}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	second, err := admin.IdentityRequest([32]byte{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first, second) || bytes.Equal(m.identity.certifier.Public, old.certifier.Public) || m.identity.auth == old.auth || bytes.Equal(m.identity.certificate, old.certificate) {
		t.Error("keys for PCRs that are gone")
	}
	if again, err := admin.IdentityRequest([32]byte{}, 0); err != nil || !bytes.Equal(again, second) {
		t.Errorf("another request: %v", err)
	}
}

// A cutBus fails from some command on.
type cutBus struct {
	transport.TPM
	left int // commands until then; negative for never
}

func (b *cutBus) Send(command []byte) ([]byte, error) {
	if b.left == 0 {
		return nil, errors.New("bus")
	}
	b.left--
	return b.TPM.Send(command)
}

// TestIdentityBusFails: a hardware TPM that fails at any command of the first request
// leaves no keys, and the manager makes them once it works again.
func TestIdentityBusFails(t *testing.T) {
	t.Parallel()
	bus := &cutBus{TPM: hardwareTPM(t), left: -1}
	disk := blocktest.NewMem(testDisk)
	m, err := Initialize(Config{TPM: bus, Disk: disk}, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	fails := 0
	for at := 0; ; at++ {
		bus.left = at
		_, err := as(t, m, testAdmin).IdentityRequest([32]byte{}, 0)
		bus.left = -1
		if err == nil {
			break
		}
		if fails++; !errors.Is(err, proto.Failed) {
			t.Fatalf("command %d: %v", at, err)
		}
		again, openErr := Open(Config{TPM: bus, Disk: disk})
		if openErr != nil {
			t.Fatalf("command %d: %v", at, openErr)
		}
		if m = again; m.identity != nil {
			break // the commit was written, and its outcome not known
		}
	}
	if fails < 10 {
		t.Errorf("it failed %d times only", fails)
	}
	if _, err := as(t, m, testAdmin).IdentityRequest([32]byte{}, 0); err != nil || m.identity == nil {
		t.Errorf("once it works: %v", err)
	}
}
