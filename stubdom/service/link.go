package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/vtpmmgr/proto"
)

// managerDevice is the xenstore directory of the device that leads to the manager: the
// first TPM of this domain.
const managerDevice = "device/vtpm/0"

// errLink means that the ring to the manager failed during a request: whether the manager
// received it is unknown.
var errLink = errors.New("the ring to the manager failed")

// A link is the ring to the manager. A manager that is started again runs in another
// domain: the toolstack replaces this domain's device, and the link connects to the new
// one by itself.
type link struct {
	store   *xenstore.Client
	log     func(format string, args ...any)
	ring    *tpmif.Frontend
	bad     chan struct{} // of capacity one: the ring does not work
	stopped chan struct{} // closed when maintain returned

	openHook func(*proto.Client) error // see onOpen; guarded by mu

	mu   sync.Mutex
	up   chan struct{} // closed while the ring is connected
	down bool
}

// connectLink connects to the manager, and keeps the link connected until ctx ends.
func connectLink(ctx, start context.Context, e *Environment) (*link, error) {
	ring, err := tpmif.Connect(start, e.Domain, 0)
	if err != nil {
		return nil, err
	}
	l := &link{store: e.Domain.Store, log: e.Log, ring: ring, bad: make(chan struct{}, 1), up: make(chan struct{}), stopped: make(chan struct{})}
	close(l.up)
	go l.maintain(ctx)
	return l, nil
}

// onOpen sets a function that is called for each new manager, after Load.
func (l *link) onOpen(f func(*proto.Client) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.openHook = f
}

// transact sends one request as soon as a manager is connected.
func (l *link) transact(ctx context.Context, request []byte) ([]byte, error) {
	l.mu.Lock()
	up := l.up
	l.mu.Unlock()
	select {
	case <-up:
	case <-ctx.Done():
		return nil, fmt.Errorf("no manager: %w", ctx.Err())
	}
	response, err := l.ring.Transact(ctx, 0, request)
	if err != nil {
		l.markBroken()
		return nil, fmt.Errorf("%w: %w", errLink, err)
	}
	return response, nil
}

// markBroken makes transact wait until the link is connected again.
func (l *link) markBroken() {
	l.mu.Lock()
	if !l.down {
		l.down = true
		l.up = make(chan struct{})
	}
	l.mu.Unlock()
	select {
	case l.bad <- struct{}{}:
	default:
	}
}

// maintain connects the ring again whenever its backend leaves or it fails.
func (l *link) maintain(ctx context.Context) {
	defer close(l.stopped)
	for ctx.Err() == nil {
		if err := l.awaitBroken(ctx); err != nil {
			// xenstore may fail for a while. Without it the state of the ring is
			// unknown: try again.
			l.log("manager: %v", err)
			select {
			case <-time.After(reopenRest):
			case <-ctx.Done():
			}
			continue
		}
		l.markBroken()
		select {
		case <-l.bad: // this one
		default:
		}
		l.log("manager is gone")
		quick, cancel := context.WithTimeout(ctx, startTimeout)
		l.ring.Close(quick) // lets the toolstack remove the device
		cancel()
		for !l.reopen(ctx) {
			if ctx.Err() != nil {
				return
			}
		}
		l.log("manager is connected again")
		l.mu.Lock()
		l.down = false
		close(l.up)
		l.mu.Unlock()
	}
}

// awaitBroken waits until the ring is unusable.
func (l *link) awaitBroken(ctx context.Context) error {
	back, err := l.store.Read(ctx, managerDevice+"/backend")
	if errors.Is(err, xenstore.ErrNotExist) || errors.Is(err, xenstore.ErrAccess) {
		return nil
	}
	if err != nil {
		return err
	}
	w, err := l.store.Watch(ctx, back+"/state")
	if err != nil {
		return err
	}
	defer w.Stop(context.WithoutCancel(ctx))
	for {
		s, err := xenbus.ReadState(ctx, l.store, back+"/state")
		if err != nil {
			return err
		}
		if s != xenbus.Connected {
			return nil
		}
		select {
		case _, ok := <-w.C():
			if !ok {
				return xenstore.ErrClosed
			}
		case <-l.bad:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// writeClosed sets this domain's device to Closed in xenstore.
func (l *link) writeClosed(ctx context.Context) {
	const node = managerDevice + "/state"
	if s, err := xenbus.ReadState(ctx, l.store, node); err == nil && s != xenbus.Gone && s != xenbus.Closed {
		xenbus.WriteState(ctx, l.store, node, xenbus.Closed)
	}
}

// Times of reopening: the limit of one attempt, and the pause before the next.
const (
	reopenTimeout = 20 * time.Second
	reopenRest    = time.Second
)

// reopen waits for a manager, connects to it and loads this vTPM. It reports whether it
// succeeded.
func (l *link) reopen(ctx context.Context) bool {
	w, err := l.store.Watch(ctx, managerDevice)
	if err != nil {
		return false
	}
	defer w.Stop(context.WithoutCancel(ctx))
	for {
		back, err := l.store.Read(ctx, managerDevice+"/backend")
		if err == nil {
			s, err := xenbus.ReadState(ctx, l.store, back+"/state")
			// A backend that is closed or gone belongs to the old manager.
			if err == nil && s != xenbus.Gone && s != xenbus.Closed {
				break
			}
			// The toolstack removes the device once it is closed, even if this
			// domain never connected to it.
			if err == nil && s == xenbus.Gone {
				l.writeClosed(ctx)
			}
		}
		select {
		case _, ok := <-w.C():
			if !ok {
				return false
			}
		case <-time.After(reopenRest):
		case <-ctx.Done():
			return false
		}
	}
	attempt, cancel := context.WithTimeout(ctx, reopenTimeout)
	defer cancel()
	err = l.ring.Reopen(attempt)
	if err == nil {
		// The manager accepts no Commit before a Load on the same connection.
		c := proto.Client{Transact: func(b []byte) ([]byte, error) { return l.ring.Transact(attempt, 0, b) }}
		_, err = c.Load()
		l.mu.Lock()
		opened := l.openHook
		l.mu.Unlock()
		if err == nil && opened != nil {
			err = opened(&c)
		}
	}
	if err != nil {
		l.log("manager: %v", err)
		select {
		case <-time.After(reopenRest):
		case <-ctx.Done():
		}
		return false
	}
	return true
}
