package blkif

import (
	"context"
	"fmt"
	"time"

	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// A stall is an error of the disk, and since when it lasts.
type stall struct {
	since time.Time
	why   error
}

// Health returns nil while the disk works. Otherwise its error is that the backend
// does not respond, that it has disconnected, or that it reported an error for the last
// request. Health neither makes a request nor waits for one.
func (d *Device) Health() error {
	if st := d.stalled.Load(); st != nil {
		return fmt.Errorf("blkif: no response from the disk for %v: %w", sinceOf(st), st.why)
	}
	if submitted := d.submitted.Load(); submitted != nil {
		if since := time.Since(*submitted); since > d.Patience {
			return fmt.Errorf("blkif: no response from the disk for %v: a request is in flight", since.Round(time.Second))
		}
	}
	if st := d.left.Load(); st != nil {
		return fmt.Errorf("blkif: disk disconnected %v ago: %w", sinceOf(st), st.why)
	}
	if st := d.failed.Load(); st != nil {
		return fmt.Errorf("blkif: the last request, %v ago, failed: %w", sinceOf(st), st.why)
	}
	return nil
}

func sinceOf(st *stall) time.Duration { return time.Since(st.since).Round(time.Second) }

// noteOutcome records the result of a request, for Health.
func (d *Device) noteOutcome(err error) {
	if err == nil {
		d.failed.Store(nil)
		return
	}
	d.failed.Store(&stall{time.Now(), err})
}

// startWatch starts watchBackend for the current ring.
func (d *Device) startWatch() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	front, lost := d.front, make(chan error, 1)
	d.left.Store(nil)
	d.lost, d.stopWatch = lost, func() { cancel(); <-done }
	go func() {
		defer close(done)
		err := watchBackend(ctx, &front)
		if ctx.Err() == nil {
			lost <- err // before Health reports it, so that the next request reconnects
			d.left.Store(&stall{time.Now(), err})
		}
	}()
}

// watchBackend waits until the backend is not connected any more and returns why. It
// runs in a goroutine, so that Health reports it even if there are no requests.
func watchBackend(ctx context.Context, front *xenbus.Frontend) error {
	for {
		select {
		case _, ok := <-front.Watch.C():
			if !ok {
				return xenstore.ErrClosed
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		s, err := front.BackendState(ctx)
		if err != nil {
			return err
		}
		if s != xenbus.Connected {
			return fmt.Errorf("%w: backend is %v", errStalled, s)
		}
	}
}
