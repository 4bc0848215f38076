package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/vtpmmgr/proto"
)

// adminUUID is the UUID of the administrator's device. The manager identifies an
// administrator by domain and signature, not by this.
const adminUUID = "00000000-0000-0000-0000-000000000000"

// mgrTimeout limits an order, including the wait for another one to end.
const mgrTimeout = 60 * time.Second

// A deviceRange is a lock file and the range of dom0's device IDs that only the holder of
// the lock creates and removes.
type deviceRange struct {
	lock         string
	first, count int
}

// lockFile and statusLock are the lock files of orders and of status.
const (
	lockFile   = "/run/stubtpm/admin.lock"
	statusLock = "/run/stubtpm/status.lock"
)

// devices returns an order's device range. Status has its own, because it must be answered
// while an order waits for hardware.
func (o *order) devices() deviceRange {
	if o.name == "status" {
		return deviceRange{statusLock, 12, 4}
	}
	return deviceRange{lockFile, 0, 12}
}

// withManager connects to the manager as any frontend does, calls f, and removes all its
// nodes from xenstore.
func withManager(name string, l deviceRange, f func(c *proto.Client) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), mgrTimeout)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	lock, err := lockAt(ctx, l.lock)
	if err != nil {
		return reachError{err}
	}
	defer lock.Close()
	host, err := devxen.Open()
	if err != nil {
		return reachError{err}
	}
	defer host.Close()
	return connect(ctx, host.Domain(), name, l, f)
}

// connect is withManager on dom0's interfaces. Precondition: the caller holds the range's
// lock.
func connect(ctx context.Context, domain xenbus.Domain, name string, l deviceRange, f func(c *proto.Client) error) error {
	manager, err := findDomain(ctx, domain.Store, name)
	if err != nil {
		return reachError{err}
	}
	device, err := freeDevice(ctx, domain.Store, manager, l)
	if err != nil {
		return reachError{err}
	}
	path, err := tpmif.Attach(ctx, domain.Store, device)
	if err != nil {
		return reachError{err}
	}
	defer tpmif.Detach(context.WithoutCancel(ctx), domain.Store, device)
	ring, err := tpmif.ConnectAt(ctx, domain, path)
	if err != nil {
		return reachError{err}
	}
	defer ring.Close(ctx)
	return f(&proto.Client{Transact: func(b []byte) ([]byte, error) {
		answer, err := ring.Transact(ctx, 0, b)
		if err != nil {
			return nil, reachError{err}
		}
		return answer, nil
	}})
}

// freeDevice removes the devices that a killed order of the same range left, and returns a
// device with another ID, since the manager may still serve the old one. Precondition: the
// caller holds the range's lock.
func freeDevice(ctx context.Context, store *xenstore.Client, manager xen.DomID, l deviceRange) (d tpmif.Device, err error) {
	left, err := store.Directory(ctx, "/local/domain/0/device/vtpm")
	if errors.Is(err, xenstore.ErrNotExist) {
		left, err = nil, nil
	}
	if err != nil {
		return d, err
	}
	used := map[int]bool{}
	for _, s := range left {
		n, err := strconv.Atoi(s)
		if err != nil || n < l.first || n >= l.first+l.count {
			continue
		}
		used[n] = true
		// A device that the toolstack made has nodes of the toolstack.
		if _, err := store.Read(ctx, "/libxl/0/device/vtpm/"+s); !errors.Is(err, xenstore.ErrNotExist) {
			continue
		}
		back, err := store.Read(ctx, "/local/domain/0/device/vtpm/"+s+"/backend-id")
		if err != nil {
			continue
		}
		id, err := strconv.ParseUint(back, 10, 16)
		if err != nil {
			continue
		}
		old := tpmif.Device{Back: xen.DomID(id), ID: n, UUID: adminUUID}
		if err := tpmif.Detach(ctx, store, old); err != nil {
			return d, err
		}
	}
	for n := l.first; n < l.first+l.count; n++ {
		if !used[n] {
			return tpmif.Device{Front: 0, Back: manager, ID: n, UUID: adminUUID}, nil
		}
	}
	return d, fmt.Errorf("dom0 has %d devices already", l.count)
}

// lockAt waits for a file lock, which ends with this process.
func lockAt(ctx context.Context, name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another order is running: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// findDomain returns the domain with the given name or ID.
func findDomain(ctx context.Context, store *xenstore.Client, name string) (xen.DomID, error) {
	if id, err := strconv.ParseUint(name, 10, 16); err == nil {
		return xen.DomID(id), nil
	}
	ids, err := store.Directory(ctx, "/local/domain")
	if err != nil {
		return 0, err
	}
	for _, s := range ids {
		id, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			continue
		}
		if n, err := store.Read(ctx, "/local/domain/"+s+"/name"); err == nil && n == name {
			return xen.DomID(id), nil
		}
	}
	return 0, fmt.Errorf("no domain named %s", name)
}
