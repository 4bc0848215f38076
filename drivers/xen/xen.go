package xen

import "errors"

// PageSize is the size in bytes of a frame that is granted or mapped.
const PageSize = 4096

// DomID identifies a domain (public/xen.h, domid_t).
type DomID uint16

// DomIDSelf stands for the calling domain (public/xen.h, DOMID_SELF).
const DomIDSelf DomID = 0x7FF0

// GrantRef is an index into the granting domain's grant table
// (public/grant_table.h, grant_ref_t).
type GrantRef uint32

// Port is an event channel port of the calling domain or, as a parameter of
// BindInterdomain, of its peer (public/event_channel.h, evtchn_port_t).
type Port uint32

// ErrClosed is returned by operations on a port, page or client that has been
// closed or released.
var ErrClosed = errors.New("xen: closed")

// Events opens event channels. It is safe for concurrent use.
type Events interface {
	// AllocUnbound opens a local port that peer may bind to.
	AllocUnbound(peer DomID) (Channel, error)

	// BindInterdomain opens a local port connected to peer's port.
	BindInterdomain(peer DomID, port Port) (Channel, error)
}

// ErrNoPolicy is returned if Xen enforces no security policy (XSM), so that
// domains have no labels.
var ErrNoPolicy = errors.New("xen: no XSM policy in force")

// Labels is implemented by Events that can look up labels of a security policy.
type Labels interface {
	// PeerLabel returns the label of the domain at the other end of a local
	// port, or ErrNoPolicy.
	PeerLabel(port Port) (string, error)
}

// A Channel is one open local event channel port.
type Channel interface {
	// Port returns the local port number, which the peer needs to bind.
	Port() Port

	// Notify raises an event at the peer.
	Notify() error

	// C returns a Go channel of capacity one from which one value can be
	// received after one or more events. Because events coalesce, a reader must
	// check the shared page again after every receive. Close closes it.
	C() <-chan struct{}

	// Close closes the port. The peer is not notified.
	Close() error
}

// Handle has f called after one or more events of a channel, by another goroutine and one
// call at a time, in place of values from C. Events before Handle returns may cause no call.
// f must not block: it may hold up events of other channels. A call may be under way when
// the channel is closed.
func Handle(c Channel, f func()) {
	if h, ok := c.(interface{ Handle(f func()) }); ok {
		h.Handle(f)
		return
	}
	go func() {
		for range c.C() {
			f()
		}
	}()
}

// Grants shares pages with other domains and maps theirs. It is safe for
// concurrent use.
type Grants interface {
	// Share allocates a zeroed page and grants peer read-write access to it.
	Share(peer DomID) (SharedPage, error)

	// Map maps a page that peer granted, read-write.
	Map(peer DomID, ref GrantRef) (MappedPage, error)
}

// A SharedPage is a page of this domain that a peer may map.
type SharedPage interface {
	Page() *Page
	Ref() GrantRef

	// Release ends the peer's access and frees the page. If the peer still
	// maps the page, Release returns an error, and the page is never reused.
	Release() error
}

// A MappedPage is a page of a peer, mapped here.
type MappedPage interface {
	Page() *Page
	Unmap() error
}
