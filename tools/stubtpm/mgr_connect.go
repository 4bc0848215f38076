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

// adminUUID is the uuid of the administrator's device: the manager knows an
// administrator by its domain and its signature, not by this.
const adminUUID = "00000000-0000-0000-0000-000000000000"

// mgrTimeout is for all of an order, the wait for another's end included.
const mgrTimeout = 60 * time.Second

// A lane is a lock, and the numbers of domain 0's devices that only its holder
// makes and removes.
type lane struct {
	lock         string
	first, count int
}

// lockFile and statusLock are those of orders and of status.
const (
	lockFile   = "/run/stubtpm/admin.lock"
	statusLock = "/run/stubtpm/status.lock"
)

// lane returns that of an order. Status has one of its own, since it has to be answered
// while an order waits for hardware.
func (o *order) lane() lane {
	if o.name == "status" {
		return lane{statusLock, 12, 4}
	}
	return lane{lockFile, 0, 12}
}

// withManager connects to the manager as any front end does, and leaves no
// trace in xenstore.
func withManager(name string, l lane, f func(c *proto.Client) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), mgrTimeout)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	lock, err := lockAt(ctx, l.lock)
	if err != nil {
		return errReach{err}
	}
	defer lock.Close()
	host, err := devxen.Open()
	if err != nil {
		return errReach{err}
	}
	defer host.Close()
	return connect(ctx, host.Domain(), name, l, f)
}

// connect is withManager on domain 0's interfaces. The lane's lock has to be held.
func connect(ctx context.Context, domain xenbus.Domain, name string, l lane, f func(c *proto.Client) error) error {
	manager, err := findDomain(ctx, domain.Store, name)
	if err != nil {
		return errReach{err}
	}
	device, err := freeDevice(ctx, domain.Store, manager, l)
	if err != nil {
		return errReach{err}
	}
	path, err := tpmif.Attach(ctx, domain.Store, device)
	if err != nil {
		return errReach{err}
	}
	defer tpmif.Detach(context.WithoutCancel(ctx), domain.Store, device)
	ring, err := tpmif.ConnectAt(ctx, domain, path)
	if err != nil {
		return errReach{err}
	}
	defer ring.Close(ctx)
	return f(&proto.Client{Transact: func(b []byte) ([]byte, error) {
		answer, err := ring.Transact(ctx, 0, b)
		if err != nil {
			return nil, errReach{err}
		}
		return answer, nil
	}})
}

// freeDevice removes what an order of the lane that was killed has left, and returns
// a device of another number: the manager may still be at the old one. The lane's
// lock has to be held.
func freeDevice(ctx context.Context, store *xenstore.Client, manager xen.DomID, l lane) (d tpmif.Device, err error) {
	left, err := store.Directory(ctx, "/local/domain/0/device/vtpm")
	if errors.Is(err, xenstore.ErrNotExist) {
		left, err = nil, nil
	}
	if err != nil {
		return d, err
	}
	taken := map[int]bool{}
	for _, s := range left {
		n, err := strconv.Atoi(s)
		if err != nil || n < l.first || n >= l.first+l.count {
			continue
		}
		taken[n] = true
		// What the toolstack made it has nodes of its own for.
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
		if !taken[n] {
			return tpmif.Device{Front: 0, Back: manager, ID: n, UUID: adminUUID}, nil
		}
	}
	return d, fmt.Errorf("domain 0 has %d devices already", l.count)
}

// lockAt waits for a lock that ends with this process.
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
			return nil, fmt.Errorf("another order is under way: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// findDomain returns the domain of a name, or of a number.
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
	return 0, fmt.Errorf("no domain of the name %s", name)
}
