package vtpmmgr

import (
	"errors"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/proto"
)

// TestOrdersOfATenant: a tenant that gives orders all the time wears the hardware TPM
// as little as his vTPMs may, and does not push the log's entries out in a moment; the
// administrator is not held up.
func TestOrdersOfATenant(t *testing.T) {
	t.Parallel()
	m, err := Initialise(Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(testDisk), Log: func(string, ...any) {}}, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	admin := connect(t, m, Peer{})
	id, _, err := admin.CreateGroup(&proto.Group{Name: "tenant", Approver: [32]byte(public(testHost))})
	if err != nil {
		t.Fatal(err)
	}
	tenant := as(t, m, testHost)
	e := proto.Enrollment{UUID: UUID{7}, Group: id, Name: "one"}
	if err := tenant.Enroll(&e); err != nil {
		t.Fatal(err)
	}
	writes := m.store.Wear().Writes
	taken := 0
	for n := range 1000 {
		e.Name = string(rune('a' + n%26))
		switch err := tenant.Amend(&e); {
		case err == nil:
			taken++
		case !errors.Is(err, proto.Rate):
			t.Fatal(err)
		}
	}
	if taken < 10 || taken > 80 {
		t.Errorf("%d of 1000 orders were taken", taken)
	}
	if w := m.store.Wear().Writes - writes; w > 80 {
		t.Errorf("1000 orders cost %d writes of the hardware TPM", w)
	}
	if _, err := tenant.List(); err != nil {
		t.Errorf("a list, of which nothing is written: %v", err)
	}
	for range 20 {
		if err := admin.Suspend(UUID{7}); err != nil {
			t.Fatal(err)
		}
		if err := admin.Resume(UUID{7}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSharesAreDropped: vTPMs that are gone leave nothing behind for ever.
func TestSharesAreDropped(t *testing.T) {
	t.Parallel()
	m := &Manager{shares: map[UUID]*shares{}, records: map[UUID]record{}, cfg: Config{CommitRate: 1e6}}
	for n := range 5000 {
		m.sharesOf(UUID{byte(n), byte(n >> 8)}).commits.take(commitRate, 0, time.Now())
	}
	if len(m.shares) > leastShares {
		t.Errorf("%d vTPMs' buckets are kept", len(m.shares))
	}
	used := m.sharesOf(UUID{1, 1})
	used.tpm.used = 1e9
	for n := range 5000 {
		m.sharesOf(UUID{2, byte(n), byte(n >> 8)})
	}
	if m.shares[UUID{1, 1}] != used {
		t.Error("a bucket that was not full again was dropped")
	}
}
