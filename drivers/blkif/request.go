package blkif

import (
	"errors"
	"fmt"
	"time"

	"stubtpm/drivers/block"
	"stubtpm/drivers/xen"
)

// errStalled is returned when the backend did not respond or has disconnected.
// The request may be repeated on another ring.
var errStalled = errors.New("stalled")

// request transfers p, which must fit one request, or flushes. If the backend
// does not respond, the request is repeated on a new ring. That is safe for
// reads, writes and flushes, because the backend completes or drops all
// requests of the old ring before it connects to the new one.
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
			return d.fail(err)
		}
	}
}

// attempt makes one request on the current ring.
func (d *Device) attempt(op uint8, sector uint64, p []byte) error {
	select {
	case err := <-d.lost:
		return err // a backend that disconnects may still respond: not to this request
	default:
	}
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
	d.submitted.Store(&now)
	defer d.submitted.Store(nil)
	d.ring.submit(op, sector, segments)
	if err := d.front.Channel.Notify(); err != nil {
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
		case _, ok := <-d.front.Channel.C():
			if !ok {
				return xen.ErrClosed
			}
		case err := <-d.lost:
			return err
		case <-timeout:
			// After a pause of this domain, the response and the timeout may
			// both be there.
			if done, err := d.ring.response(op); done || err != nil {
				return err
			}
			return fmt.Errorf("%w: no response within %v", errStalled, d.Timeout)
		}
	}
}
