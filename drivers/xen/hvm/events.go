//go:build tamago

package hvm

import (
	"fmt"
	"sync"
	"sync/atomic"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

// Events is the set of this domain's event channels. It implements xen.Events and
// xen.Labels.
type Events struct {
	up *Upcall

	mu   sync.Mutex
	open map[uint32]*channel
}

// NewEvents returns Events that arrive through u, which must be initialized.
func NewEvents(u *Upcall) *Events {
	return &Events{up: u, open: make(map[uint32]*channel)}
}

// Deliver passes on the events that Upcall.Handle has marked. One goroutine must
// call it after each interrupt for which Handle reported others. It does not
// block.
func (e *Events) Deliver() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.up.take(func(port uint32) {
		if c := e.open[port]; c != nil {
			c.wake()
		}
	})
}

// AllocUnbound implements xen.Events.
func (e *Events) AllocUnbound(peer xen.DomID) (xen.Channel, error) {
	a := abi.AllocUnbound{Dom: abi.DomIDSelf, RemoteDom: uint16(peer)}
	if err := check(call(abi.EventChannelOp, abi.EvtchnAllocUnbound, &a)); err != nil {
		return nil, fmt.Errorf("event channel for domain %d: %w", peer, err)
	}
	return e.adopt(a.Port)
}

// BindInterdomain implements xen.Events.
func (e *Events) BindInterdomain(peer xen.DomID, port xen.Port) (xen.Channel, error) {
	b := abi.BindInterdomain{RemoteDom: uint16(peer), RemotePort: uint32(port)}
	if err := check(call(abi.EventChannelOp, abi.EvtchnBindInterdomain, &b)); err != nil {
		return nil, fmt.Errorf("event channel of domain %d, port %d: %w", peer, port, err)
	}
	return e.adopt(b.LocalPort)
}

// Adopt returns the channel of a port that the toolstack has opened for this
// domain, such as xenstore's.
func (e *Events) Adopt(port xen.Port) (xen.Channel, error) {
	if port == 0 || port >= abi.EventChannels {
		return nil, fmt.Errorf("event channel: port %d: %w", port, Errno(22))
	}
	return e.adopt(uint32(port))
}

func (e *Events) adopt(port uint32) (xen.Channel, error) {
	p := abi.EvtchnPort{Port: port}
	if port >= abi.EventChannels {
		call(abi.EventChannelOp, abi.EvtchnClose, &p)
		return nil, fmt.Errorf("event channel: port %d: %w", port, Errno(28))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c := &channel{events: e, port: port, c: make(chan struct{}, 1)}
	e.open[port] = c
	if err := check(call(abi.EventChannelOp, abi.EvtchnUnmask, &p)); err != nil {
		delete(e.open, port)
		return nil, fmt.Errorf("event channel: unmask port %d: %w", port, err)
	}
	return c, nil
}

// Open returns the number of open channels.
func (e *Events) Open() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.open)
}

type channel struct {
	events *Events
	port   uint32
	c      chan struct{}
	closed bool // guarded by events.mu
}

func (c *channel) wake() {
	select {
	case c.c <- struct{}{}:
	default: // events coalesce
	}
}

func (c *channel) Port() xen.Port     { return xen.Port(c.port) }
func (c *channel) C() <-chan struct{} { return c.c }

// Notify does not hold the lock while it sends, because an event for this domain
// itself interrupts at once. If the port is closed and reused in between, its next
// user gets a spurious event, which it must expect anyway.
func (c *channel) Notify() error {
	c.events.mu.Lock()
	closed := c.closed
	c.events.mu.Unlock()
	if closed {
		return xen.ErrClosed
	}
	if err := Send(c.port); err != nil {
		return fmt.Errorf("event channel: notify by port %d: %w", c.port, err)
	}
	return nil
}

func (c *channel) Close() error {
	e := c.events
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.closed {
		return xen.ErrClosed
	}
	c.closed = true
	delete(e.open, c.port)
	close(c.c)
	e.up.mask(c.port)
	e.up.Clear(c.port)
	p := abi.EvtchnPort{Port: c.port}
	if err := check(call(abi.EventChannelOp, abi.EvtchnClose, &p)); err != nil {
		return fmt.Errorf("event channel: close port %d: %w", c.port, err)
	}
	return nil
}

// check converts the result of a hypercall into an error.
func check(r int64) error {
	if r < 0 {
		return Errno(-r)
	}
	return nil
}

func (u *Upcall) mask(port uint32) {
	atomic.OrUint64(&u.info.EvtchnMask[port/64], 1<<(port%64))
}
