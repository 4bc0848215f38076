// Package xenlife keeps the domains of vTPMs and their manager alive on a host:
// it starts them by xl, waits until they serve, and after a restart gives each
// domain that they served a device of the new incarnation.
//
// A domain that is started again has another number, and a front end's nodes
// name its back end by number (Xen's public/io/xenbus.h and docs/misc/
// xenstore-paths): so nothing but the toolstack can bring the two together
// again.
//
// It runs in domain 0 on Linux, as root.
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

// A Host is what the package needs of domain 0.
type Host struct {
	Store *xenstore.Client
	// XL runs Xen's toolstack and returns its output.
	XL func(ctx context.Context, args ...string) (string, error)
	// State is a directory that is empty after a restart of the machine, for
	// the numbers that each domain had: /run/stubtpm.
	State string
	// Manifest, if not empty, is a file that lists images (image.Manifest):
	// what Run starts has to be among them, as it lies in memory.
	Manifest string
	// Tell, if not nil, tells a manager which image a domain has, whose vTPM may
	// connect then: before the domain runs, and again after the manager's
	// restart.
	Tell func(ctx context.Context, manager string, id xen.DomID, hash string) error
	// TellCreated tells the manager that a guest was created, with the vTPM of a uuid.
	TellCreated func(ctx context.Context, id xen.DomID, uuid string) error

	Log func(format string, args ...any)

	mu sync.Mutex // held while a file of debts changes
}

// XL runs the command xl.
func XL(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "xl", args...)
	// xl leaves a process behind that sees to the domain's end.
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

// A Front is the front end of one TPM device, as the toolstack keeps it.
type Front struct {
	Domain  xen.DomID // that has the device
	ID      int       // number of the device
	Backend xen.DomID // that serves it
	UUID    string

	front, back string // both ends' directories
}

func (f Front) String() string { return fmt.Sprintf("domain %d, vtpm %d", f.Domain, f.ID) }

// fronts lists the TPM devices of all domains. It reads the toolstack's own
// tree, which no guest can write.
func fronts(ctx context.Context, store *xenstore.Client) ([]Front, error) {
	const root = "/libxl"
	domains, err := directory(ctx, store, root)
	if err != nil {
		return nil, err
	}
	var list []Front
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
			f := Front{Domain: xen.DomID(id)}
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

func (f *Front) read(ctx context.Context, store *xenstore.Client, dir string) error {
	for name, to := range map[string]*string{"frontend": &f.front, "backend": &f.back, "uuid": &f.UUID} {
		v, err := store.Read(ctx, dir+"/"+name)
		if err != nil {
			return err
		}
		*to = v
	}
	id, ok := backendDomain(f.back)
	if !ok {
		return fmt.Errorf("xenlife: %v: back end at %q", f, f.back)
	}
	f.Backend = id
	return nil
}

// backendDomain takes the domain's number out of the path of a back end.
func backendDomain(path string) (xen.DomID, bool) {
	rest, ok := strings.CutPrefix(path, "/local/domain/")
	number, _, more := strings.Cut(rest, "/")
	id, err := strconv.ParseUint(number, 10, 16)
	return xen.DomID(id), ok && more && err == nil
}

// directory is the list below a node, empty if the node is not there.
func directory(ctx context.Context, store *xenstore.Client, path string) ([]string, error) {
	l, err := store.Directory(ctx, path)
	if errors.Is(err, xenstore.ErrNotExist) {
		return nil, nil
	}
	return l, err
}

// poll calls done now and then until it says so or ctx ends.
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
