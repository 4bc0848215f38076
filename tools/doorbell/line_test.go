package doorbell

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/xentest"
)

// A wire is a channel to a vTPM's domain that the test answers for.
type wire struct {
	rung     chan struct{} // one value for each ring
	notified func()
	closed   atomic.Bool

	mu sync.Mutex
	f  func()
}

func newWire() *wire { return &wire{rung: make(chan struct{}, 10000), notified: func() {}} }

func (w *wire) Port() xen.Port     { return 1 }
func (w *wire) C() <-chan struct{} { return nil }
func (w *wire) Notify() error {
	w.notified()
	w.rung <- struct{}{}
	return nil
}
func (w *wire) Close() error {
	w.closed.Store(true)
	return nil
}
func (w *wire) Handle(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.f = f
}

func (w *wire) answer() {
	w.mu.Lock()
	f := w.f
	w.mu.Unlock()
	f()
}

// TestLine has several virtual processors ring while answers come soon, late or never, and
// while the vTPM's domain changes: each ring ends once, and soon, one ring is under way at a
// time, and a domain that answers gets each ring.
func TestLine(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		testLine(t, rand.New(rand.NewPCG(seed, 1)))
	}
}

func testLine(t *testing.T, random *rand.Rand) {
	l := &line{}
	const rings = 30
	var rung, ended, open atomic.Int32
	wired := func() *wire {
		w := newWire()
		w.notified = func() {
			if rung.Add(1)-ended.Load() > 1 {
				t.Error("two rings are under way")
			}
		}
		l.set(w)
		return w
	}
	w := wired()
	for range rings {
		var once atomic.Bool
		begin := time.Now()
		open.Add(1)
		l.ring(func() {
			if once.Swap(true) {
				t.Error("a ring ended twice")
			}
			if d := time.Since(begin); d > 40*grace {
				t.Errorf("a ring took %v", d)
			}
			open.Add(-1)
			ended.Add(1)
		})
		switch random.IntN(10) {
		case 0: // late
		case 1:
			l.set(nil)
			if open.Load() != 0 {
				t.Error("a ring waits for a domain that is gone")
			}
			if !w.closed.Load() {
				t.Error("its channel is open")
			}
			w = wired()
		default:
			for open.Load() > random.Int32N(4) {
				select {
				case <-w.rung:
					w.answer()
				case <-time.After(time.Millisecond): // it was late
				}
			}
		}
		if len(w.rung) > 0 && random.IntN(2) == 0 {
			<-w.rung
			w.answer()
			w.answer() // an event that nobody waits for
		}
		for open.Load() == 0 && len(w.rung) > 0 {
			<-w.rung
		}
	}
	for end := time.Now().Add(40 * grace); ended.Load() != rings && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if ended.Load() != rings {
		t.Errorf("%d of %d rings ended", ended.Load(), rings)
	}
}

// TestLineLate: a ring without an answer ends after grace, also when another one before it
// was answered, and no timer is left.
func TestLineLate(t *testing.T) {
	t.Parallel()
	l, w := &line{}, newWire()
	l.set(w)
	done := make(chan struct{}, 1)
	l.ring(func() { done <- struct{}{} })
	w.answer()
	<-done
	time.Sleep(grace / 2)
	begin := time.Now()
	l.ring(func() { done <- struct{}{} })
	<-done
	if d := time.Since(begin); d < grace || d > 20*grace {
		t.Errorf("it was held for %v, want %v", d, grace)
	}
	w.answer() // too late
	time.Sleep(2 * grace)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil || l.sent || len(l.rings) != 0 {
		t.Error("something is left")
	}
}

// TestLineRate: a guest that rings all the time is slowed.
func TestLineRate(t *testing.T) {
	t.Parallel()
	l, w := &line{}, newWire()
	l.set(w)
	begin := time.Now()
	const more = 100
	for range ringBurst + more {
		done := make(chan struct{})
		l.ring(func() { close(done) })
		<-w.rung
		w.answer()
		<-done
	}
	if d := time.Since(begin); d < more*ringRest/2 {
		t.Errorf("%d rings took %v", ringBurst+more, d)
	}
}

// TestBusy has events come while a virtual processor's access is under way, and after the
// bell was taken down: an access rings once, and goes on once.
func TestBusy(t *testing.T) {
	t.Parallel()
	w := &world{Host: xentest.NewHost(), t: t, machine: &machine{}}
	w.dom0, w.guest = w.domain(0), w.domain(guestID)
	server, err := w.openServer()
	if err != nil {
		t.Fatal(err)
	}
	rings := make(chan func(), 10)
	b, err := hang(w.dom0.Events, guestID, server, func(done func()) { rings <- done })
	if err != nil {
		t.Fatal(err)
	}
	state := func() byte { return server.Page().Load8(abi.IOReqState) & abi.IOReqStateMask }
	for range 3 {
		server.Page().Store8(abi.IOReqType, abi.IOReqPIO)
		server.Page().Store8(abi.IOReqState, abi.IOReqReady)
		b.answer(0)
		for range 3 {
			b.answer(0)
		}
		if len(rings) != 1 || state() != abi.IOReqInProcess {
			t.Fatalf("%d rings, state %d", len(rings), state())
		}
		(<-rings)()
		if b.answer(0); len(rings) != 0 || state() != abi.IOReqResponse {
			t.Fatalf("then %d rings, state %d", len(rings), state())
		}
	}
	server.Page().Store8(abi.IOReqState, abi.IOReqReady)
	b.answer(0)
	b.close()
	(<-rings)()
	if b.answer(0); len(rings) != 0 || state() != abi.IOReqInProcess {
		t.Errorf("after close %d rings, state %d", len(rings), state())
	}
}
