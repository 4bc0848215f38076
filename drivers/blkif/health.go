package blkif

import (
	"context"
	"fmt"
	"time"

	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// A stall is what is wrong with the disk, and since when.
type stall struct {
	since time.Time
	why   error
}

// Health returns nil while the disk answers, and otherwise what is wrong: the backend
// does not answer, has left, or answered the last request with an error. Health neither
// makes a request nor waits for one.
func (d *Device) Health() error {
	if st := d.stalled.Load(); st != nil {
		return fmt.Errorf("blkif: disk does not answer since %v: %w", sinceOf(st), st.why)
	}
	if asked := d.asked.Load(); asked != nil {
		if since := time.Since(*asked); since > d.Patience {
			return fmt.Errorf("blkif: disk does not answer since %v: a request is under way", since.Round(time.Second))
		}
	}
	if st := d.left.Load(); st != nil {
		return fmt.Errorf("blkif: disk is away since %v: %w", sinceOf(st), st.why)
	}
	if st := d.failed.Load(); st != nil {
		return fmt.Errorf("blkif: the last request, %v ago, failed: %w", sinceOf(st), st.why)
	}
	return nil
}

func sinceOf(st *stall) time.Duration { return time.Since(st.since).Round(time.Second) }

// noteOutcome records whether the backend carried out a request.
func (d *Device) noteOutcome(err error) {
	if err == nil {
		d.failed.Store(nil)
		return
	}
	d.failed.Store(&stall{time.Now(), err})
}

// startWatch starts watchBackend for the ring that the backend has just connected to.
func (d *Device) startWatch() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	watch, back, lost := d.watch, d.back, make(chan error, 1)
	d.left.Store(nil)
	d.lost, d.stopWatch = lost, func() { cancel(); <-done }
	go func() {
		defer close(done)
		err := d.watchBackend(ctx, watch, back)
		if ctx.Err() == nil {
			d.left.Store(&stall{time.Now(), err})
			lost <- err
		}
	}()
}

// watchBackend returns when the backend is not connected any more, with the reason. So
// Health reports it also while nobody makes a request.
func (d *Device) watchBackend(ctx context.Context, w *xenstore.Watch, back string) error {
	for {
		select {
		case _, ok := <-w.C():
			if !ok {
				return xenstore.ErrClosed
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		s, err := xenbus.ReadState(ctx, d.domain.Store, back)
		if err != nil {
			return err
		}
		if s != xenbus.Connected {
			return fmt.Errorf("%w: backend is %v", errStalled, s)
		}
	}
}
