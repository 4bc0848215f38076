package hvm

import (
	"errors"
	"sync"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

var errStoreRing = errors.New("xen: indices in the xenstore ring are invalid")

// ErrStoreHung is returned when xenstored did not accept a message in time. Part of
// the message may be in the ring, so the connection has ended.
var ErrStoreHung = errors.New("xen: xenstored accepts no requests")

// storeTimeout bounds one Write. A xenstored that is slow or replaces itself (live
// update) takes seconds; if it takes longer, it must not block this domain.
const storeTimeout = 30 * time.Second

// A StoreRing is this domain's connection to xenstored (public/io/xs_wire.h,
// struct xenstore_domain_interface). One goroutine may read while another one
// writes.
type StoreRing struct {
	page     *xen.Page
	channel  xen.Channel
	readable chan struct{}
	writable chan struct{}
	timeout  time.Duration
	done     chan struct{}
	end      sync.Once
	err      error // why done was closed
	close    sync.Once
}

// NewStoreRing returns the connection over the ring in a page, and takes over the
// event channel to its peer.
func NewStoreRing(page *xen.Page, channel xen.Channel) *StoreRing {
	r := &StoreRing{page: page, channel: channel, readable: make(chan struct{}, 1),
		writable: make(chan struct{}, 1), timeout: storeTimeout, done: make(chan struct{})}
	go r.forward()
	return r
}

// forward passes each event to both reader and writer.
func (r *StoreRing) forward() {
	for range r.channel.C() {
		for _, c := range []chan struct{}{r.readable, r.writable} {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}

// Read waits for at least one byte and returns what is in the ring, up to
// len(b).
func (r *StoreRing) Read(b []byte) (int, error) {
	for len(b) > 0 {
		if err := r.ended(); err != nil {
			return 0, err
		}
		cons, prod := r.page.Load32(abi.StoreRspCons), r.page.Load32(abi.StoreRspProd)
		n := prod - cons
		if n > abi.StoreRingSize {
			return 0, errStoreRing
		}
		if n == 0 {
			if err := r.wait(r.readable, nil); err != nil {
				return 0, err
			}
			continue
		}
		at := cons % abi.StoreRingSize
		n = min(n, abi.StoreRingSize-at, uint32(len(b)))
		r.page.CopyOut(b[:n], abi.StoreRsp+int(at))
		r.page.Store32(abi.StoreRspCons, cons+n)
		return int(n), r.channel.Notify()
	}
	return 0, nil
}

// Write puts all of b into the ring. If it takes longer than 30 seconds, it returns
// ErrStoreHung, and all later reads and writes fail too.
func (r *StoreRing) Write(b []byte) (int, error) {
	done := 0
	late := time.NewTimer(r.timeout)
	defer late.Stop()
	hung := false
	for done < len(b) {
		if err := r.ended(); err != nil {
			return done, err
		}
		cons, prod := r.page.Load32(abi.StoreReqCons), r.page.Load32(abi.StoreReqProd)
		if prod-cons > abi.StoreRingSize {
			return done, errStoreRing
		}
		room := abi.StoreRingSize - (prod - cons)
		if room == 0 {
			if hung {
				r.stop(ErrStoreHung)
				return done, ErrStoreHung
			}
			// After a pause of this domain, the event and the timeout may both be
			// there: look at the ring once more.
			if err := r.wait(r.writable, late.C); err == ErrStoreHung {
				hung = true
			} else if err != nil {
				return done, err
			}
			continue
		}
		at := prod % abi.StoreRingSize
		n := min(room, abi.StoreRingSize-at, uint32(len(b)-done))
		r.page.CopyIn(abi.StoreReq+int(at), b[done:done+int(n)])
		r.page.Store32(abi.StoreReqProd, prod+n)
		done += int(n)
		if err := r.channel.Notify(); err != nil {
			return done, err
		}
	}
	return done, nil
}

// wait waits for an event. It returns an error at the end of the connection, and
// ErrStoreHung when late fires.
func (r *StoreRing) wait(c <-chan struct{}, late <-chan time.Time) error {
	select {
	case <-c:
		return nil
	case <-late:
		return ErrStoreHung
	case <-r.done:
		return r.err
	}
}

// stop ends the connection. err is what later calls return; only the first one
// counts.
func (r *StoreRing) stop(err error) {
	r.end.Do(func() {
		r.err = err
		close(r.done)
	})
}

// ended returns why the connection has ended, or nil.
func (r *StoreRing) ended() error {
	select {
	case <-r.done:
		return r.err
	default:
		return nil
	}
}

// Close unblocks reads and writes and closes the channel.
func (r *StoreRing) Close() error {
	err := xen.ErrClosed
	r.close.Do(func() {
		r.stop(xen.ErrClosed)
		err = r.channel.Close()
	})
	return err
}
