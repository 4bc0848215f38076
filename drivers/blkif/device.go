package blkif

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"stubtpm/drivers/block"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
)

// Default limits of a Device.
const (
	DefaultPatience = 5 * time.Second
	DefaultTimeout  = 60 * time.Second
	DefaultRecovery = 5 * time.Minute
)

// A Device is a disk. It implements block.Device and is safe for concurrent
// use; requests are made one at a time.
type Device struct {
	// Patience is how long a request may wait for its response before Health
	// reports it.
	Patience time.Duration

	// Timeout is how long a request may wait for its response before the
	// device reconnects and repeats the request.
	Timeout time.Duration

	// Recovery is how long a reconnection may take. After that the device is
	// broken: every request fails with ErrBroken.
	Recovery time.Duration

	// Broken, if set, is called once, when the device breaks. It must not
	// use the device.
	Broken func(why error)

	// Log, if set, is called when the disk stalls and when it has recovered.
	Log func(format string, args ...any)

	disk properties // as found by Connect; a reconnection must find the same

	mu     sync.Mutex // held during a request
	front  xenbus.Frontend
	ring   ring
	data   []xen.SharedPage // granted for as long as the ring is
	broken error            // returned by every request once it is set

	lost      chan error // why the backend of this ring disconnected, from watchBackend
	stopWatch func()     // ends watchBackend and waits for it; nil if it does not run

	stalled   atomic.Pointer[stall]     // nil while the disk responds
	left      atomic.Pointer[stall]     // nil while the backend is connected
	failed    atomic.Pointer[stall]     // nil if the last request succeeded
	submitted atomic.Pointer[time.Time] // when the request in flight was submitted, or nil
}

// Connect opens the disk with a virtual device number, such as 51712 for xvda,
// and waits as long as ctx allows until its backend is connected.
func Connect(ctx context.Context, domain xenbus.Domain, devid int) (*Device, error) {
	d := &Device{Patience: DefaultPatience, Timeout: DefaultTimeout, Recovery: DefaultRecovery,
		front: xenbus.Frontend{Domain: domain, Path: "device/vbd/" + strconv.Itoa(devid)}}
	var err error
	if d.disk, err = d.connect(ctx); err != nil {
		return nil, fmt.Errorf("blkif: connect %s: %w", d.front.Path, err)
	}
	return d, nil
}

// Size returns the capacity in bytes.
func (d *Device) Size() int64 { return d.disk.size }

// transfer splits a transfer into pieces that fit one request, calls f for each
// and returns how many bytes were transferred.
func (d *Device) transfer(p []byte, off int64, f func(p []byte, sector uint64) error) (int, error) {
	if off%block.SectorSize != 0 || len(p)%block.SectorSize != 0 {
		return 0, fmt.Errorf("blkif: %d bytes at %d: not whole sectors", len(p), off)
	}
	if off < 0 || off > d.disk.size || int64(len(p)) > d.disk.size-off {
		return 0, fmt.Errorf("blkif: %d bytes at %d: beyond the end at %d", len(p), off, d.disk.size)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	done := 0
	for done < len(p) {
		n := min(len(p)-done, maxSegments*xen.PageSize)
		if err := f(p[done:done+n], uint64(off+int64(done))/block.SectorSize); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// ReadAt reads whole sectors.
func (d *Device) ReadAt(p []byte, off int64) (int, error) {
	return d.transfer(p, off, func(p []byte, sector uint64) error { return d.request(opRead, sector, p) })
}

// WriteAt writes whole sectors. They are durable after the next Flush.
func (d *Device) WriteAt(p []byte, off int64) (int, error) {
	if d.disk.readOnly {
		return 0, ErrReadOnly
	}
	return d.transfer(p, off, func(p []byte, sector uint64) error { return d.request(opWrite, sector, p) })
}

// Flush makes all completed writes durable.
func (d *Device) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.disk.flushOp == 0 {
		return ErrNoFlush
	}
	return d.request(d.disk.flushOp, 0, nil)
}

// Close disconnects the disk and waits, as long as ctx allows, until the
// backend has released its pages.
func (d *Device) Close(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.front.Ring == nil {
		return xen.ErrClosed
	}
	err := d.disconnect(ctx)
	d.release()
	d.broken = xen.ErrClosed
	return err
}

var _ block.Device = (*Device)(nil)
