package vtpmmgr

import (
	"errors"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/proto"
)

// A hookedDisk calls a function at its next flush.
type hookedDisk struct {
	*blocktest.Mem
	hook func()
}

func (d *hookedDisk) Flush() error {
	if f := d.hook; f != nil {
		d.hook = nil
		f()
	}
	return d.Mem.Flush()
}

// TestRestoreWhileLoading has a domain load while a restore is written: what it
// loaded, of the epoch before, does not become the state of the new one.
func TestRestoreWhileLoading(t *testing.T) {
	t.Parallel()
	disk := &hookedDisk{Mem: blocktest.NewMem(testDisk)}
	m := newTestManager(t, hardwareTPM(t), disk)
	admin := connect(t, m, Peer{})
	if err := enroll(admin, UUID{1}); err != nil {
		t.Fatal(err)
	}
	_, end := live(t, m, Peer{Domain: 1, UUID: UUID{1}}, 3)
	end()
	b, err := admin.Backup(UUID{1})
	if err != nil {
		t.Fatal(err)
	}
	var c *proto.Client
	var early proto.Grant
	disk.hook = func() {
		c = connect(t, m, Peer{Domain: 2, UUID: UUID{1}})
		if early, err = c.Load(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := admin.Restore(b); err != nil {
		t.Fatal(err)
	}
	if early.Epoch != 0 {
		t.Fatalf("loaded epoch %d: too late for this test", early.Epoch)
	}
	if err := c.Commit(testState(4)); !errors.Is(err, proto.NotConnected) {
		t.Errorf("a state of epoch 0 in epoch 1: %v", err)
	}
	if g, err := c.Load(); err != nil || g.Epoch != 1 {
		t.Errorf("loaded again: epoch %d, %v", g.Epoch, err)
	}
}
