package xenbus

import (
	"context"
	"errors"
	"strconv"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenstore"
)

// ErrBackendGone is returned when the backend's directory was removed, as the
// toolstack does at the end of the backend's domain: it will not come back.
var ErrBackendGone = errors.New("xenbus: backend is gone")

// A Frontend is this domain's end of a device whose ring is one page. It
// connects in these steps:
//
//	own state     backend's state   by
//	Initialising                    the toolstack, or SetState
//	              InitWait          the backend: WaitReopen
//	Initialised                     Share, then Offer
//	              Connected         the backend: WaitConnected
//	Connected                       SetState
//
// It is not safe for concurrent use.
type Frontend struct {
	Domain Domain
	Path   string // own directory in xenstore, absolute or relative to the domain's

	// Set by Find.
	Peer    xen.DomID // the backend's domain
	Backend string    // the backend's directory in xenstore

	// Set by Share; nil after Release.
	Ring    xen.SharedPage
	Channel xen.Channel
	Watch   *xenstore.Watch // of the backend's state
}

// Find reads the backend's domain and directory, which the toolstack wrote.
func (f *Frontend) Find(ctx context.Context) error {
	var err error
	if f.Backend, err = f.Domain.Store.Read(ctx, f.Path+"/backend"); err != nil {
		return err
	}
	id, err := f.Domain.Store.ReadUint(ctx, f.Path+"/backend-id")
	f.Peer = xen.DomID(id)
	return err
}

// SetState writes the frontend's own state.
func (f *Frontend) SetState(ctx context.Context, s State) error {
	return WriteState(ctx, f.Domain.Store, f.Path+"/state", s)
}

// BackendState returns the backend's state.
func (f *Frontend) BackendState(ctx context.Context) (State, error) {
	return ReadState(ctx, f.Domain.Store, f.Backend+"/state")
}

// WaitReopen waits until the backend's state is one of those wanted. It may
// close first.
func (f *Frontend) WaitReopen(ctx context.Context, want ...State) (State, error) {
	return WaitReopen(ctx, f.Domain.Store, f.Backend+"/state", want...)
}

// Share allocates the ring's page and an event channel for the backend, and
// watches the backend's state. After an error the caller must call Release.
func (f *Frontend) Share(ctx context.Context) error {
	var err error
	if f.Ring, err = f.Domain.Grants.Share(f.Peer); err != nil {
		return err
	}
	if f.Channel, err = f.Domain.Events.AllocUnbound(f.Peer); err != nil {
		return err
	}
	f.Watch, err = f.Domain.Store.Watch(ctx, f.Backend+"/state")
	return err
}

// A Node is a node below a device's directory.
type Node struct{ Name, Value string }

// Offer writes the ring's grant reference, its event channel and more nodes in
// one transaction, then the state Initialised.
func (f *Frontend) Offer(ctx context.Context, more ...Node) error {
	nodes := append([]Node{
		{"ring-ref", strconv.FormatUint(uint64(f.Ring.Ref()), 10)},
		{"event-channel", strconv.FormatUint(uint64(f.Channel.Port()), 10)},
	}, more...)
	err := f.Domain.Store.Transaction(ctx, func(t *xenstore.Tx) error {
		for _, n := range nodes {
			if err := t.Write(ctx, f.Path+"/"+n.Name, n.Value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return f.SetState(ctx, Initialised)
}

// WaitConnected waits until the backend is Connected. It returns
// ErrBackendGone if the backend is removed and ErrPeerClosed if it closes.
func (f *Frontend) WaitConnected(ctx context.Context) error {
	s, err := WaitState(ctx, f.Domain.Store, f.Backend+"/state", Connected, Gone)
	if err == nil && s == Gone {
		err = ErrBackendGone
	}
	return err
}

// Release gives up what Share allocated. A page that the backend still maps is
// never used again.
func (f *Frontend) Release(ctx context.Context) {
	if f.Watch != nil {
		f.Watch.Stop(ctx)
	}
	if f.Channel != nil {
		f.Channel.Close()
	}
	if f.Ring != nil {
		f.Ring.Release()
	}
	f.Watch, f.Channel, f.Ring = nil, nil, nil
}
