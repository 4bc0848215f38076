package doorbell

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/xentest"
	"stubtpm/tools/xenlife"
)

// TestManyGuests serves 100 guests, and prints the memory that each costs the daemon. The
// package's other tests must not run beside it.
func TestManyGuests(t *testing.T) {
	const guests = 100
	w := &world{Host: xentest.NewHost(), t: t, ctx: t.Context()}
	machines := map[xen.DomID]*machine{}
	opened := make(chan xen.DomID, guests)
	nodes := map[string]string{}
	for id := xen.DomID(1000); id < 1000+guests; id++ {
		m := newMachine(w)
		m.ran, m.paused = true, 0
		for _, f := range frames() {
			m.pages[f] = xen.NewPage()
		}
		c, err := w.domain(id).Events.AllocUnbound(0)
		if err != nil {
			t.Fatal(err)
		}
		m.server = &ioServer{page: xen.NewPage(), w: w}
		m.server.page.Store32(abi.IOReqPort, uint32(c.Port()))
		machines[id] = m
		base := fmt.Sprintf("%s/%d/0", backends, id)
		nodes[base+"/uuid"], nodes[base+"/state"], nodes[base+"/"+nodeServer] = fmt.Sprint(id), "6", "1"
		nodes[fmt.Sprintf("/local/domain/%d/name", id)] = "guest"
	}
	w.Store.Set(nodes)
	dom0, lost := w.domain(0), make(chan struct{})
	d := &Daemon{
		Domain: dom0, Lost: lost, Manager: "vtpmmgr", Log: t.Logf,
		OpenGuest:  func(id xen.DomID) (Guest, error) { return machines[id], nil },
		OpenServer: func(id xen.DomID, _ uint16) (IOServer, error) { opened <- id; return machines[id].server, nil },
		NotRun:     func(context.Context, xen.DomID) error { return xenlife.ErrNotPaused },
	}
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := used()
	done := make(chan error)
	go func() { done <- d.Run(t.Context()) }()
	for range guests {
		select {
		case <-opened:
		case <-time.After(10 * time.Second):
			t.Fatal("not all guests are served")
		}
	}
	time.Sleep(100 * time.Millisecond)
	each := (int64(used()) - int64(before)) / guests
	t.Logf("%d bytes for each of %d guests", each, guests)
	if each > 64<<10 {
		t.Error("want at most 64 KiB")
	}
	close(lost)
	if err := <-done; !errors.Is(err, ErrNoEvents) {
		t.Error(err)
	}
}
