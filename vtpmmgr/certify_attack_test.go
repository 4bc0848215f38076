package vtpmmgr

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/proto"
)

// newCertified is newCertifying after the first certificates.
func newCertified(t *testing.T) *certifying {
	t.Helper()
	c := newCertifying(t, hardwareTPM(t))
	if _, err := c.admin.IdentityRequest([32]byte{7}, 3); err != nil {
		t.Fatal(err)
	}
	c.load(t)
	c.certified(t)
	return c
}

// TestCertifyIsTenants: what a vTPM asks for is in the tenants' audit log, also in a group
// that the administrator decides about: it pushes nothing out of the manager's.
func TestCertifyIsTenants(t *testing.T) {
	t.Parallel()
	c := newCertified(t)
	before := c.m.config.audit
	c.certified(t)
	after := c.m.config.audit
	if after[proto.ManagerLog] != before[proto.ManagerLog] || after[proto.TenantLog].next != before[proto.TenantLog].next+1 {
		t.Errorf("%+v, was %+v", after, before)
	}
}

// TestIdentityUnusable: with keys that obey other PCRs, or of before an old ledger was
// restored, nothing is certified or stated, STATUS says why, and new keys end that.
func TestIdentityUnusable(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(c *certifying){
		"other PCRs": func(c *certifying) {
			_, err := tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: 7, Auth: tpm2.PasswordAuth(nil)},
				Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}}}.Execute(c.tpm)
			if err != nil {
				t.Fatal(err)
			}
		},
		"an old ledger": func(c *certifying) { c.m.identity.epoch++ },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCertified(t)
			spoil(c)
			c.m.checkIdentity() // as at a start
			if _, err := c.vtpm.Certify(c.eks); !errors.Is(err, proto.NoIdentity) {
				t.Errorf("CERTIFY: %v", err)
			}
			if _, err := c.vtpm.Attest(askFor(t, 1)); !errors.Is(err, proto.NoIdentity) {
				t.Errorf("ATTEST: %v", err)
			}
			if _, err := c.vtpm.Certified(); !errors.Is(err, proto.NoIdentity) {
				t.Errorf("CERTIFIED: %v", err)
			}
			if _, err := c.admin.RevocationList(); !errors.Is(err, proto.NoIdentity) {
				t.Errorf("REVOCATION_LIST: %v", err)
			}
			if s, err := c.admin.Status(); err != nil || !strings.HasPrefix(s["identity"], "degraded") {
				t.Errorf("status %q, %v", s["identity"], err)
			}
			if _, err := c.admin.IdentityRequest([32]byte{7}, 3); err != nil {
				t.Fatal(err)
			}
			// The certificates are of the old keys.
			if _, err := c.vtpm.Attest(askFor(t, 1)); !errors.Is(err, proto.NoIdentity) {
				t.Errorf("ATTEST with certificates of the old keys: %v", err)
			}
			if ok, err := c.vtpm.Certified(); ok || err != nil {
				t.Errorf("CERTIFIED: %v, %v", ok, err)
			}
			c.certified(t)
			if _, err := c.vtpm.Attest(askFor(t, 1)); err != nil {
				t.Errorf("ATTEST: %v", err)
			}
		})
	}
}

// TestCertifyOthersKey: a key of one vTPM is not certified as another's, and none twice.
func TestCertifyOthersKey(t *testing.T) {
	t.Parallel()
	c := newCertified(t)
	if _, err := c.vtpm.Certify([][]byte{c.eks[0], c.eks[0]}); !errors.Is(err, proto.BadCertificate) {
		t.Errorf("a key twice: %v", err)
	}
	other := connect(t, c.m, Peer{Domain: 9, UUID: mustEnroll(t, c.admin, UUID{3})})
	if _, err := other.Load(); err != nil {
		t.Fatal(err)
	}
	if err := commit(other, 1, [32]byte{1}, [32]byte{2}); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Certify(c.eks[:1]); !errors.Is(err, proto.BadCertificate) {
		t.Errorf("another vTPM's key: %v", err)
	}
	if _, err := other.Certify([][]byte{primary(t, hardwareTPM(t), tpm2.ECCEKTemplate)}); err != nil {
		t.Errorf("its own: %v", err)
	}
}

// TestDestroyHasRoom: on a disk that is full of vTPMs with certificates, each of them can
// still be destroyed.
func TestDestroyHasRoom(t *testing.T) {
	t.Parallel()
	c := newCertified(t)
	uuids := []UUID{testUUID}
	for i := 1; ; i++ {
		u := UUID{9, byte(i >> 8), byte(i)}
		if err := enroll(c.admin, u); err != nil {
			if !errors.Is(err, proto.Full) {
				t.Fatal(err)
			}
			break
		}
		s, err := c.m.Open(Peer{Domain: uint16(1000 + i), UUID: u})
		if err != nil {
			t.Fatal(err)
		}
		client := &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
		if _, err := client.Load(); err != nil {
			t.Fatal(err)
		}
		if err := commit(client, 1, [32]byte{1}, [32]byte{2}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Certify([][]byte{primary(t, hardwareTPM(t), tpm2.ECCEKTemplate)}); err != nil && !errors.Is(err, proto.Full) {
			t.Fatal(err)
		}
		s.Close()
		uuids = append(uuids, u)
	}
	if len(c.m.certified) < 10 {
		t.Fatalf("only %d have certificates", len(c.m.certified))
	}
	n := len(c.m.certified)
	for _, u := range uuids {
		if err := c.admin.Destroy(u); err != nil {
			t.Fatalf("%v: %v", u, err)
		}
	}
	if len(c.m.revoked.list) != n {
		t.Errorf("%d are revoked, %d had certificates", len(c.m.revoked.list), n)
	}
}

// TestRSAKeysAreSound: no certificate for what no TPM makes.
func TestRSAKeysAreSound(t *testing.T) {
	t.Parallel()
	good := primary(t, hardwareTPM(t), tpm2.RSAEKTemplate)
	if _, _, err := cert.ParsePublic(good); err != nil {
		t.Fatal(err)
	}
	change := func(edit func(p *tpm2.TPMTPublic, d *tpm2.TPMSRSAParms, n []byte) []byte) []byte {
		p, err := tpm2.Unmarshal[tpm2.TPMTPublic](good)
		if err != nil {
			t.Fatal(err)
		}
		d, err := p.Parameters.RSADetail()
		if err != nil {
			t.Fatal(err)
		}
		u, err := p.Unique.RSA()
		if err != nil {
			t.Fatal(err)
		}
		n := edit(p, d, append([]byte(nil), u.Buffer...))
		p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, d)
		p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: n})
		return tpm2.Marshal(*p)
	}
	for name, bad := range map[string][]byte{
		"exponent 3":    change(func(_ *tpm2.TPMTPublic, d *tpm2.TPMSRSAParms, n []byte) []byte { d.Exponent = 3; return n }),
		"an even one":   change(func(_ *tpm2.TPMTPublic, _ *tpm2.TPMSRSAParms, n []byte) []byte { n[len(n)-1] &^= 1; return n }),
		"a short one":   change(func(_ *tpm2.TPMTPublic, _ *tpm2.TPMSRSAParms, n []byte) []byte { return n[:100] }),
		"a small one":   change(func(_ *tpm2.TPMTPublic, _ *tpm2.TPMSRSAParms, n []byte) []byte { n[0] &= 0x7F; return n }),
		"another size":  change(func(_ *tpm2.TPMTPublic, d *tpm2.TPMSRSAParms, n []byte) []byte { d.KeyBits = 3072; return n }),
		"no modulus":    change(func(_ *tpm2.TPMTPublic, _ *tpm2.TPMSRSAParms, n []byte) []byte { return nil }),
		"exponent 2^16": change(func(_ *tpm2.TPMTPublic, d *tpm2.TPMSRSAParms, n []byte) []byte { d.Exponent = 1 << 16; return n }),
	} {
		if _, _, err := cert.ParsePublic(bad); !errors.Is(err, cert.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestListsInPieces: an administrator who reads a list in pieces gets one list, also if
// another one has a list made meanwhile.
func TestListsInPieces(t *testing.T) {
	t.Parallel()
	c := newCertified(t)
	more := func() {
		e := revoked{serials: newSerials()}
		e.count, e.until = 150, uint32(time.Now().Add(time.Hour).Unix())
		c.m.revoked.list = append(c.m.revoked.list, e)
	}
	more()
	other := as(t, c.m, testAdmin)
	transact, asked := c.admin.Transact, 0
	c.admin.Transact = func(b []byte) ([]byte, error) {
		answer, err := transact(b)
		if asked++; asked == 1 { // after the first piece
			c.m.revoked.list = nil
			more() // as many, and others
			if _, err := other.RevocationList(); err != nil {
				t.Error(err)
			}
		}
		return answer, err
	}
	if got := c.revoked(t); len(got) != 150 {
		t.Errorf("%d serials", len(got))
	}
	if asked < 2 {
		t.Error("it was one piece")
	}
}

// TestCertifyClock: certificates that a wrong clock made are not current once it is right,
// and none are made while the host's is not valid by the clock.
func TestCertifyClock(t *testing.T) {
	t.Parallel()
	c := newCertified(t)
	own := *c.m.certified[testUUID]
	own.begins = uint32(time.Now().AddDate(3, 0, 0).Unix())
	c.m.certified[testUUID] = &own
	if ok, err := c.vtpm.Certified(); ok || err != nil {
		t.Errorf("certificates that begin in three years: %v, %v", ok, err)
	}
	host := *c.m.identity
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name, err := host.akName()
	if err != nil {
		t.Fatal(err)
	}
	host.certificate, err = (&cert.Issuer{Key: signer}).Host(signer.Public(), &cert.HostClaims{Manager: c.m.id, AK: name},
		cert.Terms{NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	c.m.identity = &host
	if _, err := c.vtpm.Certify(c.eks); !errors.Is(err, proto.NoIdentity) {
		t.Errorf("the host's certificate has not begun: %v", err)
	}
	if err := c.admin.Measured(9, [32]byte{}); !errors.Is(err, proto.BadMessage) {
		t.Errorf("a measurement of zeros: %v", err)
	}
}
