package doorbell

import (
	"fmt"
	"sync"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

// An IOServer is what devxen.IOServer is.
type IOServer interface {
	ID() uint16
	Page() *xen.Page
	VCPUs() (int, error)
	Modified(frames ...uint64) error
	Destroy() error
	Close() error
}

// A bell answers the accesses of one guest to the doorbell's port.
type bell struct {
	server IOServer
	// ring tells the TPM, and calls done when the guest may go on: from ring or later.
	ring func(done func())

	ports []xen.Channel

	mu     sync.Mutex
	busy   []bool // slots whose answer is under way
	rate   bucket // of accesses that are no rings, which have their own
	closed bool   // the server's page may be gone
}

// hang binds to each virtual processor of a guest and answers it, also an access that
// waits since before.
func hang(events xen.Events, guest xen.DomID, server IOServer, ring func(done func())) (*bell, error) {
	b := &bell{server: server, ring: ring}
	n, err := server.VCPUs()
	if err == nil && n > xen.PageSize/abi.IOReqSlot {
		err = fmt.Errorf("doorbell: domain %d has %d virtual processors, want at most %d", guest, n, xen.PageSize/abi.IOReqSlot)
	}
	for i := 0; err == nil && i < n; i++ {
		var c xen.Channel
		c, err = events.BindInterdomain(guest, xen.Port(server.Page().Load32(i*abi.IOReqSlot+abi.IOReqPort)))
		if err == nil {
			b.ports = append(b.ports, c)
		}
	}
	if err != nil {
		b.close()
		return nil, err
	}
	b.busy = make([]bool, n)
	for i, c := range b.ports {
		xen.Handle(c, func() { b.answer(i) })
		b.answer(i)
	}
	return b, nil
}

// answer answers the request of a virtual processor, if there is one.
func (b *bell) answer(vcpu int) {
	if b.take(vcpu) {
		b.ring(func() { b.finish(vcpu) })
	}
}

// take takes a request, and reports whether it is a ring. Others it answers, now or later: no
// driver needs them, and a guest may make them without end.
func (b *bell) take(vcpu int) (ring bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.busy[vcpu] {
		return false
	}
	p, slot := b.server.Page(), vcpu*abi.IOReqSlot
	state := p.Load8(slot + abi.IOReqState)
	switch state & abi.IOReqStateMask {
	case abi.IOReqReady, abi.IOReqInProcess: // the latter by a process that has ended
	default:
		return false
	}
	flags := state &^ abi.IOReqStateMask
	p.Store8(slot+abi.IOReqState, flags|abi.IOReqInProcess)
	if p.Load8(slot+abi.IOReqType) == abi.IOReqPIO {
		if flags&abi.IOReqRead == 0 {
			b.busy[vcpu] = true
			return true
		}
		if flags&abi.IOReqDataIsPtr == 0 {
			// As from a port without a device.
			p.Store32(slot+abi.IOReqData, 0xFFFFFFFF)
			p.Store32(slot+abi.IOReqData+4, 0xFFFFFFFF)
		}
	}
	if d := b.rate.take(time.Now()); d > 0 {
		b.busy[vcpu] = true
		time.AfterFunc(d, func() { b.finish(vcpu) })
		return false
	}
	b.respond(vcpu)
	return false
}

// finish answers a request that was not answered at once.
func (b *bell) finish(vcpu int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.busy[vcpu] = false
		b.respond(vcpu)
	}
}

// respond has a virtual processor go on. Precondition: mu is held.
func (b *bell) respond(vcpu int) {
	p, at := b.server.Page(), vcpu*abi.IOReqSlot+abi.IOReqState
	p.Store8(at, p.Load8(at)&^abi.IOReqStateMask|abi.IOReqResponse)
	b.ports[vcpu].Notify()
}

// close ends the answers, and leaves the server, whose page is not used from then on.
func (b *bell) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	for _, c := range b.ports {
		c.Close()
	}
}

// Times of a ring.
const (
	// grace is how long a guest's virtual processor is held for the response at most.
	// Most commands are faster, and their guest then needs no timer. The others are polled
	// for in memory, each millisecond by Linux.
	grace = 50 * time.Millisecond
	// A guest may ring ringBurst times, and then once each ringRest: more than any
	// TPM has responses, and few enough to leave the control domain its processor. Its other
	// accesses to the port are counted by themselves, to the same limits.
	ringBurst = 1000
	ringRest  = 500 * time.Microsecond
)

// A bucket limits the rate of a guest's rings, or of its other accesses.
type bucket struct {
	used int
	last time.Time
}

// take returns how long the ring at the time now has to wait.
func (k *bucket) take(now time.Time) time.Duration {
	if refilled := int(now.Sub(k.last) / ringRest); k.last.IsZero() || refilled >= k.used {
		k.used, k.last = 0, now
	} else if refilled > 0 {
		k.used -= refilled
		k.last = k.last.Add(time.Duration(refilled) * ringRest)
	}
	if k.used < ringBurst {
		k.used++
		return 0
	}
	k.last = k.last.Add(ringRest)
	return k.last.Sub(now)
}
