//go:build linux && !tamago

package devxen

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stubtpm/drivers/xen"
)

// A device is the kernel's end of /dev/xen/evtchn, as a socket: it sends numbers of ports,
// each of which stays masked until it is written back.
type device struct {
	t       testing.TB
	kernel  *os.File
	masked  map[xen.Port]bool
	pending map[xen.Port]bool // events of masked ports
}

func newDevice(t testing.TB, ports ...xen.Port) (*device, *events, []*channel) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEvents(os.NewFile(uintptr(fds[0]), "evtchn"))
	if err != nil {
		t.Fatal(err)
	}
	d := &device{t: t, kernel: os.NewFile(uintptr(fds[1]), "kernel"), masked: map[xen.Port]bool{}, pending: map[xen.Port]bool{}}
	t.Cleanup(func() { d.kernel.Close() })
	var list []*channel
	for _, p := range ports {
		c := &channel{events: e, port: p, c: make(chan struct{}, 1)}
		e.mu.Lock()
		e.ports[p] = c
		e.mu.Unlock()
		list = append(list, c)
	}
	return d, e, list
}

// raise raises an event.
func (d *device) raise(p xen.Port) {
	if d.masked[p] {
		d.pending[p] = true
		return
	}
	d.masked[p] = true
	if _, err := d.kernel.Write(binary.NativeEndian.AppendUint32(nil, uint32(p))); err != nil {
		d.t.Fatal(err)
	}
}

// unmask waits for ports that are written back.
func (d *device) unmask() {
	b := make([]byte, 400)
	d.kernel.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := d.kernel.Read(b)
	if err != nil || n%4 != 0 {
		d.t.Fatalf("%d bytes, %v", n, err)
	}
	for b = b[:n]; len(b) > 0; b = b[4:] {
		p := xen.Port(binary.NativeEndian.Uint32(b))
		if !d.masked[p] {
			d.t.Fatalf("port %d is unmasked, and was not masked", p)
		}
		delete(d.masked, p)
		if d.pending[p] {
			delete(d.pending, p)
			d.raise(p)
		}
	}
}

// TestEvents raises events in any order: each port's handler, or C, is told after the last
// one, and each event is unmasked once.
func TestEvents(t *testing.T) {
	t.Parallel()
	d, e, channels := newDevice(t, 1, 2, 3, 4)
	var state, seen [5]atomic.Int32 // seen is what state was when the handler ran, as in a shared page
	for _, c := range channels[:3] {
		xen.Handle(c, func() { seen[c.port].Store(state[c.port].Load()) })
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		p := xen.Port(1 + random.IntN(4))
		state[p].Add(1)
		d.raise(p)
		for len(d.masked) > random.IntN(5) {
			d.unmask()
		}
	}
	for len(d.masked) > 0 {
		d.unmask()
	}
	select {
	case <-channels[3].C():
	case <-time.After(10 * time.Second):
		t.Error("no value from C")
	}
	for p := 1; p <= 3; p++ {
		if seen, state := seen[p].Load(), state[p].Load(); seen != state || state == 0 {
			t.Errorf("port %d: event %d of %d was seen", p, seen, state)
		}
	}
	if err := e.close(); err != nil {
		t.Error(err)
	}
	for _, c := range channels {
		if _, ok := <-c.C(); ok {
			t.Errorf("port %d is open", c.port)
		}
	}
}

// TestCloseInFlood closes a device that always has events, of port 0.
func TestCloseInFlood(t *testing.T) {
	t.Parallel()
	f, err := os.OpenFile("/dev/zero", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEvents(f)
	if err != nil {
		t.Fatal(err)
	}
	c := &channel{events: e, port: 0, c: make(chan struct{}, 1)}
	e.mu.Lock()
	e.ports[0] = c
	e.mu.Unlock()
	var calls atomic.Int64
	xen.Handle(c, func() { calls.Add(1) })
	time.Sleep(10 * time.Millisecond)
	closed := make(chan error, 1)
	go func() { closed <- e.close() }()
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Fatalf("not closed after %d events", calls.Load())
	}
}

// TestDeviceFails has the device end: who listens on its channels learns that.
func TestDeviceFails(t *testing.T) {
	t.Parallel()
	d, e, channels := newDevice(t, 1)
	if err := d.kernel.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-(&Host{events: e}).Lost():
	case <-time.After(5 * time.Second):
		t.Fatal("nobody learns that the device has failed")
	}
	if _, ok := <-channels[0].C(); ok {
		t.Error("the channel is open")
	}
	if _, err := e.open("port", evtchnBindUnbound, 2); err == nil {
		t.Error("a port was opened")
	}
}
