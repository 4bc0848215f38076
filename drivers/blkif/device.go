package blkif

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"stubtpm/drivers/block"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// Default limits of a Device.
const (
	DefaultPatience = 5 * time.Second
	DefaultTimeout  = 60 * time.Second
	DefaultRecovery = 5 * time.Minute
)

// A Device is a disk. It implements block.Device and is safe for concurrent
// use: requests are made one after the other.
type Device struct {
	// Patience is how long a request may be without a response before Health
	// says so.
	Patience time.Duration

	// Timeout is how long a request may be without a response before the
	// device connects anew and makes the request again.
	Timeout time.Duration

	// Recovery is how long connecting anew may take. After that the device is
	// broken: every request fails with ErrBroken.
	Recovery time.Duration

	// Broken, if set, is called once, when the device breaks. It must not
	// use the device.
	Broken func(why error)

	// Log, if set, is told when the disk stalls and when it is back.
	Log func(format string, args ...any)

	domain xenbus.Domain
	path   string
	back   string // the backend's state node
	disk   disk   // as found when the device was opened

	mu     sync.Mutex // held during a request
	ring   ring
	shared xen.SharedPage
	events xen.Channel
	watch  *xenstore.Watch
	data   []xen.SharedPage // granted for as long as the ring is
	broken error

	lost      chan error // why the backend of this ring left, from watchBackend
	stopWatch func()     // ends watchBackend and waits for it; nil if it does not run

	stalled atomic.Pointer[stall]     // nil while the disk answers
	left    atomic.Pointer[stall]     // nil while the backend is connected
	failed  atomic.Pointer[stall]     // nil if the last request succeeded
	asked   atomic.Pointer[time.Time] // when the request under way was made; nil if there is none
}

// A disk is what the backend says of it.
type disk struct {
	size     int64
	readOnly bool
	flushOp  uint8 // or 0: none
}

// Connect opens the disk of a number, such as 51712 for xvda, and waits as
// long as ctx allows until its backend is connected.
func Connect(ctx context.Context, domain xenbus.Domain, devid int) (*Device, error) {
	d := &Device{Patience: DefaultPatience, Timeout: DefaultTimeout, Recovery: DefaultRecovery, domain: domain, path: "device/vbd/" + strconv.Itoa(devid)}
	var err error
	if d.disk, err = d.connect(ctx); err != nil {
		return nil, fmt.Errorf("blkif: connect %s: %w", d.path, err)
	}
	return d, nil
}

func (d *Device) connect(ctx context.Context) (_ disk, err error) {
	store := d.domain.Store
	back, err := store.Read(ctx, d.path+"/backend")
	if err != nil {
		return disk{}, err
	}
	d.back = back + "/state"
	id, err := store.ReadUint(ctx, d.path+"/backend-id")
	if err != nil {
		return disk{}, err
	}
	handle, err := store.ReadUint(ctx, d.path+"/virtual-device")
	if err != nil {
		return disk{}, err
	}
	d.ring.handle = uint16(handle)
	if _, err = xenbus.WaitReopen(ctx, store, d.back, xenbus.InitWait); err != nil {
		return disk{}, err
	}
	defer func() {
		if err != nil {
			d.release()
		}
	}()
	if err = d.offer(ctx, xen.DomID(id)); err != nil {
		return disk{}, err
	}
	s, err := xenbus.WaitState(ctx, store, d.back, xenbus.Connected, xenbus.Gone)
	if err == nil && s == xenbus.Gone {
		err = errors.New("backend is gone")
	}
	if err != nil {
		return disk{}, err
	}
	found, err := d.describe(ctx, back)
	if err != nil {
		return disk{}, err
	}
	if err = xenbus.WriteState(ctx, store, d.path+"/state", xenbus.Connected); err != nil {
		return disk{}, err
	}
	d.startWatch()
	return found, nil
}

// offer makes a ring and tells the backend of it.
func (d *Device) offer(ctx context.Context, peer xen.DomID) (err error) {
	store := d.domain.Store
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
	return xenbus.WriteState(ctx, store, d.path+"/state", xenbus.Initialised)
}

// maxSectors keeps sizes in bytes within 63 bits.
const maxSectors = 1 << 50

// describe reads what the backend says of the disk.
func (d *Device) describe(ctx context.Context, back string) (found disk, err error) {
	store := d.domain.Store
	s, err := store.Read(ctx, back+"/sectors")
	if err != nil {
		return disk{}, err
	}
	sectors, err := strconv.ParseInt(s, 10, 64)
	if err != nil || sectors <= 0 || sectors > maxSectors {
		return disk{}, fmt.Errorf("%w: disk of %q sectors", ErrBackend, s)
	}
	size, err := store.ReadUint(ctx, back+"/sector-size")
	if err != nil {
		return disk{}, err
	}
	if size != block.SectorSize {
		return disk{}, fmt.Errorf("disk has sectors of %d bytes; only %d can be used", size, block.SectorSize)
	}
	found.size = sectors * block.SectorSize
	const readOnly = 4 // VDISK_READONLY
	info, err := store.ReadUint(ctx, back+"/info")
	if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
		return disk{}, err
	}
	found.readOnly = info&readOnly != 0
	for _, f := range []struct {
		node string
		op   uint8
	}{{"feature-barrier", opBarrier}, {"feature-flush-cache", opFlush}} { // the last is preferred
		v, err := store.ReadUint(ctx, back+"/"+f.node)
		if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
			return disk{}, err
		}
		if v == 1 {
			found.flushOp = f.op
		}
	}
	return found, nil
}

func (d *Device) release() {
	if d.stopWatch != nil {
		d.stopWatch()
	}
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
	d.stopWatch, d.watch, d.events, d.data, d.shared = nil, nil, nil, nil, nil
}

// Size returns the capacity in bytes.
func (d *Device) Size() int64 { return d.disk.size }

// transfer calls f for each piece of a transfer that fits one request.
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

// Close ends the use of the disk and waits, as long as ctx allows, until the
// backend has let go of its pages.
func (d *Device) Close(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shared == nil {
		return xen.ErrClosed
	}
	err := d.leave(ctx)
	d.release()
	d.broken = xen.ErrClosed
	return err
}

// leave tells the backend to let go of the ring, and waits until it has.
func (d *Device) leave(ctx context.Context) error {
	store := d.domain.Store
	err := xenbus.WriteState(ctx, store, d.path+"/state", xenbus.Closing)
	if err == nil {
		_, err = xenbus.WaitReopen(ctx, store, d.back, xenbus.InitWait, xenbus.Closing, xenbus.Closed, xenbus.Gone)
	}
	if err == nil {
		err = xenbus.WriteState(ctx, store, d.path+"/state", xenbus.Closed)
	}
	if err == nil {
		_, err = xenbus.WaitReopen(ctx, store, d.back, xenbus.InitWait, xenbus.Closed, xenbus.Gone)
	}
	return err
}

var _ block.Device = (*Device)(nil)
