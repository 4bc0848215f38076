package xenlife

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenstore"
)

// ReadyNode is where a domain says how it is, below its own directory: "ready",
// or "FAILED: " and why. The toolstack lets it write below data only.
const ReadyNode = "data/stubtpm"

// readyTimeout is how long a domain may take until it serves: a vTPM waits a
// minute for its manager, and may have to make its keys.
const readyTimeout = 150 * time.Second

// reattachRest lies between two attempts to connect a front end again.
const reattachRest = 5 * time.Second

// ErrFailed says that the domain ended without having served.
var ErrFailed = errors.New("domain does not serve")

var nameLine = regexp.MustCompile(`(?m)^\s*name\s*=\s*["']([^"']+)["']`)

// domainName reads the name out of an xl configuration.
func domainName(config []byte) (string, error) {
	m := nameLine.FindSubmatch(config)
	if m == nil {
		return "", errors.New("xenlife: the configuration has no name")
	}
	return string(m[1]), nil
}

// Run starts the domain of a configuration file, tells ready once it serves,
// connects those again that an earlier incarnation served, and returns when
// the domain has ended. Where ctx ends first, the domain is told to shut down.
func (h *Host) Run(ctx context.Context, file string, ready func()) error {
	config, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	name, err := domainName(config)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	before, err := h.numbers(name)
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
		// This program was started again, not the domain.
		h.Log("%s: domain %d runs already", name, id)
	}
	before = slices.DeleteFunc(before, func(d xen.DomID) bool { return d == id })
	if err := h.remember(name, append(before, id)); err != nil {
		return err
	}
	if err := h.awaitReady(ctx, name, id); err != nil {
		return err
	}
	h.Log("%s: ready", name)
	if ready != nil {
		ready()
	}
	// A front end may take its time; this domain's end ends the waiting.
	attaching, cancel := context.WithCancel(ctx)
	attached := make(chan struct{})
	go func() {
		defer close(attached)
		for {
			err := h.Reattach(attaching, name, before)
			if err == nil || attaching.Err() != nil {
				return
			}
			// The others are served. These are tried again.
			h.Log("%s: %v", name, err)
			select {
			case <-time.After(reattachRest):
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
	return h.stop(context.WithoutCancel(ctx), name, id)
}

// create starts a domain; with a manifest, only if the image that was loaded is
// the one that the manifest names.
func (h *Host) create(ctx context.Context, name, file string, config []byte) (xen.DomID, error) {
	order := []string{"create", "-q"}
	if h.Manifest != "" {
		order = append(order, "-p")
	}
	if _, err := h.XL(ctx, append(order, file)...); err != nil {
		return 0, err
	}
	id, err := h.find(ctx, name)
	if err != nil {
		return 0, err
	}
	if id == 0 {
		return 0, fmt.Errorf("%s: %w", name, ErrFailed)
	}
	if h.Manifest == "" {
		return id, nil
	}
	number := strconv.Itoa(int(id))
	kernel, hash, err := expected(config, h.Manifest)
	if err == nil {
		err = h.Expect(ctx, number, kernel, hash)
	}
	if err == nil {
		err = h.tellMeasured(ctx, config, id, hash)
	}
	if err != nil {
		_, undone := h.XL(context.WithoutCancel(ctx), "destroy", number)
		return 0, fmt.Errorf("%s: %w", name, errors.Join(err, undone))
	}
	h.Log("%s: domain %d has the image %s", name, id, hash)
	_, err = h.XL(ctx, "unpause", number)
	return id, err
}

// Restart is Run again and again until ctx ends, with a rest between that
// grows while the domain does not come to serve: a domain that always fails must
// not use up the host's domain numbers, or the life of its TPM.
func (h *Host) Restart(ctx context.Context, file string, ready func()) {
	const least, most = 200 * time.Millisecond, 30 * time.Second
	rest := least
	for ctx.Err() == nil {
		err := h.Run(ctx, file, func() {
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

// find returns the number of the domain of a name, 0 if there is none.
func (h *Host) find(ctx context.Context, name string) (xen.DomID, error) {
	ids, err := directory(ctx, h.Store, "/local/domain")
	if err != nil {
		return 0, err
	}
	for _, s := range ids {
		id, err := strconv.ParseUint(s, 10, 16)
		if err != nil || id == 0 {
			continue
		}
		n, err := h.Store.Read(ctx, "/local/domain/"+s+"/name")
		if err == nil && n == name {
			return xen.DomID(id), nil
		}
		if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
			return 0, err
		}
	}
	return 0, nil
}

func (h *Host) awaitReady(ctx context.Context, name string, id xen.DomID) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
		if gone, err := h.gone(ctx, id); err != nil || gone {
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

// printable is what a domain wrote, fit for a log.
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
	// xenstored fires this one for each domain that ends.
	w, err := h.Store.Watch(ctx, "@releaseDomain")
	if err != nil {
		return err
	}
	defer w.Stop(context.WithoutCancel(ctx))
	for {
		if gone, err := h.gone(ctx, id); gone || err != nil {
			return err
		}
		select {
		case _, ok := <-w.C():
			if !ok {
				return xenstore.ErrClosed
			}
			// The toolstack removes its nodes after the domain's end.
			time.Sleep(20 * time.Millisecond)
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stopTimeout is how long a domain may take to end orderly.
const stopTimeout = 30 * time.Second

// stop asks a domain to end, and ends it if it does not.
func (h *Host) stop(ctx context.Context, name string, id xen.DomID) error {
	h.Log("%s: shutting down domain %d", name, id)
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
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

// numbers returns the numbers that a domain had since the machine was started.
func (h *Host) numbers(name string) ([]xen.DomID, error) {
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

// remember writes the numbers down.
func (h *Host) remember(name string, list []xen.DomID) error {
	var b strings.Builder
	for _, d := range list {
		fmt.Fprintln(&b, d)
	}
	return h.replace(h.stateFile(name), b.String())
}

func (h *Host) stateFile(name string) string { return filepath.Join(h.State, name+".domains") }
