package vtpmmgr

import (
	"errors"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/proto"
)

// TestCreationEnds: a creation that no domain used does not count for a later domain
// of the same number.
func TestCreationEnds(t *testing.T) {
	t.Parallel()
	var g guest
	if g.isCreated(0) {
		t.Error("dom0, which nobody announced")
	}
	g.created.domain, g.told = 7, time.Now().Add(time.Second-creationLife)
	if !g.isCreated(7) || g.isCreated(8) {
		t.Error("a creation does not count for its domain, or for another")
	}
	g.told = time.Now().Add(-creationLife)
	if g.isCreated(7) {
		t.Error("a creation counts forever")
	}
}

// TestGuestMeasured: that a start was measured counts for the domain and the vTPM that the
// host named last, and until that domain has the TPM.
func TestGuestMeasured(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin, host := connect(t, m, Peer{}), as(t, m, testHost)
	a, b := UUID{1}, UUID{2}
	for _, u := range []UUID{a, b} {
		if err := admin.Enroll(&proto.Enrollment{UUID: u, Attested: true}); err != nil {
			t.Fatal(err)
		}
	}
	va, _ := live(t, m, Peer{Domain: 5, UUID: a}, 1)
	vb, _ := live(t, m, Peer{Domain: 6, UUID: b}, 1)
	kernel := proto.Program{Hash: [32]byte{7}, Measurer: "a host 1"}
	measured, created, neither := proto.Start{Created: true, Measured: true}, proto.Start{Created: true}, proto.Start{}
	expect := func(when string, c *proto.Client, domain uint16, served bool, want proto.Start) {
		t.Helper()
		if got, err := c.Guest(domain, served); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", when, got, err, want)
		}
	}
	told := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	told(host.CreatedMeasured(9, a, kernel))
	expect("another vTPM", vb, 9, false, neither)
	expect("another domain", va, 10, false, neither)
	expect("asked", va, 9, false, measured)
	expect("asked again: an answer was lost", va, 9, false, measured)
	expect("given the TPM", va, 9, true, measured)
	expect("the answer was lost", va, 9, true, neither)
	expect("connected again", va, 9, false, neither)

	told(host.CreatedMeasured(9, a, kernel))
	told(host.Created(9, a))
	expect("created again, and not measured", va, 9, false, created)

	told(host.CreatedMeasured(9, a, kernel))
	told(host.CreatedMeasured(9, b, kernel))
	expect("the number is another guest's now", va, 9, false, neither)
	expect("that guest", vb, 9, false, measured)

	told(host.CreatedMeasured(11, a, kernel))
	told(admin.Destroy(a))
	told(admin.Enroll(&proto.Enrollment{UUID: a, Attested: true}))
	va, _ = live(t, m, Peer{Domain: 5, UUID: a}, 1)
	expect("destroyed and enrolled again", va, 11, false, neither)
}

// TestCreationIsRefused: an order that says what a domain starts says all of it.
func TestCreationIsRefused(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin, host := connect(t, m, Peer{}), as(t, m, testHost)
	if err := enroll(admin, testUUID); err != nil {
		t.Fatal(err)
	}
	vtpm, _ := live(t, m, Peer{Domain: 5, UUID: testUUID}, 1)
	for name, p := range map[string]proto.Program{
		"no hash": {Measurer: "a host 1"}, "nobody": {Hash: [32]byte{1}}, "a line": {Hash: [32]byte{1}, Measurer: "a\nb"},
		"a long name": {Hash: [32]byte{1}, Measurer: string(make([]byte, proto.MaxName+1))},
	} {
		if err := host.CreatedMeasured(9, testUUID, p); !errors.Is(err, proto.BadMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := host.CreatedMeasured(9, UUID{8}, proto.Program{Hash: [32]byte{1}, Measurer: "a host 1"}); !errors.Is(err, proto.NotEnrolled) {
		t.Errorf("a vTPM that is not enrolled: %v", err)
	}
	if start, err := vtpm.Guest(9, false); err != nil || start.Measured {
		t.Errorf("after refused orders: %+v, %v", start, err)
	}
}
