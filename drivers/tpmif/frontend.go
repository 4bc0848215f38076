package tpmif

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// A Frontend is a connected TPM device of this domain.
type Frontend struct {
	domain xenbus.Domain
	path   string // own directory in the store

	mu     sync.Mutex // held during an exchange: the ring carries one
	page   xen.SharedPage
	events xen.Channel
	back   string          // the backend's state node
	watch  *xenstore.Watch // on back
	broken error           // why the ring cannot be used any more
}

// Errors of Transact.
var (
	ErrTooLarge  = fmt.Errorf("tpmif: command is larger than %d bytes", MaxPacket)
	ErrCancelled = errors.New("tpmif: command was cancelled")
	ErrResponse  = errors.New("tpmif: backend gave a response of an impossible size")

	// ErrBroken says that the ring cannot be used until Reopen: the backend
	// left it, or did not answer.
	ErrBroken = errors.New("tpmif: ring is broken")
)

// Connect makes a ring for device number devid of this domain and waits, as
// long as ctx allows, until the backend has connected to it.
func Connect(ctx context.Context, domain xenbus.Domain, devid int) (*Frontend, error) {
	return ConnectAt(ctx, domain, "device/vtpm/"+strconv.Itoa(devid))
}

// ConnectAt is Connect for a device whose frontend directory is at path.
func ConnectAt(ctx context.Context, domain xenbus.Domain, path string) (*Frontend, error) {
	f := &Frontend{domain: domain, path: path}
	if err := f.connect(ctx); err != nil {
		return nil, fmt.Errorf("tpmif: connect %s: %w", f.path, err)
	}
	return f, nil
}

func (f *Frontend) connect(ctx context.Context) (err error) {
	store := f.domain.Store
	back, err := store.Read(ctx, f.path+"/backend")
	if err != nil {
		return err
	}
	f.back = back + "/state"
	id, err := store.ReadUint(ctx, f.path+"/backend-id")
	if err != nil {
		return err
	}
	peer := xen.DomID(id)
	// A user of the device before this one may have left it in any state.
	if err = xenbus.WriteState(ctx, store, f.path+"/state", xenbus.Initialising); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// Let the backend be ready for another try, and the toolstack see
			// that nothing of the device is in use.
			xenbus.WriteState(context.WithoutCancel(ctx), store, f.path+"/state", xenbus.Closed)
			f.release(context.WithoutCancel(ctx))
		}
	}()
	if err = f.awaitBackend(ctx, back); err != nil {
		return err
	}
	if f.page, err = f.domain.Grants.Share(peer); err != nil {
		return err
	}
	if f.events, err = f.domain.Events.AllocUnbound(peer); err != nil {
		return err
	}
	if f.watch, err = store.Watch(ctx, f.back); err != nil {
		return err
	}
	err = store.Transaction(ctx, func(t *xenstore.Tx) error {
		for _, n := range []struct{ node, value string }{
			{"ring-ref", strconv.FormatUint(uint64(f.page.Ref()), 10)},
			{"event-channel", strconv.FormatUint(uint64(f.events.Port()), 10)},
			{"feature-protocol-v2", "1"},
		} {
			if err := t.Write(ctx, f.path+"/"+n.node, n.value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err = xenbus.WriteState(ctx, store, f.path+"/state", xenbus.Initialised); err != nil {
		return err
	}
	s, err := xenbus.WaitState(ctx, store, f.back, xenbus.Connected, xenbus.Gone)
	if err == nil && s == xenbus.Gone {
		err = errBackendGone
	}
	if err != nil {
		return err
	}
	f.broken = nil
	return xenbus.WriteState(ctx, store, f.path+"/state", xenbus.Connected)
}

// errBackendGone says that a backend was removed: it will not come back.
var errBackendGone = errors.New("backend is gone")

// awaitBackend waits until the backend is ready for a frontend. One that has
// no directory any more was removed with its domain, and is not waited for.
func (f *Frontend) awaitBackend(ctx context.Context, back string) error {
	store := f.domain.Store
	s, err := xenbus.WaitReopen(ctx, store, f.back, xenbus.InitWait, xenbus.Gone)
	if err != nil || s == xenbus.InitWait {
		return err
	}
	_, err = store.Read(ctx, back+"/frontend")
	if errors.Is(err, xenstore.ErrNotExist) || errors.Is(err, xenstore.ErrAccess) {
		return errBackendGone
	}
	if err == nil {
		_, err = xenbus.WaitReopen(ctx, store, f.back, xenbus.InitWait)
	}
	return err
}

func (f *Frontend) release(ctx context.Context) {
	if f.watch != nil {
		f.watch.Stop(ctx)
	}
	if f.events != nil {
		f.events.Close()
	}
	if f.page != nil {
		f.page.Release()
	}
	f.watch, f.events, f.page = nil, nil, nil
	f.broken = ErrBroken
}

// cancelWait is how long a backend may take to end a cancelled command.
const cancelWait = 5 * time.Second

// Transact sends one command and returns the response. Where ctx ends first,
// the command is cancelled; the ring stays usable if the backend says that
// it stopped.
func (f *Frontend) Transact(ctx context.Context, locality uint8, command []byte) ([]byte, error) {
	if len(command) > MaxPacket {
		return nil, ErrTooLarge
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, f.broken
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := f.page.Page()
	p.CopyIn(offData, command)
	p.Store32(offLength, uint32(len(command)))
	p.Store8(offLocality, locality)
	p.Store8(offExtra, 0)
	p.Store8(offState, stateSubmit)
	if err := f.events.Notify(); err != nil {
		return nil, fmt.Errorf("tpmif: %w", err)
	}
	cancelled := ctx.Done()
	var giveUp <-chan time.Time
	for {
		switch p.Load8(offState) {
		case stateFinish:
			n := p.Load32(offLength)
			if n > MaxPacket {
				return nil, ErrResponse
			}
			response := make([]byte, n)
			p.CopyOut(response, offData)
			return response, nil
		case stateIdle:
			return nil, ErrCancelled
		}
		select {
		case _, ok := <-f.events.C():
			if !ok {
				return nil, xen.ErrClosed
			}
		case <-cancelled:
			cancelled = nil
			p.Store8(offState, stateCancel)
			if err := f.events.Notify(); err != nil {
				return nil, fmt.Errorf("tpmif: %w", err)
			}
			giveUp = time.After(cancelWait)
		case <-giveUp:
			f.broken = fmt.Errorf("%w: no answer to a command", ErrBroken)
			return nil, fmt.Errorf("%w: %w", f.broken, ctx.Err())
		case <-f.watch.C():
			s, err := xenbus.ReadState(context.WithoutCancel(ctx), f.domain.Store, f.back)
			if err == nil && s == xenbus.Connected {
				continue
			}
			if err == nil {
				err = fmt.Errorf("backend is %v", s)
			}
			f.broken = fmt.Errorf("%w: %w", ErrBroken, err)
			return nil, f.broken
		}
	}
}

// Close closes the ring and waits, as long as ctx allows, until the backend
// has let go of the page.
func (f *Frontend) Close(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.close(ctx)
}

func (f *Frontend) close(ctx context.Context) error {
	if f.page == nil {
		return nil
	}
	store := f.domain.Store
	err := xenbus.WriteState(ctx, store, f.path+"/state", xenbus.Closing)
	if err == nil {
		err = xenbus.WriteState(ctx, store, f.path+"/state", xenbus.Closed)
	}
	if err == nil {
		_, err = xenbus.WaitReopen(ctx, store, f.back, xenbus.InitWait, xenbus.Closed, xenbus.Gone)
	}
	f.release(context.WithoutCancel(ctx))
	return err
}

// Reopen gives up the ring, whatever its state, and connects anew. Where it
// fails, it may be called again.
func (f *Frontend) Reopen(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.close(ctx) // what is wrong with the old ring does not matter
	if err := f.connect(ctx); err != nil {
		return fmt.Errorf("tpmif: reopen %s: %w", f.path, err)
	}
	return nil
}
