package movehost

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/tools/xenlife"
)

// ErrNoVTPM means that a guest has no vTPM that can be moved with it.
var ErrNoVTPM = errors.New("movehost: vTPM")

// VTPMOf returns the UUID of a guest's vTPM, "" if it has none. A guest that has its TPM by a
// ring cannot be moved with it: its memory has no token.
func VTPMOf(ctx context.Context, store *xenstore.Client, guest xen.DomID) (uuid string, err error) {
	list, err := xenlife.Frontends(ctx, store)
	if err != nil {
		return "", err
	}
	for _, f := range list {
		switch {
		case f.Domain != guest:
		case f.Backend != 0:
			return "", fmt.Errorf("%w: domain %d has it by a ring, served by domain %d, and not by stubtpm-host doorbell", ErrNoVTPM, guest, f.Backend)
		case uuid != "":
			return "", fmt.Errorf("%w: domain %d has two", ErrNoVTPM, guest)
		default:
			uuid = f.UUID
		}
	}
	return uuid, nil
}

// vtpmDomain returns the domain of a vTPM, 0 if it has none: the one whose own device has the
// manager as backend.
func vtpmDomain(ctx context.Context, store *xenstore.Client, manager, uuid string) (xen.DomID, error) {
	list, err := xenlife.Frontends(ctx, store)
	if err != nil {
		return 0, err
	}
	for _, f := range list {
		name, err := store.Read(ctx, fmt.Sprintf("/local/domain/%d/name", f.Backend))
		if err == nil && name == manager && strings.EqualFold(f.UUID, uuid) {
			return f.Domain, nil
		}
		if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
			return 0, err
		}
	}
	return 0, nil
}

// diskOf returns the block device or file of dom0 that is a domain's only disk.
func diskOf(ctx context.Context, store *xenstore.Client, id xen.DomID) (string, error) {
	dir := fmt.Sprintf("/local/domain/0/backend/vbd/%d", id)
	devices, err := store.Directory(ctx, dir)
	if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
		return "", err
	}
	if len(devices) != 1 {
		return "", fmt.Errorf("%w: domain %d has %d disks of dom0, want 1", ErrNoVTPM, id, len(devices))
	}
	path, err := store.Read(ctx, dir+"/"+devices[0]+"/params")
	if err == nil && !strings.HasPrefix(path, "/") {
		err = fmt.Errorf("%w: the disk of domain %d is %q, want a path", ErrNoVTPM, id, path)
	}
	return path, err
}
