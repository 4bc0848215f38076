package doorbell

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

// A deaf wire fails to notify, or never answers, or answers at once, before Notify returns,
// or more than once.
type deafWire struct {
	wire
	kind  int
	later sync.WaitGroup
}

func (w *deafWire) Notify() error {
	switch w.kind {
	case 0:
		return errors.New("no peer")
	case 1:
	default:
		for range w.kind - 1 {
			w.later.Go(w.answer)
		}
	}
	return nil
}

// A counter is the channel of a virtual processor.
type counter struct {
	wire
	n atomic.Int32
}

func (c *counter) Notify() error { c.n.Add(1); return nil }

type ports struct{ list []*counter }

func (p *ports) AllocUnbound(xen.DomID) (xen.Channel, error) { panic("not called") }
func (p *ports) BindInterdomain(_ xen.DomID, n xen.Port) (xen.Channel, error) {
	return p.list[n], nil
}

type manyServer struct {
	ioServer
	n int
}

func (s *manyServer) VCPUs() (int, error) { return s.n, nil }

// TestInterleavings has virtual processors ring, read, and raise events without a request,
// while the vTPM's domain changes between ones that answer, do not, answer twice, and cannot
// be told: each request is answered once, and soon, and none after the bell was closed.
func TestInterleavings(t *testing.T) {
	t.Parallel()
	seeds, requests := uint64(8), 200
	if testing.Short() {
		seeds, requests = 2, 50
	}
	for seed := range seeds {
		const vcpus = 8
		s := &manyServer{ioServer{page: xen.NewPage()}, vcpus}
		p := &ports{}
		for i := range vcpus {
			p.list = append(p.list, &counter{})
			s.page.Store32(i*abi.IOReqSlot+abi.IOReqPort, uint32(i))
		}
		l := &line{}
		b, err := hang(p, guestID, s, l.ring)
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var changes, guests sync.WaitGroup
		changes.Go(func() {
			r := rand.New(rand.NewPCG(seed, 99))
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(r.IntN(3000)) * time.Microsecond):
				}
				if r.IntN(4) == 0 {
					l.set(nil)
				} else {
					l.set(&deafWire{kind: r.IntN(4)})
				}
			}
		})
		for v := range vcpus {
			guests.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(v)))
				at := v * abi.IOReqSlot
				for i := range requests {
					b.mu.Lock() // Xen's stores, which the race detector cannot see through
					s.page.Store8(at+abi.IOReqType, 0)
					s.page.Store8(at+abi.IOReqState, abi.IOReqReady|[]byte{0, 0, 0, abi.IOReqRead}[r.IntN(4)])
					b.mu.Unlock()
					for range 1 + r.IntN(3) {
						p.list[v].answer()
					}
					for begin := time.Now(); ; time.Sleep(20 * time.Microsecond) {
						b.mu.Lock()
						done := s.page.Load8(at+abi.IOReqState)&abi.IOReqStateMask == abi.IOReqResponse
						if done {
							s.page.Store8(at+abi.IOReqState, 0)
						}
						b.mu.Unlock()
						if done {
							break
						}
						if time.Since(begin) > 10*time.Second {
							t.Errorf("seed %d, virtual processor %d: request %d is not answered", seed, v, i)
							return
						}
					}
					if n := p.list[v].n.Load(); n != int32(i+1) {
						t.Errorf("seed %d, virtual processor %d: %d answers to %d requests", seed, v, n, i+1)
						return
					}
				}
			})
		}
		guests.Wait()
		close(stop)
		changes.Wait()
		// A ring and a close at any time: the page is not touched then.
		w := newWire()
		l.set(w)
		b.mu.Lock()
		s.page.Store8(abi.IOReqState, abi.IOReqReady)
		b.mu.Unlock()
		p.list[0].answer()
		b.close()
		state := s.page.Load8(abi.IOReqState)
		w.answer()
		l.set(nil)
		p.list[0].answer()
		if now := s.page.Load8(abi.IOReqState); now != state {
			t.Errorf("state %d after close, then %d", state, now)
		}
	}
}
