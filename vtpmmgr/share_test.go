package vtpmmgr

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// TestOrdersOfATenant: a tenant that gives orders all the time wears the hardware TPM
// as little as his vTPMs may; the
// administrator is not held up.
func TestOrdersOfATenant(t *testing.T) {
	t.Parallel()
	m, err := Initialize(Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(testDisk), Log: func(string, ...any) {}}, testSetup())
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
		t.Errorf("a list, which writes nothing: %v", err)
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

// TestSharesAreDropped: vTPMs that are gone leave nothing behind forever.
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

// TestTenantsShare: a tenant that has vTPMs enrolled, made and destroyed all the time, each
// with failed authorizations, has one share of the hardware TPM for all of them: another
// tenant's first failed authorization is in the NV index before it is answered.
func TestTenantsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const daily = 54
		m, err := Initialize(Config{TPM: hardwareTPM(t), Disk: blocktest.NewMem(1 << 20), Mode: ledger.Mode{Daily: daily}}, testSetup())
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		id, tenant := newTenant(t, m)
		if err := enroll(connect(t, m, Peer{}), testUUID); err != nil {
			t.Fatal(err)
		}
		other, end := live(t, m, Peer{Domain: 3, UUID: testUUID}, 1)
		defer end()
		time.Sleep(48 * time.Hour)
		writes := func() uint64 { return m.store.Wear().Writes }
		before := writes()
		for n := range 3 * 24 * 12 {
			u := UUID{0xEE, byte(n >> 8), byte(n)}
			if err := tenant.Enroll(&proto.Enrollment{UUID: u, Group: id}); err == nil {
				s, err := m.Open(Peer{Domain: uint16(n + 10), UUID: u})
				if err != nil {
					t.Fatal(err)
				}
				c := &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
				if _, err := c.Load(); err == nil {
					for q := range uint64(4) {
						state := testState(q + 1)
						state.Floors.FailedTries = uint32(q)
						c.Commit(state)
					}
				}
				s.Close()
				tenant.Destroy(u)
			}
			time.Sleep(5 * time.Minute)
		}
		if w := writes() - before; w > 4*daily {
			t.Errorf("%d NV writes in 3 days", w)
		}
		before = writes()
		if err := other.Commit(testState(2)); err != nil {
			t.Fatal(err)
		}
		if writes() == before {
			t.Errorf("another's first failed authorization is not in the NV index; credit %.1f", m.store.Wear().Credit)
		}
	})
}
