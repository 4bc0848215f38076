package blkif

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xentest"
)

const (
	frontPath = "/local/domain/9/device/vbd/51712"
	backState = "backend/vbd/9/51712/state"
)

// reopens serves as a backend whose frontend may close and reconnect. Like Linux's, it
// completes the requests of the old ring before it connects to a new one. It refuses
// some of the new rings, as Linux's does while requests are in flight.
func (f *fake) reopens(ctx context.Context, d xenbus.Domain, refuse int) error {
	for {
		serving, stop := context.WithCancel(ctx)
		served := make(chan error, 1)
		go func() { served <- f.serve(serving, d, frontPath) }()
		// Where the test wrote Closing for the backend, the frontend may be Closed already.
		_, err := xenbus.WaitReopen(ctx, d.Store, frontPath+"/state", xenbus.Closing, xenbus.Closed)
		stop()
		if err2 := <-served; err2 != nil {
			return err2
		}
		for {
			for _, s := range []struct {
				back  xenbus.State
				front []xenbus.State
			}{
				{xenbus.Closing, []xenbus.State{xenbus.Closing, xenbus.Closed}},
				{xenbus.Closed, []xenbus.State{xenbus.Closed}},
				{xenbus.InitWait, []xenbus.State{xenbus.Initialising}},
			} {
				if err == nil {
					_, err = xenbus.WaitReopen(ctx, d.Store, frontPath+"/state", s.front...)
				}
				if err == nil {
					err = xenbus.WriteState(ctx, d.Store, backState, s.back)
				}
			}
			if err != nil {
				return err
			}
			if refuse == 0 {
				break
			}
			refuse--
			if _, err = xenbus.WaitReopen(ctx, d.Store, frontPath+"/state", xenbus.Initialised); err == nil {
				err = xenbus.WriteState(ctx, d.Store, backState, xenbus.Closing)
			}
		}
	}
}

// openStalling returns a disk whose backend is f, and may be connected again.
func openStalling(t *testing.T, f *fake, refuse int) (*Device, *xentest.Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	done := make(chan struct{})
	h, bd, fd := f.host()
	t.Cleanup(func() { cancel(); <-done; bd.Store.Close(); fd.Store.Close() })
	go func() {
		defer close(done)
		if err := f.reopens(ctx, bd, refuse); err != nil && ctx.Err() == nil {
			t.Error("backend:", err)
		}
	}()
	d, err := Connect(ctx, fd, 51712)
	if err != nil {
		t.Fatal(err)
	}
	return d, h
}

// TestStall: whatever requests the backend leaves without a response, the disk
// has in the end what was written, and no page is lost.
func TestStall(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	stalls := 0
	f := &fake{change: func([]byte) bool {
		if r.IntN(30) == 0 {
			stalls++
			return false
		}
		return true
	}}
	d, h := openStalling(t, f, 2)
	d.Timeout = 20 * time.Millisecond
	_, _, grants := h.Open()
	want := make([]byte, diskSize)
	for i := range 60 {
		n := (1 + r.IntN(200)) * 512
		off := r.IntN((diskSize-n)/512) * 512
		b := bytes.Repeat([]byte{byte(i + 1)}, n)
		copy(want[off:], b)
		if _, err := d.WriteAt(b, int64(off)); err != nil {
			t.Fatal(err)
		}
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		if _, err := d.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, b) {
			t.Fatal("read:", err)
		}
	}
	if !bytes.Equal(f.disk.Data, want) {
		t.Error("the disk has other bytes than were written")
	}
	if stalls == 0 {
		t.Error("no request stalled")
	}
	if err := d.Health(); err != nil {
		t.Error("afterwards:", err)
	}
	if _, _, now := h.Open(); now != grants {
		t.Errorf("%d grants, %d before", now, grants)
	}
}

// TestSlowIsReported: Health reports a request that waits for its response long before
// the device reconnects.
func TestSlowIsReported(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	f := &fake{change: func([]byte) bool { <-held; return true }}
	d, _ := openStalling(t, f, 0)
	d.Patience = 20 * time.Millisecond
	flushed := make(chan error, 1)
	go func() { flushed <- d.Flush() }()
	for deadline := time.Now().Add(20 * time.Second); d.Health() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			close(held)
			t.Fatal("a disk that does not answer is said to be well")
		}
	}
	close(held)
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	if err := d.Health(); err != nil {
		t.Error("afterwards:", err)
	}
}

// TestStallIsTold: while the disk does not answer, Health says so at once.
func TestStallIsTold(t *testing.T) {
	t.Parallel()
	var stuck atomic.Bool
	f := &fake{change: func([]byte) bool { return !stuck.Load() }}
	d, _ := openStalling(t, f, 0)
	d.Timeout = 20 * time.Millisecond
	stuck.Store(true)
	flushed := make(chan error, 1)
	go func() { flushed <- d.Flush() }()
	for deadline := time.Now().Add(20 * time.Second); d.Health() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a disk that does not answer is said to be well")
		}
	}
	stuck.Store(false)
	if err := <-flushed; err != nil {
		t.Error(err)
	}
}

// TestNotTheSameDisk: a disk of another size is not taken for the old one.
func TestNotTheSameDisk(t *testing.T) {
	t.Parallel()
	var stuck atomic.Bool
	f := &fake{change: func([]byte) bool { return !stuck.Load() }}
	d, h := openStalling(t, f, 0)
	d.Timeout = 20 * time.Millisecond
	told := make(chan error, 1)
	d.Broken = func(err error) { told <- err }
	h.Store.Set(map[string]string{"/local/domain/1/backend/vbd/9/51712/sectors": "64"})
	stuck.Store(true)
	if err := d.Flush(); !errors.Is(err, ErrBroken) || !errors.Is(err, errChanged) {
		t.Error(err)
	}
	if err := <-told; !errors.Is(err, ErrBroken) {
		t.Error(err)
	}
	if err := d.Health(); err == nil {
		t.Error("a broken disk is said to be well")
	}
}

// TestPaused: a domain that runs again after a pause finds the response and the
// end of its patience at once, and takes the response.
func TestPaused(t *testing.T) {
	t.Parallel()
	d := mustOpen(t, &fake{}, nil)
	for range 5 {
		timeout, result := make(chan time.Time), make(chan error)
		d.ring.submit(opFlush, 0, nil)
		go func() { result <- d.await(opFlush, timeout) }()
		time.Sleep(20 * time.Millisecond) // it has looked at the ring and waits
		var response [responseLength]byte
		response[0], response[8] = byte(d.ring.id), opFlush
		d.ring.page.CopyIn(offSlots+int(d.ring.rspCons%slots)*slotSize, response[:])
		d.ring.page.Store32(offRspProd, d.ring.reqProd)
		timeout <- time.Now()
		if err := <-result; err != nil {
			t.Fatal(err)
		}
	}
}
