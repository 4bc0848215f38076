package blkif

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"stubtpm/drivers/block"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// properties are what the backend publishes about a disk.
type properties struct {
	size     int64 // in bytes
	readOnly bool
	flushOp  uint8 // opFlush, opBarrier, or 0 if the backend cannot flush
}

// connect shares a ring and waits until the backend has connected to it.
func (d *Device) connect(ctx context.Context) (_ properties, err error) {
	if err := d.front.Find(ctx); err != nil {
		return properties{}, err
	}
	handle, err := d.front.Domain.Store.ReadUint(ctx, d.front.Path+"/virtual-device")
	if err != nil {
		return properties{}, err
	}
	d.ring.handle = uint16(handle)
	if _, err = d.front.WaitReopen(ctx, xenbus.InitWait); err != nil {
		return properties{}, err
	}
	defer func() {
		if err != nil {
			d.release()
		}
	}()
	if err = d.share(ctx); err != nil {
		return properties{}, err
	}
	if err = d.front.Offer(ctx, xenbus.Node{Name: "protocol", Value: "x86_64-abi"}); err != nil {
		return properties{}, err
	}
	if err = d.front.WaitConnected(ctx); err != nil {
		return properties{}, err
	}
	found, err := d.describe(ctx)
	if err != nil {
		return properties{}, err
	}
	if err = d.front.SetState(ctx, xenbus.Connected); err != nil {
		return properties{}, err
	}
	d.startWatch()
	return found, nil
}

// share allocates the ring and the pages for data.
func (d *Device) share(ctx context.Context) error {
	if err := d.front.Share(ctx); err != nil {
		return err
	}
	d.ring.page = d.front.Ring.Page()
	d.ring.init(0)
	for range maxSegments {
		p, err := d.front.Domain.Grants.Share(d.front.Peer)
		if err != nil {
			return err
		}
		d.data = append(d.data, p)
	}
	return nil
}

// maxSectors keeps sizes in bytes within 63 bits.
const maxSectors = 1 << 50

// describe reads what the backend publishes about the disk.
func (d *Device) describe(ctx context.Context) (found properties, err error) {
	store, back := d.front.Domain.Store, d.front.Backend
	s, err := store.Read(ctx, back+"/sectors")
	if err != nil {
		return properties{}, err
	}
	sectors, err := strconv.ParseInt(s, 10, 64)
	if err != nil || sectors <= 0 || sectors > maxSectors {
		return properties{}, fmt.Errorf("%w: disk of %q sectors", ErrBackend, s)
	}
	size, err := store.ReadUint(ctx, back+"/sector-size")
	if err != nil {
		return properties{}, err
	}
	if size != block.SectorSize {
		return properties{}, fmt.Errorf("disk has sectors of %d bytes; only %d is supported", size, block.SectorSize)
	}
	found.size = sectors * block.SectorSize
	const readOnly = 4 // VDISK_READONLY
	info, err := store.ReadUint(ctx, back+"/info")
	if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
		return properties{}, err
	}
	found.readOnly = info&readOnly != 0
	for _, f := range []struct {
		node string
		op   uint8
	}{{"feature-barrier", opBarrier}, {"feature-flush-cache", opFlush}} { // the last is preferred
		v, err := store.ReadUint(ctx, back+"/"+f.node)
		if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
			return properties{}, err
		}
		if v == 1 {
			found.flushOp = f.op
		}
	}
	return found, nil
}

// disconnect asks the backend to release the ring, and waits until it has.
func (d *Device) disconnect(ctx context.Context) error {
	err := d.front.SetState(ctx, xenbus.Closing)
	if err == nil {
		_, err = d.front.WaitReopen(ctx, xenbus.InitWait, xenbus.Closing, xenbus.Closed, xenbus.Gone)
	}
	if err == nil {
		err = d.front.SetState(ctx, xenbus.Closed)
	}
	if err == nil {
		_, err = d.front.WaitReopen(ctx, xenbus.InitWait, xenbus.Closed, xenbus.Gone)
	}
	return err
}

// release gives up the ring and the pages for data.
func (d *Device) release() {
	if d.stopWatch != nil {
		d.stopWatch()
		d.stopWatch = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	d.front.Release(ctx)
	for _, p := range d.data {
		p.Release()
	}
	d.data = nil
}
