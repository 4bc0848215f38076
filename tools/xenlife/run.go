package xenlife

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenstore"
)

// ReadyNode is the node, below its own directory, in which a domain reports its state:
// "ready", or "FAILED: " and the reason. The toolstack lets a domain write below data
// only.
const ReadyNode = "data/stubtpm"

// readyTimeout is how long a domain may take until it serves: a vTPM waits up to a minute
// for its manager, and may have to make keys.
const readyTimeout = 150 * time.Second

// reattachInterval is the pause between two attempts to connect a frontend again.
const reattachInterval = 5 * time.Second

// ErrFailed means that a domain ended or failed before it served.
var ErrFailed = errors.New("domain does not serve")

// Run starts the domain of a configuration file, calls ready once it serves, connects the
// frontends that an earlier domain of that name served, and returns when the domain has
// ended. If ctx ends first, Run shuts the domain down.
func (h *Host) Run(ctx context.Context, file string, ready func()) error {
	config, err := readConfig(file)
	if err != nil {
		return err
	}
	name, err := config.name()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	before, err := h.domainIDs(name)
	if err != nil {
		return err
	}
	id, err := h.find(ctx, name)
	if err != nil {
		return err
	}
	if id == 0 {
		if id, err = h.create(ctx, name, file, config); err != nil {
			return err
		}
		h.Log("%s: domain %d", name, id)
	} else {
		// Only this program was restarted.
		h.Log("%s: domain %d is already running", name, id)
	}
	before = slices.DeleteFunc(before, func(d xen.DomID) bool { return d == id })
	if err := h.saveDomainIDs(name, append(before, id)); err != nil {
		return err
	}
	if err := h.awaitReady(ctx, name, id); err != nil {
		return err
	}
	h.Log("%s: ready", name)
	if ready != nil {
		ready()
	}
	// A frontend may take long to close; do not wait beyond the domain's end.
	attaching, cancel := context.WithCancel(ctx)
	attached := make(chan struct{})
	go func() {
		defer close(attached)
		for {
			err := h.Reattach(attaching, name, before)
			if err == nil || attaching.Err() != nil {
				return
			}
			// Try those that failed again.
			h.Log("%s: %v", name, err)
			select {
			case <-time.After(reattachInterval):
			case <-attaching.Done():
				return
			}
		}
	}()
	err = h.awaitEnd(ctx, id)
	cancel()
	<-attached
	if ctx.Err() == nil {
		if err == nil {
			h.Log("%s: domain %d has ended", name, id)
		}
		return err
	}
	return h.stop(context.WithoutCancel(ctx), name, id, stopTimeout)
}

// create starts a domain. With a manifest, it does so only if the domain's memory holds
// the image that the manifest names.
func (h *Host) create(ctx context.Context, name, file string, c config) (xen.DomID, error) {
	id, err := h.createPaused(ctx, name, file)
	if err != nil {
		return 0, err
	}
	if h.Manifest != "" {
		kernel, hash, err := manifestHash(c, h.Manifest)
		if err == nil {
			err = h.Expect(ctx, strconv.Itoa(int(id)), kernel, hash)
		}
		if err == nil {
			err = h.reportMeasured(ctx, c, id, hash)
		}
		if err != nil {
			return 0, h.undo(ctx, name, id, err)
		}
		h.Log("%s: domain %d has the image %s", name, id, hash)
	}
	return id, h.unpause(ctx, name, id)
}

// Restart calls run, which is Run or RunGuest, repeatedly until ctx ends. The pause between two runs grows while the
// domain does not come to serve: a domain that always fails must not use up the host's
// domain IDs or the NV memory of its TPM.
func (h *Host) Restart(ctx context.Context, run func(ctx context.Context, file string, ready func()) error, file string, ready func()) {
	const least, most = 200 * time.Millisecond, 30 * time.Second
	rest := least
	for ctx.Err() == nil {
		err := run(ctx, file, func() {
			rest = least
			if ready != nil {
				ready()
			}
		})
		if err != nil && ctx.Err() == nil {
			h.Log("%s: %v", filepath.Base(file), err)
		}
		select {
		case <-time.After(rest):
			rest = min(2*rest, most)
		case <-ctx.Done():
		}
	}
}

// find returns the ID of the domain with the given name, or 0 if no domain has it. If
// several have it, all but one are being destroyed: find returns the highest ID.
func (h *Host) find(ctx context.Context, name string) (xen.DomID, error) {
	ids, err := h.named(ctx, name)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	return slices.Max(ids), nil
}

// named returns the IDs of the domains with the given name.
func (h *Host) named(ctx context.Context, name string) (ids []xen.DomID, err error) {
	all, err := directory(ctx, h.Store, "/local/domain")
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		id, err := strconv.ParseUint(s, 10, 16)
		if err != nil || id == 0 {
			continue
		}
		n, err := h.Store.Read(ctx, "/local/domain/"+s+"/name")
		if err == nil && n == name {
			ids = append(ids, xen.DomID(id))
		}
		if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
			return nil, err
		}
	}
	return ids, nil
}

// awaitReady waits until a domain reports that it serves.
func (h *Host) awaitReady(ctx context.Context, name string, id xen.DomID) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
		if gone, err := h.isGone(ctx, id); err != nil || gone {
			if err == nil {
				err = ErrFailed
			}
			return false, err
		}
		s, err := h.Store.Read(ctx, fmt.Sprintf("/local/domain/%d/%s", id, ReadyNode))
		if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
			return false, err
		}
		if s != "" && s != "ready" {
			return false, fmt.Errorf("%w: %s", ErrFailed, printable(s))
		}
		return s == "ready", nil
	})
	if err != nil {
		return fmt.Errorf("%s: domain %d: %w", name, id, err)
	}
	return nil
}

// printable makes what a domain wrote fit for a log: printable ASCII, 300 bytes at most.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 300)]
}

// awaitEnd waits until the toolstack has removed a domain.
func (h *Host) awaitEnd(ctx context.Context, id xen.DomID) error {
	// xenstored fires this watch for each domain that ends.
	w, err := h.Store.Watch(ctx, "@releaseDomain")
	if err != nil {
		return err
	}
	defer w.Stop(context.WithoutCancel(ctx))
	for {
		if gone, err := h.isGone(ctx, id); gone || err != nil {
			return err
		}
		select {
		case _, ok := <-w.C():
			if !ok {
				return xenstore.ErrClosed
			}
			// The toolstack removes the nodes a little later.
			time.Sleep(20 * time.Millisecond)
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stopTimeout is how long the domain of a vTPM or a manager may take to shut down.
const stopTimeout = 30 * time.Second

// stop shuts a domain down, and destroys it if it does not end.
func (h *Host) stop(ctx context.Context, name string, id xen.DomID, patience time.Duration) error {
	h.Log("%s: shutting down domain %d", name, id)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	number := strconv.Itoa(int(id))
	if _, err := h.XL(ctx, "shutdown", number); err == nil && h.awaitEnd(ctx, id) == nil {
		return nil
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	_, err := h.XL(last, "destroy", number)
	return err
}

// domainIDs returns the IDs that a domain had since the machine was started.
func (h *Host) domainIDs(name string) ([]xen.DomID, error) {
	b, err := os.ReadFile(h.stateFile(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []xen.DomID
	for _, w := range strings.Fields(string(b)) {
		n, err := strconv.ParseUint(w, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.stateFile(name), err)
		}
		list = append(list, xen.DomID(n))
	}
	return list, nil
}

// saveDomainIDs saves the IDs of a domain.
func (h *Host) saveDomainIDs(name string, list []xen.DomID) error {
	var b strings.Builder
	for _, d := range list {
		fmt.Fprintln(&b, d)
	}
	return h.replace(h.stateFile(name), b.String())
}

func (h *Host) stateFile(name string) string { return filepath.Join(h.State, name+".domains") }
