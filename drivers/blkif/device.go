package blkif

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"stubtpm/drivers/block"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// DefaultTimeout is how long a request may take.
const DefaultTimeout = 60 * time.Second

// A Device is a disk. It implements block.Device and may be used by several
// goroutines, one request after the other.
type Device struct {
	// Timeout bounds each request. A request without an answer breaks the
	// device, for its pages may still be written.
	Timeout time.Duration

	domain   xenbus.Domain
	path     string
	back     string // the back end's state node
	size     int64
	readOnly bool
	flushOp  uint8 // or 0: none

	mu     sync.Mutex // held during a request
	ring   ring
	shared xen.SharedPage
	events xen.Channel
	watch  *xenstore.Watch
	data   []xen.SharedPage // granted once, for as long as the device is open
	broken error
}

// Connect opens the disk of a number, such as 51712 for xvda, and waits as
// long as ctx allows until its back end is connected.
func Connect(ctx context.Context, domain xenbus.Domain, devid int) (*Device, error) {
	d := &Device{Timeout: DefaultTimeout, domain: domain, path: "device/vbd/" + strconv.Itoa(devid)}
	if err := d.connect(ctx); err != nil {
		return nil, fmt.Errorf("blkif: connect %s: %w", d.path, err)
	}
	return d, nil
}

func (d *Device) connect(ctx context.Context) (err error) {
	store := d.domain.Store
	back, err := store.Read(ctx, d.path+"/backend")
	if err != nil {
		return err
	}
	d.back = back + "/state"
	id, err := store.ReadUint(ctx, d.path+"/backend-id")
	if err != nil {
		return err
	}
	handle, err := store.ReadUint(ctx, d.path+"/virtual-device")
	if err != nil {
		return err
	}
	d.ring.handle = uint16(handle)
	if _, err = xenbus.WaitReopen(ctx, store, d.back, xenbus.InitWait); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			d.release()
		}
	}()
	peer := xen.DomID(id)
	if d.shared, err = d.domain.Grants.Share(peer); err != nil {
		return err
	}
	d.ring.page = d.shared.Page()
	d.ring.init(0)
	for range maxSegments {
		p, err := d.domain.Grants.Share(peer)
		if err != nil {
			return err
		}
		d.data = append(d.data, p)
	}
	if d.events, err = d.domain.Events.AllocUnbound(peer); err != nil {
		return err
	}
	if d.watch, err = store.Watch(ctx, d.back); err != nil {
		return err
	}
	err = store.Transaction(ctx, func(t *xenstore.Tx) error {
		for _, n := range []struct{ node, value string }{
			{"ring-ref", strconv.FormatUint(uint64(d.shared.Ref()), 10)},
			{"event-channel", strconv.FormatUint(uint64(d.events.Port()), 10)},
			{"protocol", "x86_64-abi"},
		} {
			if err := t.Write(ctx, d.path+"/"+n.node, n.value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err = xenbus.WriteState(ctx, store, d.path+"/state", xenbus.Initialised); err != nil {
		return err
	}
	if _, err = xenbus.WaitState(ctx, store, d.back, xenbus.Connected); err != nil {
		return err
	}
	if err = d.describe(ctx, back); err != nil {
		return err
	}
	return xenbus.WriteState(ctx, store, d.path+"/state", xenbus.Connected)
}

// maxSectors keeps sizes in bytes within 63 bits.
const maxSectors = 1 << 50

// describe reads what the back end says of the disk.
func (d *Device) describe(ctx context.Context, back string) error {
	store := d.domain.Store
	s, err := store.Read(ctx, back+"/sectors")
	if err != nil {
		return err
	}
	sectors, err := strconv.ParseInt(s, 10, 64)
	if err != nil || sectors <= 0 || sectors > maxSectors {
		return fmt.Errorf("%w: disk of %q sectors", ErrBackend, s)
	}
	size, err := store.ReadUint(ctx, back+"/sector-size")
	if err != nil {
		return err
	}
	if size != block.SectorSize {
		return fmt.Errorf("disk has sectors of %d bytes; only %d can be used", size, block.SectorSize)
	}
	d.size = sectors * block.SectorSize
	const readOnly = 4 // VDISK_READONLY
	info, err := store.ReadUint(ctx, back+"/info")
	if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
		return err
	}
	d.readOnly = info&readOnly != 0
	for _, f := range []struct {
		node string
		op   uint8
	}{{"feature-barrier", opBarrier}, {"feature-flush-cache", opFlush}} { // the last is preferred
		v, err := store.ReadUint(ctx, back+"/"+f.node)
		if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
			return err
		}
		if v == 1 {
			d.flushOp = f.op
		}
	}
	return nil
}

func (d *Device) release() {
	if d.watch != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		d.watch.Stop(ctx)
		cancel()
	}
	if d.events != nil {
		d.events.Close()
	}
	for _, p := range append(d.data, d.shared) {
		if p != nil {
			p.Release()
		}
	}
	d.watch, d.events, d.data, d.shared = nil, nil, nil, nil
	d.broken = xen.ErrClosed
}

// Size returns the capacity in bytes.
func (d *Device) Size() int64 { return d.size }

// transfer calls f for each piece of a transfer that fits one request.
func (d *Device) transfer(p []byte, off int64, f func(p []byte, sector uint64) error) (int, error) {
	if off%block.SectorSize != 0 || len(p)%block.SectorSize != 0 {
		return 0, fmt.Errorf("blkif: %d bytes at %d: not whole sectors", len(p), off)
	}
	if off < 0 || off > d.size || int64(len(p)) > d.size-off {
		return 0, fmt.Errorf("blkif: %d bytes at %d: beyond the end at %d", len(p), off, d.size)
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
	return d.transfer(p, off, func(p []byte, sector uint64) error {
		if err := d.request(opRead, sector, d.segments(len(p))); err != nil {
			return err
		}
		for i := 0; len(p) > 0; i++ {
			p = p[d.data[i].Page().CopyOut(p, 0):]
		}
		return nil
	})
}

// WriteAt writes whole sectors. They are durable after the next Flush.
func (d *Device) WriteAt(p []byte, off int64) (int, error) {
	if d.readOnly {
		return 0, ErrReadOnly
	}
	return d.transfer(p, off, func(p []byte, sector uint64) error {
		if d.broken != nil {
			return d.broken
		}
		segments := d.segments(len(p))
		for i := 0; len(p) > 0; i++ {
			p = p[d.data[i].Page().CopyIn(0, p):]
		}
		return d.request(opWrite, sector, segments)
	})
}

// segments returns the segments for n bytes at the begin of the data pages.
func (d *Device) segments(n int) []segment {
	var s []segment
	for i := 0; n > 0 && i < len(d.data); i++ {
		sectors := min(n/block.SectorSize, pageSectors)
		s = append(s, segment{d.data[i].Ref(), 0, uint8(sectors - 1)})
		n -= sectors * block.SectorSize
	}
	return s
}

// Flush makes all completed writes durable.
func (d *Device) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flushOp == 0 {
		return ErrNoFlush
	}
	return d.request(d.flushOp, 0, nil)
}

// request makes one request and waits for its response.
func (d *Device) request(op uint8, sector uint64, segments []segment) error {
	if d.broken != nil {
		return d.broken
	}
	d.ring.submit(op, sector, segments)
	if err := d.events.Notify(); err != nil {
		return d.breakdown(err)
	}
	timeout := time.NewTimer(d.Timeout)
	defer timeout.Stop()
	for {
		done, err := d.ring.response(op)
		if done {
			return err
		}
		if err != nil {
			return d.breakdown(err)
		}
		select {
		case _, ok := <-d.events.C():
			if !ok {
				return d.breakdown(xen.ErrClosed)
			}
		case _, ok := <-d.watch.C():
			if !ok {
				return d.breakdown(xenstore.ErrClosed)
			}
			ctx, cancel := context.WithTimeout(context.Background(), d.Timeout)
			s, err := xenbus.ReadState(ctx, d.domain.Store, d.back)
			cancel()
			if err == nil && s != xenbus.Connected {
				err = fmt.Errorf("back end is %v", s)
			}
			if err != nil {
				return d.breakdown(err)
			}
		case <-timeout.C:
			return d.breakdown(fmt.Errorf("no response within %v", d.Timeout))
		}
	}
}

// breakdown notes why the device can not be used any more.
func (d *Device) breakdown(err error) error {
	d.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	return d.broken
}

// Close ends the use of the disk and waits, as long as ctx allows, until the
// back end has let go of its pages.
func (d *Device) Close(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shared == nil {
		return xen.ErrClosed
	}
	store := d.domain.Store
	err := xenbus.WriteState(ctx, store, d.path+"/state", xenbus.Closing)
	if err == nil {
		_, err = xenbus.WaitReopen(ctx, store, d.back, xenbus.Closing, xenbus.Closed, xenbus.Gone)
	}
	if err == nil {
		err = xenbus.WriteState(ctx, store, d.path+"/state", xenbus.Closed)
	}
	if err == nil {
		_, err = xenbus.WaitReopen(ctx, store, d.back, xenbus.InitWait, xenbus.Closed, xenbus.Gone)
	}
	d.release()
	return err
}

var _ block.Device = (*Device)(nil)
