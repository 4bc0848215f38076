//go:build linux && !tamago

package devxen

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"stubtpm/drivers/xen"
)

// events is an open /dev/xen/evtchn with all ports of the process. A read returns
// the numbers of ports with an event; they stay masked until they are written
// back.
type events struct {
	f    *os.File
	conn syscall.RawConn
	done chan struct{}
	ends atomic.Bool // close was called

	mu    sync.Mutex
	ports map[xen.Port]*channel
	early map[xen.Port]bool // events of ports that are being opened
}

func newEvents(f *os.File) (*events, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	e := &events{f: f, conn: conn, done: make(chan struct{}), ports: map[xen.Port]*channel{}, early: map[xen.Port]bool{}}
	go e.read()
	return e, nil
}

func (e *events) close() error {
	e.ends.Store(true) // the reader sees f closed only when it waits
	err := e.f.Close()
	<-e.done
	return err
}

// An event is often followed by another one soon, such as an answer. linger is how many
// milliseconds the system is asked for that before the scheduler is, which costs twice as many
// calls. Meanwhile the scheduler may find nothing out for other goroutines either, so it is done
// only after events that none of them waits for, and not more than lingers times in a row.
const (
	linger  = 10
	lingers = 16
)

// read passes on events until the device is closed or fails, then closes all channels.
func (e *events) read() {
	defer close(e.done)
	b := make([]byte, 4*1024)
	e.conn.Read(func(fd uintptr) bool {
		for i := 0; !e.ends.Load(); i++ {
			n, err := rawRead(fd, b)
			if err != nil || n == 0 {
				return !errors.Is(err, unix.EAGAIN)
			}
			handled := true
			for i := 0; i+4 <= n; i += 4 {
				handled = e.deliver(xen.Port(binary.NativeEndian.Uint32(b[i:]))) && handled
			}
			// An event that has come since the read is kept, and comes after this.
			if err := rawWrite(fd, b[:n]); err != nil {
				return true
			}
			if handled && i%lingers != lingers-1 && !rawPoll(fd, linger) {
				return false
			}
		}
		return true
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.ports {
		c.closed = true
		close(c.c)
	}
	e.ports = nil
}

// deliver passes on an event, and reports whether a handler had it.
func (e *events) deliver(p xen.Port) bool {
	e.mu.Lock()
	c := e.ports[p]
	var handle func()
	switch {
	case c == nil:
		e.early[p] = true
	case c.handle != nil:
		handle = c.handle
	default:
		c.raise()
	}
	e.mu.Unlock()
	if handle != nil {
		handle()
	}
	return handle != nil
}

// open opens a port by an ioctl that returns its number.
func (e *events) open(what string, request uintptr, args ...uint32) (xen.Channel, error) {
	n, err := ioctlWords(e.f, request, args)
	if err != nil {
		return nil, fmt.Errorf("devxen: %s: %w", what, err)
	}
	c := &channel{events: e, port: xen.Port(n), c: make(chan struct{}, 1)}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ports == nil {
		return nil, xen.ErrClosed
	}
	e.ports[c.port] = c
	if e.early[c.port] {
		delete(e.early, c.port)
		c.raise()
	}
	return c, nil
}

// AllocUnbound implements xen.Events.
func (e *events) AllocUnbound(peer xen.DomID) (xen.Channel, error) {
	return e.open(fmt.Sprintf("port for domain %d", peer), evtchnBindUnbound, uint32(peer))
}

// BindInterdomain implements xen.Events.
func (e *events) BindInterdomain(peer xen.DomID, port xen.Port) (xen.Channel, error) {
	return e.open(fmt.Sprintf("port %d of domain %d", port, peer), evtchnBindInterdomain, uint32(peer), uint32(port))
}

type channel struct {
	events *events
	port   xen.Port
	c      chan struct{}
	closed bool   // under events.mu
	handle func() // the same
}

func (c *channel) Port() xen.Port     { return c.port }
func (c *channel) C() <-chan struct{} { return c.c }

// raise makes an event pending. Preconditions: events.mu is held.
func (c *channel) raise() {
	select {
	case c.c <- struct{}{}:
	default:
	}
}

// Handle implements what xen.Handle asks for.
func (c *channel) Handle(f func()) {
	c.events.mu.Lock()
	defer c.events.mu.Unlock()
	c.handle = f
}

func (c *channel) Notify() error {
	var err error
	cerr := c.events.conn.Control(func(fd uintptr) { err = rawIoctl(fd, evtchnNotify, uint32(c.port)) })
	if err = cmp.Or(cerr, err); err != nil {
		return fmt.Errorf("devxen: notify port %d: %w", c.port, err)
	}
	return nil
}

func (c *channel) Close() error {
	e := c.events
	e.mu.Lock()
	if c.closed {
		e.mu.Unlock()
		return xen.ErrClosed
	}
	c.closed = true
	close(c.c)
	delete(e.ports, c.port)
	e.mu.Unlock()
	if _, err := ioctlWords(e.f, evtchnUnbind, []uint32{uint32(c.port)}); err != nil {
		return fmt.Errorf("devxen: close port %d: %w", c.port, err)
	}
	return nil
}
