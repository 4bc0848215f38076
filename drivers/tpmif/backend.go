package tpmif

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// A backend is one device and, while it is connected, its ring.
type backend struct {
	*Server
	base  string // own directory in xenstore
	peer  Peer
	front string // the frontend's directory

	state xenbus.State // as last written
	ring  *ring
}

// errGone is returned when the device was removed.
var errGone = errors.New("frontend is gone")

// run serves the device until it is removed, which is no error, or until ctx
// ends.
func (b *backend) run(ctx context.Context) error {
	store := b.Domain.Store
	var err error
	if b.front, err = store.Read(ctx, b.base+"/frontend"); err != nil {
		return err
	}
	if err := store.Write(ctx, b.base+"/feature-protocol-v2", "1"); err != nil {
		return err
	}
	b.state = xenbus.Initialising
	if err := b.setState(ctx, xenbus.InitWait); err != nil {
		return err
	}
	defer b.disconnect()
	logged := false // that the frontend has to wait
	var pace pace
	err = store.Follow(ctx, b.front+"/state", func() (again time.Duration, err error) {
		if err := pace.wait(ctx); err != nil {
			return 0, err
		}
		err = b.step(ctx)
		switch {
		case err == nil, errors.Is(err, errGone):
			return 0, err
		case errors.Is(err, ErrLater):
			if !logged {
				b.Log("tpmif: %v: %v", b.peer, err)
			}
			logged = true
			return retryDelay, nil
		}
		// An error of the frontend ends its ring, not its device: it may close and
		// connect again.
		b.Log("tpmif: %v: %v", b.peer, err)
		b.disconnect()
		if b.state == xenbus.Closed {
			return 0, err
		}
		return 0, b.setState(ctx, xenbus.Closing)
	})
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// setState writes the device's state, unless it is s already.
func (b *backend) setState(ctx context.Context, s xenbus.State) error {
	if s == b.state {
		return nil
	}
	if !b.state.MayBecome(s) {
		return fmt.Errorf("internal error: %v after %v", s, b.state)
	}
	err := xenbus.WriteState(ctx, b.Domain.Store, b.base+"/state", s)
	if errors.Is(err, xenstore.ErrAccess) {
		return errGone // the toolstack has removed the device
	}
	if err == nil {
		b.state = s
	}
	return err
}

// step acts on the frontend's current state.
func (b *backend) step(parent context.Context) error {
	ctx, cancel := context.WithTimeout(parent, requestTimeout)
	defer cancel()
	s, err := xenbus.ReadState(ctx, b.Domain.Store, b.front+"/state")
	if errors.Is(err, xenstore.ErrAccess) {
		// The toolstack has removed the frontend's directory, and this domain
		// may not read the directory above it. The toolstack now waits up to
		// ten seconds for this device to end.
		s, err = xenbus.Gone, nil
	}
	if err != nil {
		return err
	}
	if s == xenbus.Gone {
		b.disconnect()
		return b.remove(ctx)
	}
	// The toolstack may have removed the device and created another one of the
	// same name, with another UUID.
	if own, err := xenbus.ReadState(ctx, b.Domain.Store, b.base+"/state"); err != nil {
		return err
	} else if own == xenbus.Initialising || own == xenbus.Gone {
		b.disconnect()
		return errGone
	}
	switch s {
	case xenbus.Initialising, xenbus.InitWait:
		// The frontend starts over, maybe without having closed.
		b.disconnect()
		return b.setState(ctx, xenbus.InitWait)
	case xenbus.Initialised, xenbus.Connected:
		if b.state == xenbus.InitWait {
			return b.connect(parent)
		}
		// The ring is connected already, or was ended for an error: then the
		// frontend must close or start over first.
	case xenbus.Closing:
		b.disconnect()
		if b.state == xenbus.Closed {
			return nil
		}
		return b.setState(ctx, xenbus.Closing)
	case xenbus.Closed:
		b.disconnect()
		online, err := b.Domain.Store.Read(ctx, b.base+"/online")
		if err == nil && online == "0" { // the toolstack removes the device
			return b.setState(ctx, xenbus.Closed)
		}
		// The device is ready for its next user, such as a kernel started by
		// kexec.
		return b.setState(ctx, xenbus.InitWait)
	}
	return nil
}

// remove removes the nodes of a device whose frontend is gone, unless the
// toolstack has created it again.
func (b *backend) remove(ctx context.Context) error {
	err := b.Domain.Store.Transaction(ctx, func(t *xenstore.Tx) error {
		if _, err := t.Read(ctx, b.front+"/state"); err == nil {
			return errGone
		}
		return t.Remove(ctx, b.base)
	})
	if err != nil && !errors.Is(err, errGone) && ctx.Err() != nil {
		return err
	}
	return errGone // also if the toolstack has removed them first
}

// connect binds the frontend's event channel, asks the Handler and maps the ring.
func (b *backend) connect(parent context.Context) error {
	ctx, cancel := context.WithTimeout(parent, requestTimeout)
	defer cancel()
	store := b.Domain.Store
	if v, err := store.Read(ctx, b.front+"/feature-protocol-v2"); err != nil || v != "1" {
		return errors.New("frontend does not speak protocol version 2")
	}
	ref, err := store.ReadUint(ctx, b.front+"/ring-ref")
	if err != nil {
		return err
	}
	port, err := store.ReadUint(ctx, b.front+"/event-channel")
	if err != nil {
		return err
	}
	// The channel comes first: Xen finds the peer's label by it.
	ch, err := b.Domain.Events.BindInterdomain(b.peer.Domain, xen.Port(port))
	if err != nil {
		return err
	}
	peer := b.peer
	if l, ok := b.Domain.Events.(xen.Labels); ok {
		peer.Label, err = l.PeerLabel(ch.Port())
		if err != nil && !errors.Is(err, xen.ErrNoPolicy) {
			ch.Close()
			return err
		}
	}
	conn, err := b.Handler.Open(peer)
	if err != nil {
		ch.Close()
		return fmt.Errorf("refused: %w", err)
	}
	page, err := b.Domain.Grants.Map(b.peer.Domain, xen.GrantRef(ref))
	if err != nil {
		ch.Close()
		conn.Close()
		return err
	}
	b.ring = &ring{page: page.Page(), events: ch, conn: conn, log: b.Log, peer: b.peer,
		stop: make(chan struct{}), done: make(chan struct{})}
	b.ring.unmap = page.Unmap
	go b.ring.serve()
	// Open may have taken longer than ctx allows.
	ctx, cancel = context.WithTimeout(parent, requestTimeout)
	defer cancel()
	return b.setState(ctx, xenbus.Connected)
}

// disconnect closes the ring, if there is one.
func (b *backend) disconnect() {
	if b.ring == nil {
		return
	}
	if err := b.ring.close(); err != nil {
		b.Log("tpmif: %v: %v", b.peer, err)
	}
	b.ring = nil
}
