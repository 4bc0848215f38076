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

// A Frontend is a connected TPM device of this domain. It is safe for concurrent
// use; commands are sent one at a time.
type Frontend struct {
	mu     sync.Mutex // held during a command
	front  xenbus.Frontend
	broken error // why the ring cannot be used until Reopen
}

// Errors of Transact.
var (
	ErrTooLarge  = fmt.Errorf("tpmif: command is larger than %d bytes", MaxPacket)
	ErrCancelled = errors.New("tpmif: command was cancelled")
	ErrResponse  = errors.New("tpmif: backend gave a response of an impossible size")

	// ErrBroken means that the ring cannot be used until Reopen: the backend
	// has disconnected, or did not respond.
	ErrBroken = errors.New("tpmif: ring is broken")
)

// Connect shares a ring for device number devid of this domain and waits, as
// long as ctx allows, until the backend has connected to it.
func Connect(ctx context.Context, domain xenbus.Domain, devid int) (*Frontend, error) {
	return ConnectAt(ctx, domain, "device/vtpm/"+strconv.Itoa(devid))
}

// ConnectAt is like Connect, for a device whose frontend directory is at path.
func ConnectAt(ctx context.Context, domain xenbus.Domain, path string) (*Frontend, error) {
	f := &Frontend{front: xenbus.Frontend{Domain: domain, Path: path}}
	if err := f.connect(ctx); err != nil {
		return nil, fmt.Errorf("tpmif: connect %s: %w", path, err)
	}
	return f, nil
}

func (f *Frontend) connect(ctx context.Context) (err error) {
	if err := f.front.Find(ctx); err != nil {
		return err
	}
	// An earlier user of the device may have left it in any state.
	if err := f.front.SetState(ctx, xenbus.Initialising); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// Closed lets the backend get ready for another attempt, and shows
			// the toolstack that the device is not in use.
			f.front.SetState(context.WithoutCancel(ctx), xenbus.Closed)
			f.release(context.WithoutCancel(ctx))
		}
	}()
	if err := f.awaitBackend(ctx); err != nil {
		return err
	}
	if err := f.front.Share(ctx); err != nil {
		return err
	}
	if err := f.front.Offer(ctx, xenbus.Node{Name: "feature-protocol-v2", Value: "1"}); err != nil {
		return err
	}
	if err := f.front.WaitConnected(ctx); err != nil {
		return err
	}
	f.broken = nil
	return f.front.SetState(ctx, xenbus.Connected)
}

// awaitBackend waits until the backend is ready for a frontend. If the
// backend's directory was removed, with its domain, awaitBackend returns
// xenbus.ErrBackendGone at once.
func (f *Frontend) awaitBackend(ctx context.Context) error {
	s, err := f.front.WaitReopen(ctx, xenbus.InitWait, xenbus.Gone)
	if err != nil || s == xenbus.InitWait {
		return err
	}
	_, err = f.front.Domain.Store.Read(ctx, f.front.Backend+"/frontend")
	if errors.Is(err, xenstore.ErrNotExist) || errors.Is(err, xenstore.ErrAccess) {
		return xenbus.ErrBackendGone
	}
	if err == nil {
		_, err = f.front.WaitReopen(ctx, xenbus.InitWait)
	}
	return err
}

func (f *Frontend) release(ctx context.Context) {
	f.front.Release(ctx)
	f.broken = ErrBroken
}

// cancelWait is how long a backend may take to end a cancelled command before
// the ring counts as broken.
const cancelWait = 5 * time.Second

// Transact sends one command and returns the response. If ctx ends first, it
// cancels the command; the ring stays usable if the backend confirms that the
// command has ended, otherwise later calls return ErrBroken.
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
	p := f.front.Ring.Page()
	p.CopyIn(offData, command)
	p.Store32(offLength, uint32(len(command)))
	p.Store8(offLocality, locality)
	p.Store8(offExtra, 0)
	p.Store8(offState, stateSubmit)
	if err := f.front.Channel.Notify(); err != nil {
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
		case _, ok := <-f.front.Channel.C():
			if !ok {
				return nil, xen.ErrClosed
			}
		case <-cancelled:
			cancelled = nil
			p.Store8(offState, stateCancel)
			if err := f.front.Channel.Notify(); err != nil {
				return nil, fmt.Errorf("tpmif: %w", err)
			}
			giveUp = time.After(cancelWait)
		case <-giveUp:
			f.broken = fmt.Errorf("%w: no response to a command", ErrBroken)
			return nil, fmt.Errorf("%w: %w", f.broken, ctx.Err())
		case <-f.front.Watch.C():
			s, err := f.front.BackendState(context.WithoutCancel(ctx))
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
// has released the page.
func (f *Frontend) Close(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.close(ctx)
}

func (f *Frontend) close(ctx context.Context) error {
	if f.front.Ring == nil {
		return nil
	}
	err := f.front.SetState(ctx, xenbus.Closing)
	if err == nil {
		err = f.front.SetState(ctx, xenbus.Closed)
	}
	if err == nil {
		_, err = f.front.WaitReopen(ctx, xenbus.InitWait, xenbus.Closed, xenbus.Gone)
	}
	f.release(context.WithoutCancel(ctx))
	return err
}

// Reopen closes the ring, whatever its state, and connects again. After an error
// it may be called again.
func (f *Frontend) Reopen(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.close(ctx) // an error of the old ring does not matter
	if err := f.connect(ctx); err != nil {
		return fmt.Errorf("tpmif: reopen %s: %w", f.front.Path, err)
	}
	return nil
}
