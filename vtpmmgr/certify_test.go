package vtpmmgr

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// primary returns the TPMT_PUBLIC of a key that a TPM derives from its endorsement seed.
func primary(t testing.TB, tpm transport.TPM, template tpm2.TPMTPublic) []byte {
	t.Helper()
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template)}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(tpm)
	return r.OutPublic.Bytes()
}

// A writesLeft is a disk that takes n more writes; any number if n is negative.
type writesLeft struct {
	*blocktest.Mem
	n int
}

func (d *writesLeft) WriteAt(p []byte, off int64) (int, error) {
	if d.n == 0 {
		return 0, errors.New("the disk takes no more")
	}
	d.n--
	return d.Mem.WriteAt(p, off)
}

// A certifying is a manager with an identity, and a vTPM of it that has a state.
type certifying struct {
	m     *Manager
	disk  *writesLeft
	tpm   transport.TPM
	admin *proto.Client
	vtpm  *proto.Client
	eks   [][]byte
}

func newCertifying(t *testing.T, tpm transport.TPM) *certifying {
	t.Helper()
	c := &certifying{tpm: tpm, disk: &writesLeft{blocktest.NewMem(testDisk), -1}}
	c.m = newTestManager(t, tpm, c.disk)
	c.admin = as(t, c.m, testAdmin)
	if err := enroll(c.admin, testUUID); err != nil {
		t.Fatal(err)
	}
	c.vtpm = connect(t, c.m, Peer{Domain: 5, UUID: testUUID})
	own := hardwareTPM(t) // any TPM of the kind
	c.eks = [][]byte{primary(t, own, tpm2.ECCEKTemplate), primary(t, own, tpm2.RSAEKTemplate)}
	return c
}

func (c *certifying) load(t *testing.T) {
	t.Helper()
	g, err := c.vtpm.Load()
	if err != nil {
		t.Fatal(err)
	}
	if g.State.Sequence == 0 {
		if err := commit(c.vtpm, 1, [32]byte{1}, [32]byte{2}); err != nil {
			t.Fatal(err)
		}
	}
}

// serials returns those of the newest revocation list, whose signature must be the host's.
func (c *certifying) revoked(t *testing.T) (all []string) {
	t.Helper()
	der, err := c.admin.RevocationList()
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	host, err := x509.ParseCertificate(c.m.identity.certificate)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(host); err != nil {
		t.Fatal(err)
	}
	for _, e := range list.RevokedCertificateEntries {
		all = append(all, e.SerialNumber.Text(16))
	}
	return all
}

func TestCertify(t *testing.T) {
	t.Parallel()
	t.Run("device", func(t *testing.T) { testCertify(t, hardwareTPM(t)) })
	t.Run("swtpm", func(t *testing.T) {
		tpm, stop := swtpm(t, t.TempDir())
		defer stop()
		testCertify(t, tpm)
	})
}

// testCertify: a vTPM has its keys certified after it has loaded, by claims of the ledger;
// what changes the claims makes the certificates stale; what ends the vTPM revokes them.
func testCertify(t *testing.T, tpm transport.TPM) {
	c := newCertifying(t, tpm)
	refused := func(when string, want proto.Code) {
		t.Helper()
		if _, err := c.vtpm.Certify(c.eks); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", when, err, want)
		}
	}
	refused("before LOAD", proto.NotConnected)
	if _, err := c.vtpm.Load(); err != nil {
		t.Fatal(err)
	}
	refused("before there is a state", proto.NotConnected)
	c.load(t)
	refused("without an identity", proto.NoIdentity)
	if _, err := c.vtpm.Certified(); !errors.Is(err, proto.NoIdentity) {
		t.Errorf("certified without an identity: %v", err)
	}
	if _, err := c.admin.IdentityRequest([32]byte{7}, 3); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.vtpm.Certified(); ok || err != nil {
		t.Errorf("certified already: %v", err)
	}
	good := c.eks
	signing := primary(t, hardwareTPM(t), restrictedSigner())
	for name, keys := range map[string][][]byte{"a signing key": {signing}, "one bad": {good[0], signing}, "garbage": {{1, 2}}, "cut": {good[0][:40]}} {
		c.eks = keys
		refused(name, proto.BadCertificate)
	}
	c.eks = good

	first := c.certified(t)
	if ok, err := c.vtpm.Certified(); !ok || err != nil {
		t.Errorf("not certified: %v", err)
	}
	if got := c.revoked(t); len(got) != 0 {
		t.Errorf("revoked: %v", got)
	}
	if err := c.admin.Amend(&proto.Enrollment{UUID: testUUID, Name: "another"}); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.vtpm.Certified(); !ok || err != nil {
		t.Errorf("a name that is no claim makes them stale: %v", err)
	}

	// The manager's domain starts again.
	var err error
	if c.m, err = Open(Config{TPM: c.tpm, Disk: c.disk, Log: t.Logf}); err != nil {
		t.Fatal(err)
	}
	c.admin, c.vtpm = as(t, c.m, testAdmin), connect(t, c.m, Peer{Domain: 6, UUID: testUUID})
	c.load(t)
	if ok, err := c.vtpm.Certified(); !ok || err != nil {
		t.Errorf("not certified after a restart: %v", err)
	}
	second := c.certified(t)
	if err := c.admin.Suspend(testUUID); err != nil {
		t.Fatal(err)
	}
	refused("suspended", proto.Suspended)
	if err := c.admin.Destroy(testUUID); err != nil {
		t.Fatal(err)
	}
	refused("destroyed", proto.NotEnrolled)
	got, want := c.revoked(t), slices.Concat(first, second)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("revoked %v, want %v", got, want)
	}
	if c.m, err = Open(Config{TPM: c.tpm, Disk: c.disk, Log: t.Logf}); err != nil {
		t.Fatal(err)
	}
	c.admin = as(t, c.m, testAdmin)
	if got := c.revoked(t); len(got) != len(want) {
		t.Errorf("after a restart %v are revoked, want %v", got, want)
	}
}

func restrictedSigner() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, Restricted: true, SignEncrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256,
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})}})}
}

// certified has the keys certified, checks the certificates, and returns their serials.
func (c *certifying) certified(t *testing.T) (serials []string) {
	t.Helper()
	ders, err := c.vtpm.Certify(c.eks)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := c.vtpm.Chain()
	if err != nil {
		t.Fatal(err)
	}
	if len(chain) != 1 || !bytes.Equal(chain[0], c.m.identity.certificate) {
		t.Fatalf("a chain of %d", len(chain))
	}
	host, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if h, err := cert.HostClaimsOf(host); err != nil || h.Image != [32]byte{7} || h.SecurityVersion != 3 {
		t.Errorf("claims of the host: %+v, %v", h, err)
	}
	for i, der := range ders {
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := made.CheckSignatureFrom(host); err != nil {
			t.Errorf("certificate %d: %v", i, err)
		}
		_, key, err := cert.ParsePublic(c.eks[i])
		if err != nil {
			t.Fatal(err)
		}
		if have, _ := cert.KeyHash(made.PublicKey); have != must(cert.KeyHash(key)) {
			t.Errorf("certificate %d is of another key", i)
		}
		want := cert.VTPMClaims{UUID: testUUID, Manager: c.m.id, LedgerEpoch: c.m.store.Epoch(), Profile: "default"}
		if have, err := cert.VTPMClaimsOf(made); err != nil || *have != want {
			t.Errorf("certificate %d: %+v, want %+v; %v", i, have, want, err)
		}
		serials = append(serials, made.SerialNumber.Text(16))
	}
	return serials
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestCertifyAK: an attestation key of a vTPM that has certificates is certified, with the
// same claims, and all of them are revoked when the vTPM is destroyed.
func TestCertifyAK(t *testing.T) {
	t.Parallel()
	c := newCertifying(t, hardwareTPM(t))
	if _, err := c.admin.IdentityRequest([32]byte{7}, 3); err != nil {
		t.Fatal(err)
	}
	c.load(t)
	key := primary(t, hardwareTPM(t), restrictedSigner())
	if _, err := c.vtpm.CertifyAK(key); !errors.Is(err, proto.NoIdentity) {
		t.Errorf("before the endorsement keys: %v", err)
	}
	eks := c.certified(t)
	for name, bad := range map[string][]byte{"an endorsement key": c.eks[0], "nothing": nil, "garbage": {1, 2, 3}} {
		if _, err := c.vtpm.CertifyAK(bad); !errors.Is(err, proto.BadCertificate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	host, err := x509.ParseCertificate(c.m.identity.certificate)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for range 20 {
		*c.m.sharesOf(testUUID) = shares{}
		der, err := c.vtpm.CertifyAK(key)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := made.CheckSignatureFrom(host); err != nil {
			t.Error(err)
		}
		if claims, err := cert.VTPMClaimsOf(made); err != nil || claims.UUID != testUUID || made.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("%+v, %v", claims, err)
		}
		all = append(all, made.SerialNumber.Text(16))
	}
	if got := c.revoked(t); len(got) != 0 {
		t.Errorf("revoked: %v", got)
	}
	if ok, err := c.vtpm.Certified(); !ok || err != nil {
		t.Errorf("the endorsement keys are not certified any more: %v", err)
	}
	if err := c.admin.Destroy(testUUID); err != nil {
		t.Fatal(err)
	}
	got, want := c.revoked(t), slices.Concat(all, eks)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("revoked %v, want %v", got, want)
	}
}

// TestCertifyIsKept: nobody is given a certificate that could not be revoked, since the
// ledger does not have it.
func TestCertifyIsKept(t *testing.T) {
	t.Parallel()
	c := newCertifying(t, hardwareTPM(t))
	if _, err := c.admin.IdentityRequest([32]byte{7}, 3); err != nil {
		t.Fatal(err)
	}
	c.load(t)
	for n := 0; ; n++ {
		if n > 200 {
			t.Fatal("it never succeeds")
		}
		*c.m.sharesOf(testUUID) = shares{}
		c.disk.n = n
		ders, err := c.vtpm.Certify(c.eks)
		c.disk.n = -1
		if err == nil {
			if n == 0 {
				t.Error("nothing was written")
			}
			if len(ders) != len(c.eks) || int(c.m.certified[testUUID].serials.count) != len(c.eks) {
				t.Error("succeeded, and is not kept")
			}
			break
		}
		if !errors.Is(err, proto.Failed) {
			t.Fatalf("write %d fails: %v", n, err)
		}
	}
}

func TestCertifyRate(t *testing.T) {
	t.Parallel()
	c := newCertifying(t, hardwareTPM(t))
	if _, err := c.admin.IdentityRequest([32]byte{7}, 3); err != nil {
		t.Fatal(err)
	}
	c.load(t)
	for i := range int(certifyRate.burst) {
		if _, err := c.vtpm.Certify(c.eks[:1]); err != nil {
			t.Fatalf("number %d: %v", i, err)
		}
	}
	if _, err := c.vtpm.Certify(c.eks[:1]); !errors.Is(err, proto.Rate) {
		t.Errorf("one more: %v", err)
	}
}

// TestRevocations: what is kept of certificates stays within its items, nothing is lost
// while there is room, whatever the clock says, and no group fills the list.
func TestRevocations(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	var r revocations
	items := map[ledger.ID][]byte{}
	get := func(id ledger.ID) ([]byte, error) {
		if b, ok := items[id]; ok {
			return b, nil
		}
		return nil, ledger.ErrNotFound
	}
	entry := func(i int, until time.Duration) revoked {
		s := newSerials()
		s.count, s.until = uint16(i%maxSerials), uint32(now.Add(until).Unix())
		return revoked{uint32(i % 16), s, uint32(now.Unix())}
	}
	for i := range maxRevoked {
		at := now
		if i%3 == 0 {
			at = now.AddDate(50, 0, 0) // the clock is wrong
		}
		to, changes, ok := r.with(entry(i, time.Hour), true, at)
		if !ok {
			t.Fatalf("no room with %d", len(r.list))
		}
		for _, c := range changes {
			if len(c.Body) > ledger.MaxBody {
				t.Fatalf("an item of %d bytes", len(c.Body))
			}
			if items[c.ID] = c.Body; c.Body == nil {
				delete(items, c.ID)
			}
		}
		r = to
		if i%50 != 0 {
			continue
		}
		got, err := readRevocations(get)
		if err != nil || !slices.Equal(got.list, r.list) || len(items) != 2*len(r.pages) || len(r.list) != i+1 {
			t.Fatalf("%d entries, read %d, %d items of %d pages: %v", len(r.list), len(got.list), len(items), len(r.pages), err)
		}
	}
	if _, _, ok := r.with(entry(0, time.Hour), false, now); ok {
		t.Error("room for more than there is")
	}
	to, _, ok := r.with(entry(0, 100*time.Hour), false, now.Add(90*time.Hour))
	if !ok || len(to.list) != 1 {
		t.Errorf("%d entries after all others have ended", len(to.list))
	}

	// A page that is damaged in both places is missed, and the others are read.
	for _, id := range revokedItems(3) {
		items[id][0] = 0
	}
	if got, err := readRevocations(get); err == nil || len(got.list) != maxRevoked-revokedOnPage {
		t.Errorf("%d entries, %v", len(got.list), err)
	}

	var one revocations
	for i := range maxRevokedGroup + 1 {
		e := entry(0, time.Hour)
		next, _, ok := one.with(e, true, now)
		if want := i < maxRevokedGroup; ok != want {
			t.Fatalf("entry %d of one group: %v", i, ok)
		}
		if ok {
			one = next
		}
	}
	if _, _, ok := one.with(entry(0, time.Hour), false, now); !ok {
		t.Error("the administrator cannot revoke")
	}
}

func FuzzCertified(f *testing.F) {
	f.Add((&certified{uuid: testUUID, keys: [][32]byte{{1}}, serials: newSerials(), ends: 7}).changes()[0].Body)
	f.Add([]byte{kindCertified, certifiedVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCertified(b)
		if err != nil {
			return
		}
		if got := c.changes()[0].Body; !bytes.Equal(got, b) {
			t.Errorf("%x is written as %x", b, got)
		}
		if len(b) > ledger.MaxBody {
			t.Error("larger than an item")
		}
	})
}

func FuzzRevoked(f *testing.F) {
	_, changes, _ := revocations{}.with(revoked{serials: newSerials()}, false, time.Unix(1000, 0))
	f.Add(changes[0].Body)
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := decodeRevoked(b, 0); err == nil && len(list)*revokedSize+revokedHead != len(b) {
			t.Errorf("%x: %d entries", b, len(list))
		}
	})
}
