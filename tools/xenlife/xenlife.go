// Package xenlife keeps the domains of vTPMs and their manager running on a host: it
// starts them by xl, waits until they serve, and after a restart connects the domains that
// they served to the new domain.
//
// A domain that is started again has another ID, and a frontend's nodes name its backend
// by ID (Xen, xen/include/public/io/xenbus.h and docs/misc/xenstore-paths.pandoc). So only
// the toolstack can connect the two again.
//
//	Host.Run          start one domain and keep it connected until it ends
//	Host.Restart      Run, again and again
//	Host.ReattachNow  connect the frontends of a domain that was started by hand
//	Host.CreateGuest  create a guest and report that to the manager
//	Host.RunGuest     CreateGuest, and wait until the guest's domain ends
//	Host.SaveGuest    save a guest, and have its vTPM know the image
//	Host.RestoreGuest restore it, and report that to the manager
//	Host.Measure      hash the program in the memory of a domain that has not run
//
// It runs in dom0 on Linux, as root.
package xenlife

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenstore"
)

// A Host gives access to dom0.
type Host struct {
	Store *xenstore.Client

	// XL runs the command xl with args and returns its output.
	XL func(ctx context.Context, args ...string) (string, error)

	// State is a directory that is empty after a restart of the machine, such
	// as /run/stubtpm. It has the IDs that each domain had, and pending devices.
	State string

	// Manifest, if not empty, is a file that lists images (image.Manifest). Run
	// starts only a domain whose memory holds one of them.
	Manifest string

	// ReportMeasured, if not nil, reports the image of a domain to its manager:
	// before the domain runs, and again after the manager's restart.
	ReportMeasured func(ctx context.Context, manager string, id xen.DomID, hash string) error

	// ReportCreated reports to the manager that a guest was created that has
	// the vTPM with the UUID.
	ReportCreated func(ctx context.Context, id xen.DomID, uuid string) error

	// ReportRestored reports to the manager that a guest was restored from an image that
	// has a token, of 64 hexadecimal digits.
	ReportRestored func(ctx context.Context, id xen.DomID, uuid, token string) error

	Log func(format string, args ...any)

	mu sync.Mutex // held while a file of pending devices changes
}

// XL runs the command xl.
func XL(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "xl", args...)
	// xl leaves a process behind that handles the domain's end.
	c.WaitDelay = 5 * time.Second
	out, err := c.CombinedOutput()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if err != nil {
		return string(out), fmt.Errorf("xl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// A Frontend is the frontend of one TPM device, as the toolstack records it.
type Frontend struct {
	Domain  xen.DomID // domain that has the device
	ID      int       // device ID
	Backend xen.DomID // domain that serves it
	UUID    string

	front, back string // directories of both ends
}

func (f Frontend) String() string { return fmt.Sprintf("domain %d, vtpm %d", f.Domain, f.ID) }

// Frontends lists the TPM devices of all domains, from the toolstack's own tree, which no
// guest can write.
func Frontends(ctx context.Context, store *xenstore.Client) ([]Frontend, error) {
	const root = "/libxl"
	domains, err := directory(ctx, store, root)
	if err != nil {
		return nil, err
	}
	var list []Frontend
	for _, d := range domains {
		id, err := strconv.ParseUint(d, 10, 16)
		if err != nil {
			continue
		}
		dir := root + "/" + d + "/device/vtpm"
		devices, err := directory(ctx, store, dir)
		if err != nil {
			return nil, err
		}
		for _, n := range devices {
			f := Frontend{Domain: xen.DomID(id)}
			if f.ID, err = strconv.Atoi(n); err != nil {
				continue
			}
			if err := f.read(ctx, store, dir+"/"+n); errors.Is(err, xenstore.ErrNotExist) {
				continue // removed meanwhile
			} else if err != nil {
				return nil, err
			}
			list = append(list, f)
		}
	}
	return list, nil
}

func (f *Frontend) read(ctx context.Context, store *xenstore.Client, dir string) error {
	for name, to := range map[string]*string{"frontend": &f.front, "backend": &f.back, "uuid": &f.UUID} {
		v, err := store.Read(ctx, dir+"/"+name)
		if err != nil {
			return err
		}
		*to = v
	}
	id, ok := backendDomain(f.back)
	if !ok {
		return fmt.Errorf("xenlife: %v: malformed backend path %q", f, f.back)
	}
	f.Backend = id
	return nil
}

// backendDomain returns the domain ID in the path of a backend.
func backendDomain(path string) (xen.DomID, bool) {
	rest, ok := strings.CutPrefix(path, "/local/domain/")
	number, _, more := strings.Cut(rest, "/")
	id, err := strconv.ParseUint(number, 10, 16)
	return xen.DomID(id), ok && more && err == nil
}

// directory lists the children of a node; none if the node does not exist.
func directory(ctx context.Context, store *xenstore.Client, path string) ([]string, error) {
	l, err := store.Directory(ctx, path)
	if errors.Is(err, xenstore.ErrNotExist) {
		return nil, nil
	}
	return l, err
}

// poll calls done repeatedly until it returns true or an error, or ctx ends.
func poll(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
