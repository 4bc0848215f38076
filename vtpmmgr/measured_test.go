package vtpmmgr

import (
	"errors"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/proto"
)

// TestMeasurementsAreBounded: however many domains are measured, the manager keeps a
// bounded number, the one that is connected among them, and the newest.
func TestMeasurementsAreBounded(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin, host := as(t, m, testAdmin), as(t, m, testHost)
	image, running, gone := [32]byte{7}, UUID{1}, UUID{2}
	for _, u := range []UUID{running, gone} {
		if err := admin.Enroll(&proto.Enrollment{UUID: u, Image: image}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(host.Measured(1, image), host.Measured(2, image)); err != nil {
		t.Fatal(err)
	}
	c := connect(t, m, Peer{Domain: 1, UUID: running})
	for n := range uint16(maxMeasured + 100) {
		if err := host.Measured(3+n, image); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.measured) != maxMeasured || len(m.measuredOrder) != maxMeasured {
		t.Errorf("%d measurements, %d in order, want %d", len(m.measured), len(m.measuredOrder), maxMeasured)
	}
	if _, err := c.Load(); err != nil {
		t.Errorf("domain that is connected: %v", err)
	}
	if _, err := m.Open(Peer{Domain: 2, UUID: gone}); !errors.Is(err, proto.NotMeasured) {
		t.Errorf("domain whose measurement was dropped: %v", err)
	}
	if _, err := m.Open(Peer{Domain: maxMeasured + 102, UUID: gone}); err != nil {
		t.Errorf("domain that was measured last: %v", err)
	}
}
