package vtpmmgr

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/proto"
)

// TestAdmissionEnds: a domain was admitted, loaded and committed. The order that
// changes what it was admitted for ends that: it has no key and no commit any
// more until it loads again, and loads only if it would be admitted now.
func TestAdmissionEnds(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin, host := connect(t, m, Peer{}), as(t, m, testHost)
	group, _, err := admin.CreateGroup(&proto.Group{Name: "tenant", Labels: "vtpm_t"})
	if err != nil {
		t.Fatal(err)
	}
	image := sha256.Sum256([]byte("the next image"))
	u := UUID{0xD7}
	tenant := func(change func(e *proto.Enrollment)) *proto.Enrollment {
		e := &proto.Enrollment{UUID: u, Group: group}
		if change != nil {
			change(e)
		}
		return e
	}
	for _, c := range []struct {
		name  string
		order func() error
		load  error // of the domain that was connected
	}{
		{"another image, not measured", func() error {
			return admin.Amend(tenant(func(e *proto.Enrollment) { e.Image = image }))
		}, proto.NotMeasured},
		{"another image, measured", func() error {
			return errors.Join(host.Measured(5, image), admin.Amend(tenant(func(e *proto.Enrollment) { e.Image = image })))
		}, nil},
		{"other labels", func() error {
			return admin.AmendGroup(&proto.Group{ID: group, Name: "tenant", Labels: "other_t"})
		}, proto.WrongLabel},
		{"destroyed", func() error { return admin.Destroy(u) }, proto.NotEnrolled},
		{"destroyed, and enrolled by another for an image", func() error {
			return errors.Join(admin.Destroy(u), admin.Enroll(&proto.Enrollment{UUID: u, Image: [32]byte{9}}))
		}, proto.NotMeasured},
	} {
		if err := errors.Join(admin.AmendGroup(&proto.Group{ID: group, Name: "tenant", Labels: "vtpm_t"}), admin.Enroll(tenant(nil))); err != nil {
			t.Fatal(c.name, err)
		}
		vtpm, end := live(t, m, Peer{Domain: 5, UUID: u, Label: "vtpm_t"}, 2)
		if err := c.order(); err != nil {
			t.Fatal(c.name, err)
		}
		before := m.records[u]
		if err := vtpm.Commit(testState(3)); err == nil {
			t.Errorf("%s: a commit was taken", c.name)
		}
		if m.records[u] != before {
			t.Errorf("%s: the record was changed", c.name)
		}
		g, err := vtpm.Load()
		if !errors.Is(err, c.load) {
			t.Errorf("%s: load: %v, want %v", c.name, err, c.load)
		}
		if err == nil {
			if g.State != *testState(2) {
				t.Errorf("%s: loaded %+v", c.name, g.State)
			}
			if err := vtpm.Commit(testState(3)); err != nil {
				t.Errorf("%s: commit after it was admitted again: %v", c.name, err)
			}
		}
		end()
		admin.Destroy(u)
		m.mu.Lock()
		delete(m.measured, 5)
		m.mu.Unlock()
	}
}

// TestDestroyedPlace: the domain of a destroyed vTPM keeps nobody from the uuid,
// and gets nothing that belongs to its next owner.
func TestDestroyedPlace(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	if err := enroll(admin, testUUID); err != nil {
		t.Fatal(err)
	}
	old, _ := live(t, m, Peer{Domain: 5, UUID: testUUID}, 2)
	if err := errors.Join(admin.Destroy(testUUID), enroll(admin, testUUID)); err != nil {
		t.Fatal(err)
	}
	next, end := live(t, m, Peer{Domain: 6, UUID: testUUID}, 1)
	if _, err := old.Load(); !errors.Is(err, proto.Busy) {
		t.Errorf("the old domain loads: %v", err)
	}
	if err := old.Commit(testState(2)); !errors.Is(err, proto.NotConnected) {
		t.Errorf("the old domain commits: %v", err)
	}
	if err := next.Commit(testState(2)); err != nil {
		t.Error(err)
	}
	end()
	// Not even where nobody is there: it has to load first.
	if err := old.Commit(testState(3)); !errors.Is(err, proto.NotConnected) {
		t.Errorf("the old domain commits to the new enrollment: %v", err)
	}
}

// TestKeys: the old key names the new one, the operator's key helps where the
// old one is lost, and none of their words can be used for anything else, or
// again.
func TestKeys(t *testing.T) {
	t.Parallel()
	operator, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	setup := testSetup()
	setup.Operator = &operator.PublicKey
	m, err := Initialize(Config{TPM: tpm, Disk: disk, Log: t.Logf}, setup)
	if err != nil {
		t.Fatal(err)
	}
	key := func(n byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)) }
	second, third, stranger := key(0x62), key(0x63), key(0x64)
	alive := func(k ed25519.PrivateKey) error { _, err := as(t, m, k).List(); return err }

	if err := as(t, m, stranger).SetKey(proto.AdminKey, stranger); !errors.Is(err, proto.Unsigned) {
		t.Errorf("a stranger makes itself the administrator: %v", err)
	}
	if err := as(t, m, testHost).SetKey(proto.HostKey, stranger); !errors.Is(err, proto.Unsigned) {
		t.Errorf("the host's key changes itself: %v", err)
	}
	// A key whose holder did not agree, or agreed to another role.
	for _, role := range []proto.KeyRole{proto.AdminKey, proto.HostKey} {
		c := as(t, m, testAdmin)
		g, err := c.Hello()
		if err != nil {
			t.Fatal(err)
		}
		k := proto.NewKey{Role: proto.AdminKey, Key: [32]byte(public(second))}
		signer := testAdmin
		if role == proto.HostKey {
			signer = second
		}
		k.Proof = [64]byte(ed25519.Sign(signer, proto.SignedProof(g.Manager, role, k.Key)))
		if err := sendOrder(t, m, testAdmin, proto.SetKey, k.Append(nil)); !errors.Is(err, proto.Unsigned) {
			t.Errorf("a key without its holder's word: %v", err)
		}
	}
	if err := as(t, m, testAdmin).SetKey(proto.AdminKey, second); err != nil {
		t.Fatal(err)
	}
	if err := alive(testAdmin); !errors.Is(err, proto.Unsigned) {
		t.Errorf("the old key: %v", err)
	}
	if err := as(t, m, second).SetKey(proto.HostKey, third); err != nil {
		t.Fatal(err)
	}
	if err := as(t, m, testHost).Measured(5, [32]byte{1}); !errors.Is(err, proto.Unsigned) {
		t.Errorf("the host's old key: %v", err)
	}
	if err := as(t, m, third).Measured(5, [32]byte{1}); err != nil {
		t.Errorf("the host's new key: %v", err)
	}

	// The second key is lost.
	by := func(k *ecdsa.PrivateKey, old, new ed25519.PrivateKey) (sig [64]byte) {
		digest := sha256.Sum256(proto.SignedRecovery(m.id, [32]byte(public(old)), m.config.adminNumber, [32]byte(public(new))))
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
		return sig
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	word := by(operator, second, third)
	for name, err := range map[string]error{
		"no word":                    as(t, m, third).Recover([64]byte{}),
		"another operator's":         as(t, m, third).Recover(by(other, second, third)),
		"of another old key":         as(t, m, third).Recover(by(operator, testAdmin, third)),
		"of another new key":         as(t, m, stranger).Recover(word),
		"the word, not by the named": sendOrder(t, m, stranger, proto.Recover, (&proto.Recovery{Key: [32]byte(public(third)), Signature: word}).Append(nil)),
	} {
		if !errors.Is(err, proto.Unsigned) {
			t.Errorf("recovery by %s: %v", name, err)
		}
	}
	if err := as(t, m, third).Recover(word); err != nil {
		t.Fatal(err)
	}
	if err := as(t, m, third).Recover(word); !errors.Is(err, proto.Unsigned) {
		t.Errorf("the word again: %v", err)
	}
	if m, err = Open(Config{TPM: tpm, Disk: disk, Log: t.Logf}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(alive(third)); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if err := alive(second); !errors.Is(err, proto.Unsigned) {
		t.Errorf("the lost key after a restart: %v", err)
	}
}

// sendOrder sends an order as no client would make it.
func sendOrder(t *testing.T, m *Manager, key ed25519.PrivateKey, o proto.Ordinal, args []byte) error {
	t.Helper()
	s, err := m.Open(Peer{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
	g, err := c.Hello()
	if err != nil {
		t.Fatal(err)
	}
	sig := ed25519.Sign(key, proto.Signed(g.Manager, g.Nonce, 0, o, args))
	_, code, _, err := proto.Parse(s.Execute(proto.Message(proto.TagAdmin, uint32(o), append(sig, args...))))
	if err != nil {
		t.Fatal(err)
	}
	if proto.Code(code) == proto.OK {
		return nil
	}
	return proto.Code(code)
}

// TestQuota: a tenant fills its own share of the disk, and nobody else's.
func TestQuota(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	m := newTestManager(t, tpm, disk)
	admin, tenant := connect(t, m, Peer{}), as(t, m, testApprover)
	id, _, err := admin.CreateGroup(&proto.Group{Name: "tenant", Approver: [32]byte(public(testApprover))})
	if err != nil {
		t.Fatal(err)
	}
	if err := tenant.SetQuota(id, 0); !errors.Is(err, proto.Unsigned) {
		t.Errorf("the tenant sets its own quota: %v", err)
	}
	if err := admin.SetQuota(77, 3); !errors.Is(err, proto.NoGroup) {
		t.Errorf("of no group: %v", err)
	}
	if err := admin.SetQuota(id, 3); err != nil {
		t.Fatal(err)
	}
	if err := tenant.AmendGroup(&proto.Group{ID: id, Name: "tenant", Approver: [32]byte(public(testApprover)), Quota: 99}); err != nil {
		t.Fatal(err)
	}
	if m, err = Open(Config{TPM: tpm, Disk: disk, Log: t.Logf}); err != nil {
		t.Fatal(err)
	}
	admin, tenant = connect(t, m, Peer{}), as(t, m, testApprover)
	for n := range byte(6) {
		err := tenant.Enroll(&proto.Enrollment{UUID: UUID{0x40, n}, Group: id})
		if n < 3 && err != nil || n >= 3 && !errors.Is(err, proto.OverQuota) {
			t.Errorf("vTPM %d: %v", n, err)
		}
	}
	if err := tenant.Destroy(UUID{0x40, 1}); err != nil {
		t.Fatal(err)
	}
	if err := tenant.Enroll(&proto.Enrollment{UUID: UUID{0x40, 7}, Group: id}); err != nil {
		t.Errorf("in the place of a destroyed one: %v", err)
	}
	if err := enroll(admin, UUID{0x50}); err != nil {
		t.Errorf("another group: %v", err)
	}
}

// TestProfileOfRecord: what a vTPM offers is of the order that enrolled it, and
// comes with each load; an order that does not say leaves it as it is.
func TestProfileOfRecord(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	m := newTestManager(t, tpm, disk)
	admin := connect(t, m, Peer{})
	profile := string(bytes.Repeat([]byte{7}, proto.MaxProfile))
	name := string(bytes.Repeat([]byte{'n'}, proto.MaxName))
	if err := admin.Enroll(&proto.Enrollment{UUID: testUUID, Name: name, Profile: profile}); err != nil {
		t.Fatal(err)
	}
	if err := admin.Amend(&proto.Enrollment{UUID: testUUID, Name: "short"}); err != nil {
		t.Fatal(err)
	}
	m, err := Open(Config{TPM: tpm, Disk: disk, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	if g, err := connect(t, m, Peer{Domain: 5, UUID: testUUID}).Load(); err != nil || g.Profile != profile {
		t.Errorf("profile of %d bytes, %v", len(g.Profile), err)
	}
	long := proto.Enrollment{UUID: UUID{5}, Profile: profile + "x"}
	if err := connect(t, m, Peer{}).Enroll(&long); !errors.Is(err, proto.BadMessage) {
		t.Errorf("a longer profile: %v", err)
	}
}

// TestFirstVersions: items as version 1 wrote them are read.
func TestFirstVersions(t *testing.T) {
	t.Parallel()
	r := record{uuid: UUID{1}, group: 5, suspended: true, name: "mail", image: [32]byte{3}, salt: [32]byte{4}}
	b := r.change().Body
	old := append(bytes.Clone(b[:recordName]), r.name...)
	old[1] = 1
	if got, err := decodeRecord(old); err != nil || got != r {
		t.Errorf("record: %+v, %v", got, err)
	}
	g := group{Group: proto.Group{ID: 5, Name: "tenant", Labels: "a"}, key: [32]byte{6}}
	root := make([]byte, 32)
	b = g.changes(root)[0].Body
	old = bytes.Clone(b[:len(b)-4])
	old[1] = 1
	if got, err := decodeGroup(old, root); err != nil || got.Name != g.Name || got.Labels != g.Labels || got.Quota != 0 || got.key != g.key {
		t.Errorf("group: %+v, %v", got, err)
	}
}
