package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	mathrand "math/rand/v2"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/escrow"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// newTenant makes a group with an approver and a key in escrow.
var testTenant = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{0x51}, 32))

func newTenant(t *testing.T, m *Manager) (id uint32, approver *proto.Client) {
	t.Helper()
	operator, err := escrow.Generate()
	if err != nil {
		t.Fatal(err)
	}
	key := testTenant
	id, _, err = connect(t, m, Peer{}).CreateGroup(&proto.Group{Name: "tenant", Approver: [32]byte(public(key)), Escrow: operator.Public()})
	if err != nil {
		t.Fatal(err)
	}
	return id, as(t, m, key)
}

// TestHeld has a tenant try to get a vTPM going that the administrator suspended:
// by any of the orders that are the tenant's.
func TestHeld(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	group, approver := newTenant(t, m)
	u := UUID{0x77}
	enrollment := &proto.Enrollment{UUID: u, Group: group}
	if err := approver.Enroll(enrollment); err != nil {
		t.Fatal(err)
	}
	_, end := live(t, m, Peer{Domain: 5, UUID: u}, 3)
	end()
	b, err := approver.Backup(u)
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Suspend(u); err != nil {
		t.Fatal(err)
	}
	for name, order := range map[string]func() error{
		"resume":  func() error { return approver.Resume(u) },
		"suspend": func() error { return approver.Suspend(u) },
		"amend":   func() error { return approver.Amend(enrollment) },
		"restore": func() error { _, _, err := approver.Restore(b); return err },
		"destroy": func() error { return approver.Destroy(u) },
		"enroll":  func() error { return approver.Enroll(enrollment) },
	} {
		err := order()
		if _, open := m.Open(Peer{Domain: 5, UUID: u}); !errors.Is(open, proto.Suspended) {
			t.Fatalf("after %s (%v): %v", name, err, open)
		}
	}
	if err := approver.Destroy(u); !errors.Is(err, proto.Suspended) {
		t.Errorf("destroy: %v", err)
	}
	if _, _, err := approver.Restore(b); err != nil {
		t.Error(err)
	}
	if _, err := m.Open(Peer{Domain: 5, UUID: u}); !errors.Is(err, proto.Suspended) {
		t.Errorf("after a restore: %v", err)
	}
	if err := errors.Join(admin.Resume(u), approver.Destroy(u)); err != nil {
		t.Error(err)
	}
}

// TestHeldBeforeApprover: what the administrator suspended only he resumes, also if its
// group had no approver then.
func TestHeldBeforeApprover(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	id, _, err := admin.CreateGroup(&proto.Group{Name: "g"})
	if err != nil {
		t.Fatal(err)
	}
	u := UUID{5}
	if err := errors.Join(admin.Enroll(&proto.Enrollment{UUID: u, Group: id}), admin.Suspend(u),
		admin.AmendGroup(&proto.Group{ID: id, Name: "g", Approver: [32]byte(public(testApprover))})); err != nil {
		t.Fatal(err)
	}
	tenant := as(t, m, testApprover)
	if err := tenant.Resume(u); !errors.Is(err, proto.Unsigned) {
		t.Errorf("the tenant resumes: %v", err)
	}
	if err := tenant.Destroy(u); !errors.Is(err, proto.Suspended) {
		t.Errorf("the tenant destroys: %v", err)
	}
	if err := errors.Join(admin.Resume(u), tenant.Destroy(u)); err != nil {
		t.Error(err)
	}
}

// TestSuspendedByBoth follows random orders of a tenant and the administrator: a vTPM is
// suspended while either wants that, each lifts his own suspension only, and a restart and
// a restore of a backup change nothing.
func TestSuspendedByBoth(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	m := newTestManager(t, tpm, disk)
	group, tenant := newTenant(t, m)
	u := UUID{0x78}
	if err := tenant.Enroll(&proto.Enrollment{UUID: u, Group: group}); err != nil {
		t.Fatal(err)
	}
	_, end := live(t, m, Peer{Domain: 5, UUID: u}, 1)
	end()
	backup, err := tenant.Backup(u)
	if err != nil {
		t.Fatal(err)
	}
	r := mathrand.New(mathrand.NewPCG(7, 8))
	admin := connect(t, m, Peer{})
	var byAdmin, byTenant bool
	for n := range 150 {
		var want error
		var what string
		switch r.IntN(6) {
		case 0:
			what, err, byAdmin = "admin suspends", admin.Suspend(u), true
		case 1:
			what, err, byTenant = "tenant suspends", tenant.Suspend(u), true
		case 2:
			what, err = "admin resumes", admin.Resume(u)
			if byTenant && !byAdmin {
				want = proto.Unsigned
			}
			byAdmin = false
		case 3:
			what, err = "tenant resumes", tenant.Resume(u)
			if byAdmin {
				want = proto.Unsigned
			} else {
				byTenant = false
			}
		case 4:
			what = "restore"
			_, _, err = tenant.Restore(backup)
		case 5:
			what = "restart"
			m.Close()
			if m, err = Open(Config{TPM: tpm, Disk: disk}); err != nil {
				t.Fatal(err)
			}
			admin, tenant = connect(t, m, Peer{}), as(t, m, testTenant)
		}
		if !errors.Is(err, want) {
			t.Fatalf("order %d, %s: %v, want %v", n, what, err, want)
		}
		s, err := m.Open(Peer{Domain: 5, UUID: u})
		if (err == nil) != (!byAdmin && !byTenant) {
			t.Fatalf("after order %d, %s: admin %v, tenant %v: %v", n, what, byAdmin, byTenant, err)
		}
		if err == nil {
			s.Close()
		}
	}
}

// TestAdministratorsShare has a tenant use up its group's checkpoints: an order of
// the administrator about its vTPM is checkpointed at once all the same.
func TestAdministratorsShare(t *testing.T) {
	t.Parallel()
	m, err := Initialize(Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(testDisk), Mode: ledger.Mode{Daily: 48}, Log: t.Logf}, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	admin := connect(t, m, Peer{})
	group, approver := newTenant(t, m)
	u := UUID{0x77}
	enrollment := &proto.Enrollment{UUID: u, Group: group}
	if err := approver.Enroll(enrollment); err != nil {
		t.Fatal(err)
	}
	loose := func() uint64 { w := m.store.Wear(); return w.Loose }
	for range 8 {
		if err := approver.Amend(enrollment); err != nil {
			t.Fatal(err)
		}
	}
	if loose() == 0 {
		t.Fatal("a tenant's orders have no limit")
	}
	if err := admin.Suspend(u); err != nil {
		t.Fatal(err)
	}
	if n := loose(); n != 0 {
		t.Errorf("the administrator's order is one of %d commits that a loss of power takes back", n)
	}
}
