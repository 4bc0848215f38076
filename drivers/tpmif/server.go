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

// A Peer identifies the frontend of a ring. Nothing in it comes from the peer:
// the toolstack wrote domain, handle and UUID into the backend's own part of
// xenstore, and Xen provides the label.
type Peer struct {
	Domain xen.DomID
	Handle int
	UUID   string
	// Label is the XSM label of the domain at the other end of the event
	// channel, empty if no policy is in force.
	Label string
}

func (p Peer) String() string { return fmt.Sprintf("dom%d/%d", p.Domain, p.Handle) }

// A Handler decides which frontends may connect.
type Handler interface {
	// Open is called when a frontend connects. If it returns an error, the
	// frontend is refused and its ring is not mapped. If the error wraps
	// ErrLater, the frontend stays waiting and Open is called again.
	Open(p Peer) (Conn, error)
}

// ErrLater is returned by a Handler that cannot serve a frontend yet. Linux's
// frontend waits for two minutes; after a refusal it does not try again.
var ErrLater = errors.New("not now")

// A Conn serves one connected frontend.
type Conn interface {
	// Execute runs one command of 10 to MaxPacket bytes and returns the
	// response. It must not retain command.
	Execute(locality uint8, command []byte) []byte

	// Cancel asks the command in progress to end early. It may be called at
	// any time, from another goroutine.
	Cancel()

	// Close is called when the frontend is gone or has closed its ring.
	Close()
}

// A Server is the backend of all TPM devices of this domain.
type Server struct {
	Domain  xenbus.Domain
	Handler Handler
	Log     func(format string, args ...any) // called from several goroutines
}

// directory is where the toolstack creates the backends of this domain.
const directory = "backend/vtpm"

// requestTimeout bounds each exchange with xenstored. Only a xenstored that
// hangs needs so long.
const requestTimeout = 30 * time.Second

// retryDelay is the pause before a device is tried again after an error.
const retryDelay = time.Second

// Run serves frontends until ctx or the connection to xenstore ends. A frontend
// that breaks the protocol ends its own device only.
func (s *Server) Run(ctx context.Context) error {
	store := s.Domain.Store
	w, err := store.Watch(ctx, directory)
	if err != nil {
		return fmt.Errorf("tpmif: %w", err)
	}
	running := map[string]context.CancelFunc{}
	logged := lastErrors{texts: map[string]string{}}
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
					logged.forget(path)
				} else if ctx.Err() == nil {
					if text := hint(err).Error(); logged.isNew(path, text) {
						s.Log("tpmif: %v: %s", p, text)
					}
					// The device is still listed and will be tried again, but
					// not at once: the error may be permanent.
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

// lastErrors keeps the last error of each device, so that one which fails again
// each second is logged once. It is safe for concurrent use.
type lastErrors struct {
	mu    sync.Mutex
	texts map[string]string // by path
}

// isNew records an error of a device and reports whether it differs from the
// last one.
func (l *lastErrors) isNew(path, text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.texts[path]
	l.texts[path] = text
	return old != text
}

func (l *lastErrors) forget(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.texts, path)
}

// hint adds to an error of a used-up quota how an administrator can raise it.
// By default, xenstored allows a domain 1000 nodes and 128 watches.
func hint(err error) error {
	switch {
	case errors.Is(err, xenstore.ErrNoSpace):
		return fmt.Errorf("%w: this domain's quota of nodes is used up (xenstored --entry-nb)", err)
	case errors.Is(err, xenstore.ErrTooBig):
		return fmt.Errorf("%w: this domain's quota of watches is used up (xenstored --watch-nb)", err)
	}
	return err
}

// scan lists the devices that the toolstack has created, without those that
// run: with hundreds of devices, each event would otherwise read all of them.
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
			continue // removed in between
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
			// A device without a state is being created or removed.
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
