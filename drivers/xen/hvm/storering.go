package hvm

import (
	"errors"
	"sync"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

var errStoreRing = errors.New("xen: the store's ring is broken")

// ErrStoreHung says that the store did not take a message in time. Part of one
// may be in the ring, so the connection has ended.
var ErrStoreHung = errors.New("xen: the store takes no requests")

// storePatience bounds one Write. A store that is slow or replaces itself (live
// update) needs seconds; one that needs longer must not hold up this domain.
const storePatience = 30 * time.Second

// A StoreRing is this domain's connection to the store (public/io/xs_wire.h,
// struct xenstore_domain_interface). One goroutine may read and one write.
type StoreRing struct {
	page     *xen.Page
	channel  xen.Channel
	readable chan struct{}
	writable chan struct{}
	patience time.Duration
	done     chan struct{}
	end      sync.Once
	err      error // why done was closed
	close    sync.Once
}

// NewStoreRing returns the ring in a page, whose other end is behind channel,
// and takes the channel over.
func NewStoreRing(page *xen.Page, channel xen.Channel) *StoreRing {
	r := &StoreRing{page: page, channel: channel, readable: make(chan struct{}, 1),
		writable: make(chan struct{}, 1), patience: storePatience, done: make(chan struct{})}
	go r.forward()
	return r
}

// forward gives each event to reader and writer; either looks at the ring.
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

// Read takes at least one byte, and waits for it.
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

// Write puts all of b into the ring, and waits for room, but not forever: after
// ErrStoreHung all further reads and writes fail too.
func (r *StoreRing) Write(b []byte) (int, error) {
	done := 0
	late := time.NewTimer(r.patience)
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
			// The ring is looked at once more when time is up: a domain that
			// was paused finds the event and the timer due together.
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

// wait waits for an event, the end of the connection, or late.
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

// stop ends the connection, once, for a reason.
func (r *StoreRing) stop(err error) {
	r.end.Do(func() {
		r.err = err
		close(r.done)
	})
}

func (r *StoreRing) ended() error {
	select {
	case <-r.done:
		return r.err
	default:
		return nil
	}
}

// Close ends waiting reads and writes and closes the channel.
func (r *StoreRing) Close() error {
	err := xen.ErrClosed
	r.close.Do(func() {
		r.stop(xen.ErrClosed)
		err = r.channel.Close()
	})
	return err
}
