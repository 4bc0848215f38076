package hvm

import (
	"errors"
	"sync"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

var errStoreRing = errors.New("xen: the store's ring is broken")

// A StoreRing is this domain's connection to the store (public/io/xs_wire.h,
// struct xenstore_domain_interface). One goroutine may read and one write.
type StoreRing struct {
	page     *xen.Page
	channel  xen.Channel
	readable chan struct{}
	writable chan struct{}
	done     chan struct{}
	close    sync.Once
}

// NewStoreRing returns the ring in a page, whose other end is behind channel,
// and takes the channel over.
func NewStoreRing(page *xen.Page, channel xen.Channel) *StoreRing {
	r := &StoreRing{page: page, channel: channel, readable: make(chan struct{}, 1),
		writable: make(chan struct{}, 1), done: make(chan struct{})}
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
		cons, prod := r.page.Load32(abi.StoreRspCons), r.page.Load32(abi.StoreRspProd)
		n := prod - cons
		if n > abi.StoreRingSize {
			return 0, errStoreRing
		}
		if n == 0 {
			if err := r.wait(r.readable); err != nil {
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

// Write puts all of b into the ring, and waits for room.
func (r *StoreRing) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		cons, prod := r.page.Load32(abi.StoreReqCons), r.page.Load32(abi.StoreReqProd)
		if prod-cons > abi.StoreRingSize {
			return done, errStoreRing
		}
		room := abi.StoreRingSize - (prod - cons)
		if room == 0 {
			if err := r.wait(r.writable); err != nil {
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

func (r *StoreRing) wait(c chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-r.done:
		return xen.ErrClosed
	}
}

// Close ends waiting reads and writes and closes the channel.
func (r *StoreRing) Close() error {
	err := xen.ErrClosed
	r.close.Do(func() {
		close(r.done)
		err = r.channel.Close()
	})
	return err
}
