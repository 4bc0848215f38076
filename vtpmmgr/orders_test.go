package vtpmmgr

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/escrow"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// as returns an administrator's client with a key.
func as(t testing.TB, m *Manager, key ed25519.PrivateKey) *proto.Client {
	t.Helper()
	c := connect(t, m, Peer{})
	c.Key = key
	return c
}

// live connects a vTPM and commits states up to last, with floors that rise
// with them.
func live(t *testing.T, m *Manager, p Peer, last uint64) (c *proto.Client, end func()) {
	t.Helper()
	s, err := m.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	c = &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
	g, err := c.Load()
	if err != nil {
		t.Fatal(err)
	}
	for n := g.State.Sequence + 1; n <= last; n++ {
		if err := c.Commit(testState(n)); err != nil {
			t.Fatal(err)
		}
	}
	return c, s.Close
}

func testState(n uint64) *proto.State {
	return &proto.State{Sequence: n, Hash: [32]byte{byte(n)}, Key: [32]byte{byte(n), 1},
		Floors: proto.Floors{Clock: 1000 * n, ResetCount: uint32(n), FailedTries: uint32(n)}}
}

// TestSignatures gives orders that are not, or no longer, the administrator's.
func TestSignatures(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	for name, key := range map[string]ed25519.PrivateKey{"stranger": stranger, "host": testHost} {
		c := as(t, m, key)
		if err := enroll(c, testUUID); !errors.Is(err, proto.Unsigned) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.List(); !errors.Is(err, proto.Unsigned) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// An order that was seen is sent again: on the same connection, after
	// another greeting, and on another connection.
	s, err := m.Open(Peer{})
	if err != nil {
		t.Fatal(err)
	}
	var seen []byte
	c := &proto.Client{Key: testAdmin, Transact: func(b []byte) ([]byte, error) { seen = b; return s.Execute(b), nil }}
	if err := enroll(c, testUUID); err != nil {
		t.Fatal(err)
	}
	if err := c.Destroy(testUUID); err != nil {
		t.Fatal(err)
	}
	destroy := seen
	if err := enroll(c, testUUID); err != nil {
		t.Fatal(err)
	}
	replay := func(name string, s *Session) {
		t.Helper()
		if _, code, _, err := proto.Parse(s.Execute(destroy)); err != nil || proto.Code(code) != proto.Unsigned {
			t.Errorf("replayed %s: %v, %v", name, proto.Code(code), err)
		}
	}
	replay("on the same connection", s)
	if _, err := c.Hello(); err != nil {
		t.Fatal(err)
	}
	replay("after a greeting", s)
	other, err := m.Open(Peer{})
	if err != nil {
		t.Fatal(err)
	}
	replay("without a greeting", other)
	(&proto.Client{Transact: func(b []byte) ([]byte, error) { return other.Execute(b), nil }}).Hello()
	replay("on another connection", other)
	// Each byte of an order that is turned on its way.
	for i := proto.HeaderSize; ; i++ {
		flip := &proto.Client{Key: testAdmin, Transact: func(b []byte) ([]byte, error) {
			if _, code, _, _ := proto.Parse(b); proto.Ordinal(code) == proto.Destroy {
				if i >= len(b) {
					return nil, errors.New("end")
				}
				b = bytes.Clone(b)
				b[i] ^= 1
			}
			return other.Execute(b), nil
		}}
		err := flip.Destroy(testUUID)
		if err != nil && err.Error() == "end" {
			break
		}
		if !errors.Is(err, proto.Unsigned) {
			t.Fatalf("byte %d turned: %v", i, err)
		}
	}
	if st, err := c.Status(); err != nil || st["refused-9"] == "" || st["vtpms"] != "1" {
		t.Errorf("status: %v, %v", st, err)
	}
}

// TestGroups has two tenants: one's approver decides nothing about the other's
// vTPMs, and one's key opens nothing of the other's.
func TestGroups(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	m := newTestManager(t, tpm, disk)
	admin := connect(t, m, Peer{})
	otherKey := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
	a, _, err := admin.CreateGroup(&proto.Group{Name: "a", Approver: [32]byte(public(testApprover))})
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := admin.CreateGroup(&proto.Group{Name: "b", Approver: [32]byte(public(otherKey))})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := admin.CreateGroup(&proto.Group{Name: "a"}); !errors.Is(err, proto.Exists) {
		t.Errorf("the same name twice: %v", err)
	}
	ca, cb := as(t, m, testApprover), as(t, m, otherKey)
	ua, ub := UUID{0xA}, UUID{0xB}
	in := func(u UUID, g uint32) *proto.Enrollment { return &proto.Enrollment{UUID: u, Group: g} }
	for name, err := range map[string]error{
		"b's into a": cb.Enroll(in(ua, a)), "the administrator's into a": admin.Enroll(in(ua, a)), "a's into the first": ca.Enroll(in(ua, 0)),
	} {
		if !errors.Is(err, proto.Unsigned) {
			t.Errorf("enrollment of %s: %v", name, err)
		}
	}
	if err := ca.Enroll(in(ua, 77)); !errors.Is(err, proto.Unsigned) {
		t.Errorf("into no group: %v", err)
	}
	if err := admin.Enroll(in(ua, 77)); !errors.Is(err, proto.NoGroup) {
		t.Errorf("into no group, by the administrator: %v", err)
	}
	if err := errors.Join(ca.Enroll(in(ua, a)), cb.Enroll(in(ub, b))); err != nil {
		t.Fatal(err)
	}
	_, enda := live(t, m, Peer{Domain: 1, UUID: ua}, 3)
	_, endb := live(t, m, Peer{Domain: 2, UUID: ub}, 3)
	enda()
	endb()
	for name, order := range map[string]func(c *proto.Client) error{
		"destroy": func(c *proto.Client) error { return c.Destroy(ua) }, "amend": func(c *proto.Client) error { return c.Amend(in(ua, a)) },
		"backup":      func(c *proto.Client) error { _, err := c.Backup(ua); return err },
		"amend group": func(c *proto.Client) error { return c.AmendGroup(&proto.Group{ID: a, Name: "mine"}) },
	} {
		for who, c := range map[string]*proto.Client{"b's approver": cb, "the administrator": admin} {
			if err := order(c); !errors.Is(err, proto.Unsigned) {
				t.Errorf("%s by %s: %v", name, who, err)
			}
		}
	}
	// The administrator may stop any, and only he lets go on what he stopped.
	if err := cb.Suspend(ua); !errors.Is(err, proto.Unsigned) {
		t.Errorf("suspend by b's approver: %v", err)
	}
	if err := admin.Suspend(ua); err != nil {
		t.Errorf("suspend by the administrator: %v", err)
	}
	if err := ca.Suspend(ua); err != nil {
		t.Errorf("suspend by both: %v", err)
	}
	if err := ca.Resume(ua); !errors.Is(err, proto.Unsigned) {
		t.Errorf("resume of what the administrator suspended: %v", err)
	}
	if err := admin.Resume(ua); err != nil {
		t.Errorf("resume by the administrator: %v", err)
	}
	if err := errors.Join(ca.Suspend(ua), ca.Resume(ua)); err != nil {
		t.Error(err)
	}
	ra := m.records[ua]
	if _, err := m.group(b).unwrap(&ra); !errors.Is(err, errWrap) {
		t.Errorf("b's key opens a's state: %v", err)
	}
	// Both survive a restart.
	if m, err = Open(Config{TPM: tpm, Disk: disk, Log: t.Logf}); err != nil {
		t.Fatal(err)
	}
	groups, err := connect(t, m, Peer{}).Groups()
	if err != nil || len(groups) != 3 || groups[0].Name != "default" {
		t.Fatalf("groups: %+v, %v", groups, err)
	}
	for _, u := range []UUID{ua, ub} {
		if g, err := connect(t, m, Peer{Domain: 3, UUID: u}).Load(); err != nil || g.State != *testState(3) {
			t.Errorf("%v: %+v, %v", u, g, err)
		}
	}
}

// TestAdmission has domains that may not connect: each is told why.
func TestAdmission(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin, host := connect(t, m, Peer{}), as(t, m, testHost)
	id, _, err := admin.CreateGroup(&proto.Group{Name: "labelled", Labels: "system_u:system_r:vtpm_t, other"})
	if err != nil {
		t.Fatal(err)
	}
	image := sha256.Sum256([]byte("vtpm"))
	if err := errors.Join(admin.Enroll(&proto.Enrollment{UUID: UUID{1}, Group: id}),
		admin.Enroll(&proto.Enrollment{UUID: UUID{2}, Image: image}), enroll(admin, UUID{3}),
		host.Measured(20, image), host.Measured(21, [32]byte{1})); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		p    Peer
		want error
	}{
		{"no label", Peer{Domain: 5, UUID: UUID{1}}, proto.WrongLabel},
		{"another label", Peer{Domain: 5, UUID: UUID{1}, Label: "system_u:system_r:domU_t"}, proto.WrongLabel},
		{"part of a label", Peer{Domain: 5, UUID: UUID{1}, Label: "system_u:system_r:vtpm_t, other"}, proto.WrongLabel},
		{"not measured", Peer{Domain: 5, UUID: UUID{2}}, proto.NotMeasured},
		{"another image", Peer{Domain: 21, UUID: UUID{2}}, proto.WrongImage},
		{"first label", Peer{Domain: 5, UUID: UUID{1}, Label: "system_u:system_r:vtpm_t"}, nil},
		{"the image", Peer{Domain: 20, UUID: UUID{2}}, nil},
		{"any", Peer{Domain: 6, UUID: UUID{3}}, nil},
	} {
		s, err := m.Open(c.p)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			s.Close()
		}
	}
	// The secrets of its limited hierarchies are the image's, and the vTPM's.
	secrets := func(domain uint16, u UUID) (firmware, svn [32]byte) {
		t.Helper()
		s, err := m.Open(Peer{Domain: domain, UUID: u})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		g, err := (&proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}).Load()
		if err != nil {
			t.Fatal(err)
		}
		return g.Firmware, g.SVN
	}
	one, svn := secrets(20, UUID{3})
	same, _ := secrets(20, UUID{3})
	image2, svn2 := secrets(21, UUID{3})
	other, svn3 := secrets(20, UUID{2})
	if none, _ := secrets(6, UUID{3}); none != [32]byte{} || one == none || one != same || one == image2 || one == other || svn != svn2 || svn == svn3 {
		t.Error("secrets of the firmware")
	}
	c, end := live(t, m, Peer{Domain: 6, UUID: UUID{3}}, 1)
	if err := admin.Suspend(UUID{3}); err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(testState(2)); !errors.Is(err, proto.Suspended) {
		t.Errorf("suspended while connected: %v", err)
	}
	end()
	if _, err := m.Open(Peer{Domain: 6, UUID: UUID{3}}); !errors.Is(err, proto.Suspended) {
		t.Errorf("suspended: %v", err)
	}
	if err := admin.Resume(UUID{3}); err != nil {
		t.Fatal(err)
	}
	live(t, m, Peer{Domain: 6, UUID: UUID{3}}, 2)
	// A planned update of the vTPM's image.
	if err := admin.Amend(&proto.Enrollment{UUID: UUID{2}, Image: [32]byte{1}, Name: "after"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open(Peer{Domain: 20, UUID: UUID{2}}); !errors.Is(err, proto.WrongImage) {
		t.Errorf("the old image: %v", err)
	}
	if s, err := m.Open(Peer{Domain: 21, UUID: UUID{2}}); err != nil {
		t.Errorf("the new image: %v", err)
	} else {
		s.Close()
	}
}

// TestBackup restores a vTPM: openly, into a new epoch, and nothing runs
// backwards; what is destroyed has no backups.
func TestBackup(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	m := newTestManager(t, tpm, disk)
	admin := connect(t, m, Peer{})
	if err := errors.Join(enroll(admin, UUID{1}), enroll(admin, UUID{2})); err != nil {
		t.Fatal(err)
	}
	peer := Peer{Domain: 1, UUID: UUID{1}}
	_, end := live(t, m, peer, 3)
	if _, err := admin.Backup(UUID{1}); !errors.Is(err, proto.Busy) {
		t.Errorf("backup of a vTPM that runs: %v", err)
	}
	end()
	if _, err := admin.Backup(UUID{2}); !errors.Is(err, proto.NotConnected) {
		t.Errorf("backup of a vTPM that never ran: %v", err)
	}
	b, err := admin.Backup(UUID{1})
	if err != nil {
		t.Fatal(err)
	}
	if key := testState(3).Key; bytes.Contains(b, key[:]) {
		t.Error("the state key is in clear")
	}
	_, end = live(t, m, peer, 8)
	if _, _, err := admin.Restore(b); !errors.Is(err, proto.Busy) {
		t.Errorf("restore of a vTPM that runs: %v", err)
	}
	end()
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, _, err := admin.Restore(bad); err == nil {
			t.Fatalf("byte %d turned: taken", i)
		}
	}
	if _, _, err := as(t, m, testApprover).Restore(b); !errors.Is(err, proto.Unsigned) {
		t.Errorf("restore by a stranger: %v", err)
	}
	for want := uint32(1); want <= 2; want++ {
		u, epoch, err := admin.Restore(b)
		if err != nil || u != (UUID{1}) || epoch != want {
			t.Fatalf("restore: %v, epoch %d, %v", u, epoch, err)
		}
		g, err := connect(t, m, Peer{Domain: 10 + uint16(want), UUID: UUID{2}}).Load()
		if err != nil || g.Epoch != 0 {
			t.Errorf("the other vTPM: epoch %d, %v", g.Epoch, err)
		}
		s, err := m.Open(peer)
		if err != nil {
			t.Fatal(err)
		}
		c := &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
		g, err = c.Load()
		state := *testState(3)
		state.Floors = testState(8).Floors
		if err != nil || g.State != state || g.Epoch != want || g.Manufacture {
			t.Fatalf("after the restore: %+v, %v", g, err)
		}
		s.Close()
		if m, err = Open(Config{TPM: tpm, Disk: disk, Log: t.Logf}); err != nil {
			t.Fatal(err)
		}
		admin = connect(t, m, Peer{})
	}
	if err := admin.Destroy(UUID{1}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := admin.Restore(b); !errors.Is(err, proto.NotEnrolled) {
		t.Errorf("restore of what was destroyed: %v", err)
	}
	// Another one of this name is not that one.
	if err := enroll(admin, UUID{1}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := admin.Restore(b); !errors.Is(err, proto.BadBackup) {
		t.Errorf("restore of what was destroyed into another of its name: %v", err)
	}
}

// TestDestroyed puts the disks of before a destruction back: nothing on them
// opens, whatever key the manager has now.
func TestDestroyed(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	m := newTestManager(t, tpm, disk)
	admin := connect(t, m, Peer{})
	if err := enroll(admin, testUUID); err != nil {
		t.Fatal(err)
	}
	_, end := live(t, m, Peer{Domain: 1, UUID: testUUID}, 3)
	end()
	before := bytes.Clone(disk.Data)
	if err := admin.Destroy(testUUID); err != nil {
		t.Fatal(err)
	}
	after := bytes.Clone(disk.Data)
	copy(disk.Data, before)
	if _, err := Open(Config{TPM: tpm, Disk: disk, Log: t.Logf}); !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("the manager's old disk: %v", err)
	}
	// The record's sectors, put back one pair at a time.
	copy(disk.Data, after)
	for at := itemsAt; at < len(before); at += 2 * block.SectorSize {
		if bytes.Equal(before[at:at+1024], after[at:at+1024]) {
			continue
		}
		copy(disk.Data, after)
		copy(disk.Data[at:at+1024], before[at:at+1024])
		m, err := Open(Config{TPM: tpm, Disk: disk, Log: t.Logf})
		if err != nil {
			t.Fatalf("sectors at %d: %v", at, err)
		}
		if _, err := m.Open(Peer{Domain: 1, UUID: testUUID}); err == nil {
			t.Errorf("sectors at %d bring it back", at)
		}
		after = bytes.Clone(disk.Data)
	}
}

// TestEscrow loses a host: with the operator's key another manager serves the
// vTPM's state, without it none does.
func TestEscrow(t *testing.T) {
	t.Parallel()
	operator, err := escrow.Generate()
	if err != nil {
		t.Fatal(err)
	}
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	group := proto.Group{Name: "kept", Escrow: operator.Public()}
	id, sealed, err := admin.CreateGroup(&group)
	if err != nil {
		t.Fatal(err)
	}
	plain, none, err := admin.CreateGroup(&proto.Group{Name: "plain"})
	if err != nil || len(none) != 0 {
		t.Fatalf("a group without escrow: %x, %v", none, err)
	}
	var backups [][]byte
	for n, g := range []uint32{id, plain} {
		u := UUID{byte(n + 1)}
		if err := admin.Enroll(&proto.Enrollment{UUID: u, Group: g}); err != nil {
			t.Fatal(err)
		}
		_, end := live(t, m, Peer{Domain: 1, UUID: u}, 3)
		end()
		b, err := admin.Backup(u)
		if err != nil {
			t.Fatal(err)
		}
		backups = append(backups, b)
	}

	// Another host.
	m2 := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin2 := connect(t, m2, Peer{})
	hello, err := admin2.Hello()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range backups {
		if _, _, err := admin2.Restore(b); !errors.Is(err, proto.NoGroup) {
			t.Errorf("without the group: %v", err)
		}
	}
	group.ID = id
	if err := admin2.ImportGroup(&group, sealed); !errors.Is(err, proto.BadBackup) {
		t.Errorf("what is sealed to the operator, not to this manager: %v", err)
	}
	key, err := operator.Open(id, sealed)
	if err != nil {
		t.Fatal(err)
	}
	resealed, err := escrow.Seal(hello.Recovery[:], id, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := admin2.ImportGroup(&group, resealed); err != nil {
		t.Fatal(err)
	}
	if _, _, err := admin2.Restore(backups[1]); !errors.Is(err, proto.NoGroup) {
		t.Errorf("a vTPM of a group without escrow: %v", err)
	}
	u, epoch, err := admin2.Restore(backups[0])
	if err != nil || u != (UUID{1}) || epoch != 1 {
		t.Fatalf("restore: %v, epoch %d, %v", u, epoch, err)
	}
	g, err := connect(t, m2, Peer{Domain: 3, UUID: u}).Load()
	f := testState(3).Floors
	if err != nil || g.State.Key != testState(3).Key || g.State.Floors.Clock <= f.Clock || g.State.Floors.ResetCount <= f.ResetCount ||
		g.State.Floors.FailedTries != math.MaxUint32 {
		t.Errorf("on the other host: %+v, %v", g, err)
	}
}

// TestRestoreLedger opens an old disk: only on the administrator's order for
// this moment, once, and so that every vTPM can tell.
func TestRestoreLedger(t *testing.T) {
	t.Parallel()
	disk := blocktest.NewMem(testDisk)
	cfg := Config{TPM: hardwareTPM(t), Disk: disk, Log: t.Logf}
	m, err := Initialize(cfg, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	if err := enroll(connect(t, m, Peer{}), testUUID); err != nil {
		t.Fatal(err)
	}
	peer := Peer{Domain: 1, UUID: testUUID}
	_, end := live(t, m, peer, 3)
	end()
	old := bytes.Clone(disk.Data)
	_, end = live(t, m, peer, 6)
	end()
	newest := bytes.Clone(disk.Data)
	counter, id := m.config.counter, m.id

	copy(disk.Data, old)
	if _, err := Open(cfg); !errors.Is(err, ledger.ErrRolledBack) {
		t.Fatal(err)
	}
	sign := func(key ed25519.PrivateKey, counter uint64) []byte {
		return ed25519.Sign(key, proto.SignedRestore(id, counter))
	}
	for name, signature := range map[string][]byte{
		"none": nil, "stranger's": sign(testHost, counter), "of another moment": sign(testAdmin, counter+1), "of an earlier one": sign(testAdmin, counter-1),
	} {
		if _, err := OpenRestored(cfg, signature); !errors.Is(err, ErrRestore) {
			t.Errorf("signature %s: %v", name, err)
		}
	}
	good := sign(testAdmin, counter)
	m, err = OpenRestored(cfg, good)
	if err != nil {
		t.Fatal(err)
	}
	restored := bytes.Clone(disk.Data)
	if m.store.Epoch() < 2 {
		t.Errorf("epoch %d", m.store.Epoch())
	}
	s, err := m.Open(peer)
	if err != nil {
		t.Fatal(err)
	}
	c := &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
	g, err := c.Load()
	f := testState(3).Floors
	if err != nil || g.State.Sequence != 3 || g.Ledger != m.store.Epoch() || g.State.Floors.Clock <= f.Clock ||
		g.State.Floors.ResetCount <= f.ResetCount || g.State.Floors.FailedTries != math.MaxUint32 {
		t.Fatalf("after the restore: %+v, %v", g, err)
	}
	// What it commits now counts as it is.
	next := testState(4)
	if err := c.Commit(next); err != nil {
		t.Fatal(err)
	}
	if g, err = c.Load(); err != nil || g.State != *next {
		t.Errorf("after a commit in the new epoch: %+v, %v", g, err)
	}
	s.Close()
	for name, b := range map[string][]byte{"the disk that was newest": newest, "the old one again": old, "of before that commit": restored} {
		copy(disk.Data, b)
		if _, err := Open(cfg); !errors.Is(err, ledger.ErrRolledBack) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := OpenRestored(cfg, good); !errors.Is(err, ErrRestore) {
			t.Errorf("%s, with the order of before: %v", name, err)
		}
	}
}

// TestAudit checks that what was ordered is in the log, which is whole.
func TestAudit(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	m := newTestManager(t, tpm, disk)
	admin := connect(t, m, Peer{})
	if err := errors.Join(enroll(admin, UUID{1}), admin.Suspend(UUID{1}), admin.Resume(UUID{1}), enroll(admin, UUID{2}), admin.Destroy(UUID{2})); err != nil {
		t.Fatal(err)
	}
	m, err := Open(Config{TPM: tpm, Disk: disk, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	admin = connect(t, m, Peer{})
	export := func() (events []string) {
		t.Helper()
		hello, err := admin.Hello()
		if err != nil {
			t.Fatal(err)
		}
		h, entries, err := admin.Audit(proto.ManagerLog, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := proto.VerifyAudit(hello.Audit[:], &h, entries); err != nil {
			t.Error(err)
		}
		for _, b := range entries {
			e, err := proto.ParseAuditEntry(b)
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, e.Event)
		}
		return events
	}
	want := []string{"initialize", "enroll", "suspend", "resume", "enroll", "destroy", "start"}
	if got := export(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// Past the end of the ring, on a disk that is nearly full.
	for n := 0; ; n++ {
		err := enroll(admin, UUID{0xFF, byte(n >> 8), byte(n)})
		if errors.Is(err, proto.Full) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(admin.Destroy(UUID{1}), enroll(admin, UUID{1})); err != nil {
		t.Errorf("on a full disk: %v", err)
	}
	ring := m.config.audit[proto.ManagerLog].ring
	for range ring {
		if err := admin.Suspend(UUID{1}); err != nil {
			t.Fatal(err)
		}
	}
	if got := export(); uint32(len(got)) != ring || slices.ContainsFunc(got, func(e string) bool { return e != "suspend" }) {
		t.Errorf("%d entries of %d", len(got), ring)
	}
}

// TestLoadWithoutTPM starts a vTPM while the hardware TPM is dead; a new one has
// to wait for it.
func TestLoadWithoutTPM(t *testing.T) {
	t.Parallel()
	tpm := &mortal{TPM: hardwareTPM(t)}
	m := newTestManager(t, tpm, blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	if err := errors.Join(enroll(admin, UUID{1}), enroll(admin, UUID{2})); err != nil {
		t.Fatal(err)
	}
	_, end := live(t, m, Peer{Domain: 1, UUID: UUID{1}}, 3)
	end()
	tpm.dead.Store(true)
	g, err := connect(t, m, Peer{Domain: 1, UUID: UUID{1}}).Load()
	if err != nil || g.State != *testState(3) || g.Entropy == [32]byte{} {
		t.Errorf("a vTPM that has a state: %+v, %v", g, err)
	}
	if _, err := connect(t, m, Peer{Domain: 2, UUID: UUID{2}}).Load(); !errors.Is(err, proto.Failed) {
		t.Errorf("a new vTPM: %v", err)
	}
	if err := enroll(admin, UUID{3}); !errors.Is(err, proto.Failed) {
		t.Errorf("an order: %v", err)
	}
	tpm.dead.Store(false)
	if err := enroll(admin, UUID{3}); err != nil {
		t.Errorf("alive again: %v", err)
	}
}

// TestApprove gives the manager the operator's approval of other PCRs, before
// a planned update.
func TestApprove(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	operator := operatorKey(t)
	setup := testSetup()
	setup.Operator = &operator.PublicKey
	cfg := Config{TPM: tpm, Disk: disk, Log: t.Logf}
	m, err := Initialize(cfg, setup)
	if err != nil {
		t.Fatal(err)
	}
	values := append(make([]byte, 32), pcrAfter(make([]byte, 32), make([]byte, 32))...)
	a, err := hwtpm.Approve(operator, []uint{0, 7}, values)
	if err != nil {
		t.Fatal(err)
	}
	wire := proto.Approval{Mask: a.Mask(), Policy: a.Policy, Signature: a.Signature, Values: values}
	bad := wire
	bad.Signature[0] ^= 1
	admin := connect(t, m, Peer{})
	if err := admin.Approve(&bad); !errors.Is(err, proto.BadApproval) {
		t.Errorf("another's signature: %v", err)
	}
	if a, err := hwtpm.Approve(operator, []uint{7, hwtpm.DefaultPCR}, values); err != nil {
		t.Fatal(err)
	} else if err := admin.Approve(&proto.Approval{Mask: a.Mask(), Policy: a.Policy, Signature: a.Signature, Values: values}); !errors.Is(err, proto.BadApproval) {
		t.Errorf("of the PCR that changes with each commit: %v", err)
	}
	wrong := wire
	wrong.Mask = 1<<0 | 1<<4
	if err := admin.Approve(&wrong); !errors.Is(err, proto.BadApproval) {
		t.Errorf("of another mask: %v", err)
	}
	if err := as(t, m, testHost).Approve(&wire); !errors.Is(err, proto.Unsigned) {
		t.Errorf("order of a stranger: %v", err)
	}
	extendPCR(t, tpm, 7)
	if _, err := Open(cfg); !errors.Is(err, hwtpm.ErrPCR) {
		t.Fatalf("not approved: %v", err)
	}
	if err := admin.Approve(&wire); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); err != nil {
		t.Errorf("approved: %v", err)
	}
}

// pcrAfter is a PCR after an extension.
func pcrAfter(old, digest []byte) []byte {
	sum := sha256.Sum256(append(bytes.Clone(old), digest...))
	return sum[:]
}

func operatorKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func extendPCR(t *testing.T, tpm transport.TPM, pcr tpm2.TPMHandle) {
	t.Helper()
	if _, err := (tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: pcr, Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{
			{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)},
		}},
	}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
}
