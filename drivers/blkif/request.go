package blkif

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stubtpm/drivers/block"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
)

// reconnectDelay is how long a failed attempt to connect anew rests. Linux'
// blkback refuses a new ring while requests of the old one are under way.
const reconnectDelay = time.Second

// errStalled is why a request was given up that may be made again on another
// ring: the backend did not answer, or has left.
var errStalled = errors.New("stalled")

// request transfers p, of one request's size, or flushes. A request that the
// backend does not answer is made again on a new ring. That is safe for reads,
// writes and flushes alike, because the backend completes or drops what it has
// of the old ring before it takes the new one.
//
// Preconditions: d.mu is held.
func (d *Device) request(op uint8, sector uint64, p []byte) error {
	for {
		if d.broken != nil {
			return d.broken
		}
		err := d.attempt(op, sector, p)
		if err == nil || errors.Is(err, ErrIO) || errors.Is(err, ErrNoFlush) {
			d.noteOutcome(err)
			return err
		}
		if errors.Is(err, errStalled) {
			err = d.reconnect(err)
		}
		if err != nil {
			return d.breakdown(err)
		}
	}
}

// attempt makes one request on the present ring.
func (d *Device) attempt(op uint8, sector uint64, p []byte) error {
	var segments []segment
	for i, rest := 0, p; len(rest) > 0; i++ {
		n := min(len(rest), xen.PageSize)
		if op == opWrite {
			d.data[i].Page().CopyIn(0, rest[:n])
		}
		segments = append(segments, segment{d.data[i].Ref(), 0, uint8(n/block.SectorSize - 1)})
		rest = rest[n:]
	}
	now := time.Now()
	d.asked.Store(&now)
	defer d.asked.Store(nil)
	d.ring.submit(op, sector, segments)
	if err := d.events.Notify(); err != nil {
		return err
	}
	timeout := time.NewTimer(d.Timeout)
	defer timeout.Stop()
	if err := d.await(op, timeout.C); err != nil {
		return err
	}
	if op == opRead {
		for i := 0; len(p) > 0; i++ {
			p = p[d.data[i].Page().CopyOut(p, 0):]
		}
	}
	return nil
}

// await waits for the response to the request in flight.
func (d *Device) await(op uint8, timeout <-chan time.Time) error {
	for {
		if done, err := d.ring.response(op); done || err != nil {
			return err
		}
		select {
		case _, ok := <-d.events.C():
			if !ok {
				return xen.ErrClosed
			}
		case err := <-d.lost:
			return err
		case <-timeout:
			// A domain that was paused finds the response and the end of its
			// patience at the same time.
			if done, err := d.ring.response(op); done || err != nil {
				return err
			}
			return fmt.Errorf("%w: no response within %v", errStalled, d.Timeout)
		}
	}
}

// reconnect replaces the ring and its pages, which the backend may still
// write.
func (d *Device) reconnect(why error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d.Recovery)
	defer cancel()
	st := &stall{time.Now(), why}
	d.stalled.Store(st)
	d.log("blkif: %s: %v; connecting anew", d.path, why)
	for {
		err := d.reopen(ctx)
		if err == nil {
			d.stalled.Store(nil)
			d.log("blkif: %s: connected again after %v", d.path, time.Since(st.since).Round(time.Second))
			return nil
		}
		if errors.Is(err, errChanged) {
			return err
		}
		select {
		case <-time.After(reconnectDelay):
		case <-ctx.Done():
			return fmt.Errorf("%w; not connected again within %v: %w", why, d.Recovery, err)
		}
	}
}

// errChanged says that a device is not what it was before.
var errChanged = errors.New("not the same disk")

func (d *Device) reopen(ctx context.Context) error {
	if err := d.leave(ctx); err != nil {
		return err
	}
	d.release()
	if err := xenbus.WriteState(ctx, d.domain.Store, d.path+"/state", xenbus.Initialising); err != nil {
		return err
	}
	found, err := d.connect(ctx)
	if err == nil && found != d.disk {
		err = fmt.Errorf("%w: %+v, was %+v", errChanged, found, d.disk)
	}
	return err
}

func (d *Device) log(format string, args ...any) {
	if d.Log != nil {
		d.Log(format, args...)
	}
}

// breakdown notes why the device cannot be used any more.
func (d *Device) breakdown(err error) error {
	d.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	d.stalled.Store(&stall{time.Now(), err})
	if d.Broken != nil {
		d.Broken(d.broken)
	}
	return d.broken
}
