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

// A Peer is who is at the other end of a ring: as the toolstack wrote it in
// the backend's own part of xenstore, and as Xen labels it; nothing as the
// peer says.
type Peer struct {
	Domain xen.DomID
	Handle int
	UUID   string
	// Label is that of the domain at the other end of the event channel, empty
	// if Xen has no policy (XSM) in force.
	Label string
}

func (p Peer) String() string { return fmt.Sprintf("dom%d/%d", p.Domain, p.Handle) }

// A Handler decides who may connect.
type Handler interface {
	// Open is called when a frontend connects. An error refuses it: its ring
	// is not mapped. One that wraps ErrLater does not: the frontend goes on
	// waiting, and Open is called again.
	Open(p Peer) (Conn, error)
}

// ErrLater is for a Handler that cannot serve a frontend yet. Linux' waits two
// minutes, and does not connect again by itself once it was refused.
var ErrLater = errors.New("not now")

// A Conn serves one connected frontend.
type Conn interface {
	// Execute runs one command, of 10 to MaxPacket bytes, and returns the
	// response. It must not keep command.
	Execute(locality uint8, command []byte) []byte

	// Cancel asks the command in progress to end early. It may be called at
	// any time, by another goroutine.
	Cancel()

	// Close is called when the frontend has gone or closed its ring.
	Close()
}

// A Server is the backend of all TPM devices of this domain.
type Server struct {
	Domain  xenbus.Domain
	Handler Handler
	Log     func(format string, args ...any)
}

// directory is where the toolstack puts the backends of this domain.
const directory = "backend/vtpm"

// requestTimeout bounds each exchange with the store. Only a store that hangs
// makes it matter.
const requestTimeout = 30 * time.Second

// retryDelay is how long a device rests whose nodes cannot be used.
const retryDelay = time.Second

// Run serves frontends until ctx ends or the connection to the store does. A
// frontend that misbehaves ends its own device only.
func (s *Server) Run(ctx context.Context) error {
	store := s.Domain.Store
	w, err := store.Watch(ctx, directory)
	if err != nil {
		return fmt.Errorf("tpmif: %w", err)
	}
	running := map[string]context.CancelFunc{}
	said := sayings{last: map[string]string{}}
	ended := make(chan string)
	defer func() {
		for _, cancel := range running {
			cancel()
		}
		for range running {
			<-ended
		}
	}()
	for {
		devices, err := s.scan(ctx, func(path string) bool { return running[path] != nil })
		if err != nil {
			return fmt.Errorf("tpmif: %w", err)
		}
		for path, p := range devices {
			dctx, cancel := context.WithCancel(ctx)
			running[path] = cancel
			go func() {
				b := &backend{Server: s, base: path, peer: p}
				if err := b.run(dctx); err == nil {
					said.forget(path)
				} else if ctx.Err() == nil {
					if text := hint(err).Error(); said.news(path, text) {
						s.Log("tpmif: %v: %s", p, text)
					}
					// The device is still listed and will be taken up again:
					// not at once, for what failed may fail each time.
					select {
					case <-time.After(retryDelay):
					case <-dctx.Done():
					}
				}
				ended <- path
			}()
		}
		select {
		case _, ok := <-w.C():
			if !ok {
				return xenstore.ErrClosed
			}
		case path := <-ended:
			running[path]()
			delete(running, path)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sayings are the last words on each device: one that fails again each second
// is told of once.
type sayings struct {
	mu   sync.Mutex
	last map[string]string // by path
}

func (s *sayings) news(path, text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.last[path]
	s.last[path] = text
	return old != text
}

func (s *sayings) forget(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.last, path)
}

// hint says what an administrator can do about a store that refuses more of what
// each device needs. xenstored gives a domain 1000 nodes and 128 watches where it
// is not told otherwise.
func hint(err error) error {
	switch {
	case errors.Is(err, xenstore.ErrNoSpace):
		return fmt.Errorf("%w: this domain's quota of nodes is used up (xenstored --entry-nb)", err)
	case errors.Is(err, xenstore.ErrTooBig):
		return fmt.Errorf("%w: this domain's quota of watches is used up (xenstored --watch-nb)", err)
	}
	return err
}

// scan lists the devices that the toolstack made, but those that run: with
// hundreds of them, each change of one would ask for all.
func (s *Server) scan(ctx context.Context, runs func(path string) bool) (map[string]Peer, error) {
	store := s.Domain.Store
	devices := map[string]Peer{}
	domains, err := store.Directory(ctx, directory)
	if errors.Is(err, xenstore.ErrNotExist) {
		return devices, nil
	}
	if err != nil {
		return nil, err
	}
	for _, d := range domains {
		id, err := strconv.ParseUint(d, 10, 16)
		if err != nil {
			continue
		}
		handles, err := store.Directory(ctx, directory+"/"+d)
		if err != nil {
			continue // gone meanwhile
		}
		for _, h := range handles {
			n, err := strconv.ParseUint(h, 10, 16)
			if err != nil {
				continue
			}
			path := directory + "/" + d + "/" + h
			if runs(path) {
				continue
			}
			// A device without a state is not ready yet, or being removed.
			if st, err := xenbus.ReadState(ctx, store, path+"/state"); err != nil || st == xenbus.Gone {
				continue
			}
			uuid, err := store.Read(ctx, path+"/uuid")
			if err != nil {
				continue
			}
			devices[path] = Peer{Domain: xen.DomID(id), Handle: int(n), UUID: uuid}
		}
	}
	return devices, nil
}

// A backend is one device and, while it is connected, its ring.
type backend struct {
	*Server
	base  string // own directory in the store
	peer  Peer
	front string // the frontend's directory

	state xenbus.State // as last written
	ring  *ring
}

// errGone says that the frontend's directory vanished.
var errGone = errors.New("frontend is gone")

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
	w, err := store.Watch(ctx, b.front+"/state")
	if err != nil {
		return err
	}
	defer w.Stop(context.WithoutCancel(ctx))
	defer b.disconnect()
	waits := false
	var pace pace
	for {
		if err := pace.wait(ctx); err != nil {
			return err
		}
		var again <-chan time.Time
		if err := b.step(ctx); errors.Is(err, ErrLater) {
			if !waits {
				b.Log("tpmif: %v: %v", b.peer, err)
			}
			waits, again = true, time.After(retryDelay)
		} else if err != nil {
			if errors.Is(err, errGone) {
				return nil
			}
			// What this frontend did wrong ends its ring, not its device: it
			// may close and connect anew.
			b.Log("tpmif: %v: %v", b.peer, err)
			b.disconnect()
			if b.state == xenbus.Closed {
				return err
			}
			if err := b.setState(ctx, xenbus.Closing); errors.Is(err, errGone) {
				return nil
			} else if err != nil {
				return err
			}
		}
		select {
		case _, ok := <-w.C():
			if !ok {
				return xenstore.ErrClosed
			}
		case <-again:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

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

// step does what the frontend's present state asks for.
func (b *backend) step(parent context.Context) error {
	ctx, cancel := context.WithTimeout(parent, requestTimeout)
	defer cancel()
	s, err := xenbus.ReadState(ctx, b.Domain.Store, b.front+"/state")
	if errors.Is(err, xenstore.ErrAccess) {
		// Once the toolstack has removed the frontend's directory, the store
		// judges by the directory above it, which is not ours to read. The
		// toolstack now waits for this device to end, ten seconds at most.
		s, err = xenbus.Gone, nil
	}
	if err != nil {
		return err
	}
	if s == xenbus.Gone {
		b.disconnect()
		return b.remove(ctx)
	}
	// A device of this name that was made anew meanwhile is another one, and
	// maybe of another uuid.
	if own, err := xenbus.ReadState(ctx, b.Domain.Store, b.base+"/state"); err != nil {
		return err
	} else if own == xenbus.Initialising || own == xenbus.Gone {
		b.disconnect()
		return errGone
	}
	switch s {
	case xenbus.Initialising, xenbus.InitWait:
		// A frontend that starts over, maybe without having closed.
		b.disconnect()
		return b.setState(ctx, xenbus.InitWait)
	case xenbus.Initialised, xenbus.Connected:
		if b.state == xenbus.InitWait {
			return b.connect(parent)
		}
		// Connected already, or ended for a fault: then the frontend has to
		// close or start over first.
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
		// Ready for the next user of the device, such as a kernel started by
		// the one before.
		return b.setState(ctx, xenbus.InitWait)
	}
	return nil
}

// remove removes the nodes of a device whose frontend is gone, unless there is
// another meanwhile.
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
	return errGone // the toolstack may have been quicker
}

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
	// The channel comes first: by it Xen tells the peer's label.
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
	// Open may have taken long.
	ctx, cancel = context.WithTimeout(parent, requestTimeout)
	defer cancel()
	return b.setState(ctx, xenbus.Connected)
}

func (b *backend) disconnect() {
	if b.ring == nil {
		return
	}
	if err := b.ring.close(); err != nil {
		b.Log("tpmif: %v: %v", b.peer, err)
	}
	b.ring = nil
}
