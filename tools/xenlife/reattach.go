package xenlife

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// closeTimeout is how long a frontend may take to close a device whose backend died.
// Linux' xen-tpmfront gives up an unanswered command after two minutes, and does not close
// before.
const closeTimeout = 150 * time.Second

// Reattach connects each domain that an earlier domain of the given name served to the
// current one, all at once. before has the IDs of the earlier domains.
func (h *Host) Reattach(ctx context.Context, name string, before []xen.DomID) error {
	list, err := Frontends(ctx, h.Store)
	if err != nil {
		return err
	}
	dead := map[xen.DomID]bool{}
	for _, d := range before {
		dead[d] = true
	}
	var jobs []func() error
	for _, f := range list {
		if dead[f.Backend] {
			jobs = append(jobs, func() error { return h.reattach(ctx, f, name) })
		}
	}
	pending, err := h.pendingDevices(name)
	if err != nil {
		return err
	}
	for _, d := range pending {
		if !slices.ContainsFunc(list, func(f Frontend) bool { return dead[f.Backend] && f.Domain == d.domain && f.UUID == d.uuid }) {
			jobs = append(jobs, func() error { return h.attach(ctx, d, name) })
		}
	}
	var wait sync.WaitGroup
	errs := make([]error, len(jobs))
	for i, job := range jobs {
		wait.Go(func() { errs[i] = job() })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// reattach detaches a device after its frontend has closed it, and attaches a new one.
// Linux would not notice a device that vanished and reappeared before it looked
// (drivers/xen/xenbus/xenbus_probe.c, xenbus_dev_changed, looks at the current nodes
// only).
func (h *Host) reattach(ctx context.Context, f Frontend, name string) error {
	start := time.Now()
	if err := h.closeFrontend(ctx, f); err != nil {
		return fmt.Errorf("%v: %w", f, err)
	}
	d := pendingDevice{f.Domain, f.UUID}
	if err := h.recordPending(name, d); err != nil {
		return err
	}
	// From here on ctx must not interrupt a step.
	quick, cancel := context.WithTimeout(context.WithoutCancel(ctx), xlTimeout)
	defer cancel()
	// All that is left of a dead backend in xenstore is what closeFrontend wrote.
	// The toolstack would wait for the backend to remove it (libxl_device.c,
	// device_destroy_be_watch_cb), and takes its absence for a backend that is
	// gone.
	if gone, err := h.isGone(quick, f.Backend); err != nil {
		return err
	} else if gone {
		if err := h.Store.Remove(quick, f.back); err != nil && !errors.Is(err, xenstore.ErrNotExist) {
			return err
		}
	}
	_, err := h.XL(quick, "vtpm-detach", strconv.Itoa(int(f.Domain)), strconv.Itoa(f.ID))
	if gone, _ := h.isGone(quick, f.Domain); gone {
		return h.clearPending(name, d)
	}
	if err != nil {
		return err
	}
	if err := h.attach(ctx, d, name); err != nil {
		return err
	}
	h.Log("%s: %v is connected again, %.1f s", name, f, time.Since(start).Seconds())
	return nil
}

// xlTimeout is how long one call of the toolstack may take.
const xlTimeout = 60 * time.Second

// attach attaches a pending device to its domain.
func (h *Host) attach(ctx context.Context, d pendingDevice, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), xlTimeout)
	defer cancel()
	if err := h.repeatMeasured(ctx, name, d.domain); err != nil {
		return err
	}
	_, err := h.XL(ctx, "vtpm-attach", strconv.Itoa(int(d.domain)), "backend="+name, "uuid="+d.uuid)
	if err != nil {
		if gone, _ := h.isGone(ctx, d.domain); !gone {
			return err
		}
		// The domain ended: nothing to attach.
	}
	return h.clearPending(name, d)
}

// closeFrontend writes in the dead backend's place that it is closed, because a frontend
// watches that node only, and waits until the frontend has closed. A frontend that never
// connected, such as a kernel without its driver, has nothing to close.
func (h *Host) closeFrontend(ctx context.Context, f Frontend) error {
	node := f.back + "/state"
	closed := strconv.Itoa(int(xenbus.Closed))
	if err := h.Store.Write(ctx, node, closed); err != nil {
		return err
	}
	if err := h.Store.SetPerms(ctx, node, "n0", "r"+strconv.Itoa(int(f.Domain))); err != nil {
		return err
	}
	// Again: the frontend could not read the first one if its watch fired
	// before the permissions were set.
	if err := h.Store.Write(ctx, node, closed); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	err := poll(ctx, 100*time.Millisecond, func() (bool, error) {
		s, err := xenbus.ReadState(ctx, h.Store, f.front+"/state")
		if err != nil {
			return false, err
		}
		return s == xenbus.Gone || s == xenbus.Closed || s == xenbus.Initialising, nil
	})
	if err != nil {
		return fmt.Errorf("its driver does not close the device: %w", err)
	}
	return nil
}

// isGone reports whether a domain does not exist for the toolstack: it has no name in
// xenstore.
func (h *Host) isGone(ctx context.Context, id xen.DomID) (bool, error) {
	_, err := h.Store.Read(ctx, "/local/domain/"+strconv.Itoa(int(id))+"/name")
	if errors.Is(err, xenstore.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// ReattachNow is Reattach for a domain that was not started by Run. It connects the
// frontends whose backend no longer exists and had one of the IDs that the named domain
// had before.
func (h *Host) ReattachNow(ctx context.Context, name string) error {
	before, err := h.domainIDs(name)
	if err != nil {
		return err
	}
	id, err := h.find(ctx, name)
	if err != nil {
		return err
	}
	if id == 0 {
		return fmt.Errorf("xenlife: no domain named %s", name)
	}
	before = slices.DeleteFunc(before, func(d xen.DomID) bool { return d == id })
	return h.Reattach(ctx, name, before)
}
