package xentest

import (
	"errors"
	"fmt"
	"sync"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// A Host is a host whose domains can share pages and send events to each other. It
// is safe for concurrent use.
type Host struct {
	Store *Store

	mu     sync.Mutex
	ports  map[port]*channel
	next   xen.Port
	grants map[grant]*shared
	ref    xen.GrantRef
}

type port struct {
	domain xen.DomID
	port   xen.Port
}

type grant struct {
	owner xen.DomID
	ref   xen.GrantRef
}

// NewHost returns a host without domains.
func NewHost() *Host {
	return &Host{Store: newStore(), ports: map[port]*channel{}, grants: map[grant]*shared{}}
}

// Domain returns the interfaces of the domain with an ID. Each call opens a
// connection to xenstored, which the caller must close.
func (h *Host) Domain(id xen.DomID) xenbus.Domain {
	d := domain{h, id}
	return xenbus.Domain{Events: d, Grants: d, Store: xenstore.NewClient(h.Store.Connect(id))}
}

// Open returns how many ports, mappings and grants exist, to find leaks.
func (h *Host) Open() (ports, mappings, grants int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.grants {
		mappings += s.mapped
	}
	return len(h.ports), mappings, len(h.grants)
}

type domain struct {
	host *Host
	id   xen.DomID
}

type channel struct {
	host   *Host
	at     port
	remote xen.DomID
	peer   *channel // nil until bound
	c      chan struct{}
	closed bool
}

func (d domain) open(remote xen.DomID) *channel {
	d.host.next++
	c := &channel{host: d.host, at: port{d.id, d.host.next}, remote: remote, c: make(chan struct{}, 1)}
	d.host.ports[c.at] = c
	return c
}

func (d domain) AllocUnbound(peer xen.DomID) (xen.Channel, error) {
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	return d.open(peer), nil
}

func (d domain) BindInterdomain(peer xen.DomID, p xen.Port) (xen.Channel, error) {
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	other := d.host.ports[port{peer, p}]
	if other == nil || other.peer != nil || other.remote != d.id {
		return nil, fmt.Errorf("xentest: port %d of domain %d cannot be bound", p, peer)
	}
	c := d.open(peer)
	c.peer, other.peer = other, c
	c.raise() // as Xen does, because an event may have been sent before
	return c, nil
}

func (c *channel) Port() xen.Port { return c.at.port }

func (c *channel) C() <-chan struct{} { return c.c }

// raise makes an event pending. Preconditions: the host's lock is held.
func (c *channel) raise() {
	if c.closed {
		return
	}
	select {
	case c.c <- struct{}{}:
	default:
	}
}

func (c *channel) Notify() error {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	if c.closed {
		return xen.ErrClosed
	}
	if c.peer != nil {
		c.peer.raise()
	}
	return nil
}

func (c *channel) Close() error {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	if c.closed {
		return xen.ErrClosed
	}
	c.closed = true
	close(c.c)
	delete(c.host.ports, c.at)
	if c.peer != nil {
		c.peer.peer = nil
	}
	return nil
}

type shared struct {
	host   *Host
	at     grant
	peer   xen.DomID
	page   *xen.Page
	mapped int
}

func (d domain) Share(peer xen.DomID) (xen.SharedPage, error) {
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	d.host.ref++
	s := &shared{host: d.host, at: grant{d.id, d.host.ref}, peer: peer, page: xen.NewPage()}
	d.host.grants[s.at] = s
	return s, nil
}

func (s *shared) Page() *xen.Page   { return s.page }
func (s *shared) Ref() xen.GrantRef { return s.at.ref }

func (s *shared) Release() error {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	delete(s.host.grants, s.at)
	if s.mapped > 0 {
		return errors.New("xentest: page is still mapped")
	}
	return nil
}

type mapped struct {
	s    *shared
	done bool
}

func (d domain) Map(peer xen.DomID, ref xen.GrantRef) (xen.MappedPage, error) {
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	s := d.host.grants[grant{peer, ref}]
	if s == nil || s.peer != d.id {
		return nil, fmt.Errorf("xentest: grant %d of domain %d cannot be mapped", ref, peer)
	}
	s.mapped++
	return &mapped{s: s}, nil
}

func (m *mapped) Page() *xen.Page { return m.s.page }

func (m *mapped) Unmap() error {
	m.s.host.mu.Lock()
	defer m.s.host.mu.Unlock()
	if m.done {
		return xen.ErrClosed
	}
	m.done = true
	m.s.mapped--
	return nil
}

// Grant makes an entry of a domain's grant table that shares a page with a peer, as the
// toolstack makes for a domain that it builds, in place of an earlier one.
func (h *Host) Grant(owner xen.DomID, ref xen.GrantRef, peer xen.DomID, page *xen.Page) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := grant{owner, ref}
	h.grants[at] = &shared{host: h, at: at, peer: peer, page: page}
}
