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

// closeTimeout is how long a front end may take to let go of a device whose
// back end died. Linux' xen-tpmfront gives up a command that is not answered
// after two minutes, and cannot do so earlier.
const closeTimeout = 150 * time.Second

// Reattach gives each domain that an earlier incarnation of the named domain
// served a device of the present one, all at once. before are the numbers that
// the named domain had.
func (h *Host) Reattach(ctx context.Context, name string, before []xen.DomID) error {
	list, err := fronts(ctx, h.Store)
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
	owed, err := h.debts(name)
	if err != nil {
		return err
	}
	for _, d := range owed {
		if !slices.ContainsFunc(list, func(f Front) bool { return dead[f.Backend] && f.Domain == d.domain && f.UUID == d.uuid }) {
			jobs = append(jobs, func() error { return h.pay(ctx, d, name) })
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

// reattach takes the device away, waits until the front end has let go of it,
// and attaches another. A device that vanished and was there again before the
// front end looked would not be noticed by Linux (drivers/xen/xenbus/
// xenbus_probe.c, xenbus_dev_changed asks whether the node is there now).
func (h *Host) reattach(ctx context.Context, f Front, name string) error {
	start := time.Now()
	if err := h.closeFront(ctx, f); err != nil {
		return fmt.Errorf("%v: %w", f, err)
	}
	d := debt{f.Domain, f.UUID}
	if err := h.owe(name, d, false); err != nil {
		return err
	}
	// From here on a step is done to its end.
	quick, cancel := context.WithTimeout(context.WithoutCancel(ctx), xlTimeout)
	defer cancel()
	// What is left of a dead domain in the store is what closeFront wrote. The
	// toolstack would wait for the dead domain to remove it (libxl_device.c,
	// device_destroy_be_watch_cb), and takes its absence for a back end that
	// is gone.
	if gone, err := h.gone(quick, f.Backend); err != nil {
		return err
	} else if gone {
		if err := h.Store.Remove(quick, f.back); err != nil && !errors.Is(err, xenstore.ErrNotExist) {
			return err
		}
	}
	_, err := h.XL(quick, "vtpm-detach", strconv.Itoa(int(f.Domain)), strconv.Itoa(f.ID))
	if gone, _ := h.gone(quick, f.Domain); gone {
		return h.owe(name, d, true)
	}
	if err != nil {
		return err
	}
	if err := h.pay(ctx, d, name); err != nil {
		return err
	}
	h.Log("%s: %v is connected again, %.1f s", name, f, time.Since(start).Seconds())
	return nil
}

// xlTimeout is how long the toolstack may take for one order.
const xlTimeout = 60 * time.Second

// pay gives a domain the device that it is owed.
func (h *Host) pay(ctx context.Context, d debt, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), xlTimeout)
	defer cancel()
	if err := h.tellAgain(ctx, name, d.domain); err != nil {
		return err
	}
	_, err := h.XL(ctx, "vtpm-attach", strconv.Itoa(int(d.domain)), "backend="+name, "uuid="+d.uuid)
	if err != nil {
		if gone, _ := h.gone(ctx, d.domain); !gone {
			return err
		}
		// A domain that ended is owed nothing.
	}
	return h.owe(name, d, true)
}

// closeFront says in the dead back end's place that it is closed, for a front
// end watches that node and acts on nothing else, and waits for the front
// end's own word. A front end that never comes to speak, such as a kernel that
// has not loaded its driver, has nothing to let go of.
func (h *Host) closeFront(ctx context.Context, f Front) error {
	node := f.back + "/state"
	closed := strconv.Itoa(int(xenbus.Closed))
	if err := h.Store.Write(ctx, node, closed); err != nil {
		return err
	}
	if err := h.Store.SetPerms(ctx, node, "n0", "r"+strconv.Itoa(int(f.Domain))); err != nil {
		return err
	}
	// Written once more: the first time, the front end might not read it.
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
		return fmt.Errorf("its driver does not let go of the device: %w", err)
	}
	return nil
}

// gone tells whether a domain's own part of the store is not the toolstack's
// any more: only that has a name.
func (h *Host) gone(ctx context.Context, id xen.DomID) (bool, error) {
	_, err := h.Store.Read(ctx, "/local/domain/"+strconv.Itoa(int(id))+"/name")
	if errors.Is(err, xenstore.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// ReattachNow is Reattach by hand, for a domain that was started otherwise
// than by Run. It takes a device for the named domain's if its back end is no
// domain any more and the named domain had that number.
func (h *Host) ReattachNow(ctx context.Context, name string) error {
	before, err := h.numbers(name)
	if err != nil {
		return err
	}
	id, err := h.find(ctx, name)
	if err != nil {
		return err
	}
	if id == 0 {
		return fmt.Errorf("xenlife: no domain of the name %s", name)
	}
	before = slices.DeleteFunc(before, func(d xen.DomID) bool { return d == id })
	return h.Reattach(ctx, name, before)
}
