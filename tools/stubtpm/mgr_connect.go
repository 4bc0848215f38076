package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/vtpmmgr/proto"
)

// adminUUID is the uuid of the administrator's device: the manager knows an
// administrator by its domain and its signature, not by this.
const adminUUID = "00000000-0000-0000-0000-000000000000"

const mgrTimeout = 60 * time.Second

// withManager connects to the manager as any front end does, and leaves no
// trace in xenstore.
func withManager(name string, f func(c *proto.Client) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), mgrTimeout)
	defer cancel()
	host, err := devxen.Open()
	if err != nil {
		return errReach{err}
	}
	defer host.Close()
	domain := host.Domain()
	manager, err := findDomain(ctx, domain.Store, name)
	if err != nil {
		return errReach{err}
	}
	device := tpmif.Device{Front: 0, Back: manager, UUID: adminUUID}
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
