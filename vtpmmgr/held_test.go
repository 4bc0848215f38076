package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/escrow"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// newTenant makes a group with an approver and a key in escrow.
func newTenant(t *testing.T, m *Manager) (id uint32, approver *proto.Client) {
	t.Helper()
	operator, err := escrow.Generate()
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{0x51}, 32))
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

// TestAdministratorsShare has a tenant use up its group's checkpoints: an order of
// the administrator about its vTPM is checkpointed at once all the same.
func TestAdministratorsShare(t *testing.T) {
	t.Parallel()
	m, err := Initialise(Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(testDisk), Mode: ledger.Mode{Daily: 48}, Log: t.Logf}, testSetup())
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
