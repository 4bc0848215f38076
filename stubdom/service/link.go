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

// managerDevice is the directory of the device that leads to the manager: the
// first TPM of this domain.
const managerDevice = "device/vtpm/0"

// errLink says that the ring to the manager ended under a request: whether the
// manager heard it is unknown.
var errLink = errors.New("the ring to the manager broke")

// A link is the ring to the manager. A manager that is started again is
// another domain: the toolstack takes this domain's device away and gives it
// one of the new manager, to which the link connects by itself.
type link struct {
	store *xenstore.Client
	log   func(format string, args ...any)
	ring  *tpmif.Frontend
	bad   chan struct{} // of capacity one: the ring does not work
	ended chan struct{} // closed when keep has ended

	opened func(*proto.Client) error // see onOpen; guarded by mu

	mu   sync.Mutex
	up   chan struct{} // closed while the ring is connected
	down bool
}

// connectLink waits for the manager, and keeps the link connected until ctx
// ends.
func connectLink(ctx, start context.Context, e *Environment) (*link, error) {
	ring, err := tpmif.Connect(start, e.Domain, 0)
	if err != nil {
		return nil, err
	}
	l := &link{store: e.Domain.Store, log: e.Log, ring: ring, bad: make(chan struct{}, 1), up: make(chan struct{}), ended: make(chan struct{})}
	close(l.up)
	go l.keep(ctx)
	return l, nil
}

// onOpen has f called with each new manager, once that has this vTPM loaded.
func (l *link) onOpen(f func(*proto.Client) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened = f
}

// transact sends one request, as soon as there is a manager.
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
		l.broken()
		return nil, fmt.Errorf("%w: %w", errLink, err)
	}
	return response, nil
}

// broken makes transact wait until the link is connected anew.
func (l *link) broken() {
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

// keep connects the ring anew whenever its back end leaves or it breaks.
func (l *link) keep(ctx context.Context) {
	defer close(l.ended)
	for ctx.Err() == nil {
		if err := l.awaitBroken(ctx); err != nil {
			// The store may refuse for a while. Without it nobody can tell whether
			// the ring still works, so it is looked at again.
			l.log("manager: %v", err)
			select {
			case <-time.After(reopenRest):
			case <-ctx.Done():
			}
			continue
		}
		l.broken()
		select {
		case <-l.bad: // this one
		default:
		}
		l.log("manager is gone")
		quick, cancel := context.WithTimeout(ctx, startTimeout)
		l.ring.Close(quick) // tells the toolstack that nothing of the ring is in use
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

// awaitBroken waits until the ring is of no use any more.
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

// closed says in the store that this domain does not use its device.
func (l *link) closed(ctx context.Context) {
	const node = managerDevice + "/state"
	if s, err := xenbus.ReadState(ctx, l.store, node); err == nil && s != xenbus.Gone && s != xenbus.Closed {
		xenbus.WriteState(ctx, l.store, node, xenbus.Closed)
	}
}

// Times of reopening: how long one attempt may take, and the rest between two
// if nothing happens.
const (
	reopenTimeout = 20 * time.Second
	reopenRest    = time.Second
)

// reopen waits for a manager that may be connected to, connects, and has this
// vTPM loaded.
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
			// A back end that is closed or gone is one of the dead manager.
			if err == nil && s != xenbus.Gone && s != xenbus.Closed {
				break
			}
			// The toolstack takes the device away once nothing of it is in use,
			// also of one that this domain never connected to.
			if err == nil && s == xenbus.Gone {
				l.closed(ctx)
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
		// The manager takes no commit on a connection before a load.
		c := proto.Client{Transact: func(b []byte) ([]byte, error) { return l.ring.Transact(attempt, 0, b) }}
		_, err = c.Load()
		l.mu.Lock()
		opened := l.opened
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
