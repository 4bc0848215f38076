package blkif

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stubtpm/drivers/xen/xenbus"
)

// reconnectDelay is the pause after a failed attempt to reconnect. Linux's
// blkback refuses a new ring while requests of the old one are in flight.
const reconnectDelay = time.Second

// reconnect replaces the ring and its pages, to which the backend may still
// write. It tries until Recovery has passed.
func (d *Device) reconnect(why error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d.Recovery)
	defer cancel()
	st := &stall{time.Now(), why}
	d.stalled.Store(st)
	d.log("blkif: %s: %v; reconnecting", d.front.Path, why)
	for {
		err := d.reopen(ctx)
		if err == nil {
			d.stalled.Store(nil)
			d.log("blkif: %s: reconnected after %v", d.front.Path, time.Since(st.since).Round(time.Second))
			return nil
		}
		if errors.Is(err, errChanged) {
			return err
		}
		select {
		case <-time.After(reconnectDelay):
		case <-ctx.Done():
			return fmt.Errorf("%w; not reconnected within %v: %w", why, d.Recovery, err)
		}
	}
}

// errChanged is returned when the backend offers a disk of other properties.
var errChanged = errors.New("not the same disk")

// reopen makes one attempt to replace the ring.
func (d *Device) reopen(ctx context.Context) error {
	if err := d.disconnect(ctx); err != nil {
		return err
	}
	d.release()
	if err := d.front.SetState(ctx, xenbus.Initialising); err != nil {
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

// fail marks the device as broken.
func (d *Device) fail(err error) error {
	d.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	d.stalled.Store(&stall{time.Now(), err})
	if d.Broken != nil {
		d.Broken(d.broken)
	}
	return d.broken
}
