package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/proto"
)

// TestUUIDOfAnotherGroup: a UUID is of the group that enrolled it, until DESTROY. Who may
// enroll into another group is told that the UUID is in use, and who may decide about
// neither learns nothing.
func TestUUIDOfAnotherGroup(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
	other, _, err := admin.CreateGroup(&proto.Group{Name: "other", Approver: [32]byte(public(key))})
	if err != nil {
		t.Fatal(err)
	}
	owner := as(t, m, key)
	group, tenant := newTenant(t, m)
	u := UUID{7}
	if err := tenant.Enroll(&proto.Enrollment{UUID: u, Group: group}); err != nil {
		t.Fatal(err)
	}
	_, end := live(t, m, Peer{Domain: 5, UUID: u}, 1)
	end()
	backup, err := tenant.Backup(u)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tenant.Destroy(u), owner.Enroll(&proto.Enrollment{UUID: u, Group: other})); err != nil {
		t.Fatal(err)
	}
	before := m.records[u]
	restore := func(c *proto.Client) error { _, _, err := c.Restore(backup); return err }
	for name, c := range map[string]struct{ err, want error }{
		"enroll into one's group": {tenant.Enroll(&proto.Enrollment{UUID: u, Group: group}), proto.Exists},
		"restore into it":         {restore(tenant), proto.NoGroup},
		"amend as its vTPM":       {tenant.Amend(&proto.Enrollment{UUID: u, Group: group}), proto.NoGroup},
		"destroy":                 {tenant.Destroy(u), proto.Unsigned},
		"enroll into the other's": {tenant.Enroll(&proto.Enrollment{UUID: u, Group: other}), proto.Unsigned},
		"the owner, again":        {owner.Enroll(&proto.Enrollment{UUID: u, Group: other}), proto.Exists},
		"no such group":           {admin.Enroll(&proto.Enrollment{UUID: UUID{8}, Group: 99}), proto.NoGroup},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	if m.records[u] != before {
		t.Error("the record was changed")
	}
}

// TestProfileOrders: a profile of which no TPM can be made is refused, and so is another one
// for a TPM that was made.
func TestProfileOrders(t *testing.T) {
	t.Parallel()
	junk := errors.New("junk")
	check := func(stored string) error {
		if stored == "junk" {
			return junk
		}
		return nil
	}
	m, err := Initialize(Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(testDisk), CheckProfile: check}, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	admin := connect(t, m, Peer{})
	e := func(profile string) *proto.Enrollment { return &proto.Enrollment{UUID: testUUID, Profile: profile} }
	want := func(what string, err, want error, profile string) {
		t.Helper()
		if !errors.Is(err, want) || m.records[testUUID].profile != profile {
			t.Errorf("%s: %v, want %v; the record has profile %q", what, err, want, m.records[testUUID].profile)
		}
	}
	want("enroll with junk", admin.Enroll(e("junk")), proto.BadMessage, "")
	want("enroll", admin.Enroll(e("a")), nil, "a")
	want("amend to junk", admin.Amend(e("junk")), proto.BadMessage, "a")
	want("amend before there is a TPM", admin.Amend(e("b")), nil, "b")
	_, end := live(t, m, Peer{Domain: 5, UUID: testUUID}, 1)
	end()
	want("amend afterwards", admin.Amend(e("a")), proto.Exists, "b")
	want("amend to the same", admin.Amend(e("b")), nil, "b")
	want("amend of other fields", admin.Amend(e("")), nil, "b")
}

// TestRandomWhileSuspended: a vTPM that was suspended or destroyed while it is connected gets
// nothing of the hardware TPM.
func TestRandomWhileSuspended(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	if err := enroll(admin, testUUID); err != nil {
		t.Fatal(err)
	}
	c, end := live(t, m, Peer{Domain: 5, UUID: testUUID}, 1)
	defer end()
	for _, step := range []struct {
		order func(UUID) error
		want  error
	}{{admin.Suspend, proto.Suspended}, {admin.Resume, nil}, {admin.Destroy, proto.NotEnrolled}} {
		if err := step.order(testUUID); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Random(16); !errors.Is(err, step.want) {
			t.Errorf("RANDOM: %v, want %v", err, step.want)
		}
	}
}

// TestListOrder: lists have all vTPMs in the order of their UUIDs, whatever was enrolled,
// destroyed and read again.
func TestListOrder(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	m := newTestManager(t, tpm, disk)
	r := rand.New(rand.NewPCG(3, 4))
	have := map[UUID]bool{}
	for range 60 {
		admin := connect(t, m, Peer{})
		u := UUID{byte(r.IntN(12))}
		var err error
		switch {
		case r.IntN(10) == 0:
			m.Close()
			if m, err = Open(Config{TPM: tpm, Disk: disk}); err != nil {
				t.Fatal(err)
			}
			admin = connect(t, m, Peer{})
		case have[u]:
			err = admin.Destroy(u)
			delete(have, u)
		default:
			err = enroll(admin, u)
			have[u] = true
		}
		list, e := admin.List()
		if err := errors.Join(err, e); err != nil {
			t.Fatal(err)
		}
		var got []UUID
		for _, e := range list {
			got = append(got, e.UUID)
		}
		want := slices.SortedFunc(maps.Keys(have), func(a, b UUID) int { return bytes.Compare(a[:], b[:]) })
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}
