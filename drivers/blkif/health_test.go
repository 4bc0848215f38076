package blkif

import (
	"context"
	"testing"
	"time"

	"stubtpm/drivers/xen/xenbus"
)

// waitHealth waits until Health is an error, or is nil.
func waitHealth(t *testing.T, d *Device, ill bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); (d.Health() != nil) != ill; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("Health is %v", d.Health())
		}
	}
}

// TestHealthAfterError: Health reports an error of the backend until a later request
// succeeds.
func TestHealthAfterError(t *testing.T) {
	t.Parallel()
	failing := true
	f := &fake{change: func(r []byte) bool {
		if failing {
			r[10], r[11] = 0xFF, 0xFF // BLKIF_RSP_ERROR
		}
		return true
	}}
	d := mustOpen(t, f, nil)
	if _, err := d.WriteAt(make([]byte, 512), 0); err == nil {
		t.Fatal("written")
	}
	if d.Health() == nil {
		t.Error("a write failed, and Health is nil")
	}
	failing = false
	if _, err := d.WriteAt(make([]byte, 512), 0); err != nil {
		t.Fatal(err)
	}
	if err := d.Health(); err != nil {
		t.Error("afterwards:", err)
	}
}

// TestHealthAfterDetach: Health reports that the backend disconnected, because the disk
// was detached or its domain ended, even if there are no requests.
func TestHealthAfterDetach(t *testing.T) {
	t.Parallel()
	f := &fake{}
	d, h, err := open(t, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	back := h.Domain(1)
	defer back.Store.Close()
	if err := xenbus.WriteState(context.Background(), back.Store, backState, xenbus.Closed); err != nil {
		t.Fatal(err)
	}
	waitHealth(t, d, true)
}

// TestHealthAfterReconnect: the next request reconnects a disk whose backend disconnected,
// and Health is nil then.
func TestHealthAfterReconnect(t *testing.T) {
	t.Parallel()
	f := &fake{}
	d, h := openStalling(t, f, 1)
	back := h.Domain(1)
	defer back.Store.Close()
	for range 5 {
		if err := xenbus.WriteState(context.Background(), back.Store, backState, xenbus.Closing); err != nil {
			t.Fatal(err)
		}
		waitHealth(t, d, true)
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		waitHealth(t, d, false)
	}
}
