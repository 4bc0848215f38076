package movehost

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/tools/xenmove"
)

// Guests are the domains of this host. It implements xenmove.Guests.
type Guests struct {
	Store *xenstore.Client
	// XL runs the command xl with args and returns its output.
	XL func(ctx context.Context, args ...string) (string, error)
	// Status returns what a domain does.
	Status func(id xen.DomID) (devxen.Status, error)
}

// Times.
const (
	// xlTimeout is how long one order of xl may take.
	xlTimeout = time.Minute
	pollRest  = 100 * time.Millisecond
)

// Find returns the domain of a name.
func (g *Guests) Find(ctx context.Context, name string) (id xen.DomID, ok bool, err error) {
	all, err := g.Store.Directory(ctx, "/local/domain")
	if err != nil {
		return 0, false, err
	}
	for _, s := range all {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			continue
		}
		is, err := g.Store.Read(ctx, "/local/domain/"+s+"/name")
		if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
			return 0, false, err
		}
		if err != nil || is != name {
			continue
		}
		st, err := g.State(ctx, xen.DomID(n))
		if err != nil {
			return 0, false, err
		}
		if st == xenmove.Gone {
			continue // its nodes are removed last
		}
		if ok {
			return 0, false, fmt.Errorf("movehost: domains %d and %d are both named %s", id, n, name)
		}
		id, ok = xen.DomID(n), true
	}
	return id, ok, nil
}

// State returns what a domain does.
func (g *Guests) State(_ context.Context, id xen.DomID) (xenmove.State, error) {
	s, err := g.Status(id)
	switch {
	case err != nil:
		return 0, err
	case !s.Exists:
		return xenmove.Gone, nil
	case s.Suspended:
		return xenmove.Stopped, nil
	case s.Paused && !s.Ran:
		return xenmove.Waiting, nil
	}
	return xenmove.Running, nil
}

// failing is a program in place of xl migrate-receive that takes some of a guest's memory and
// ends. Less of it makes xl 4.17 crash, and resume nothing.
const failing = `printf 'xl migration receiver ready, send binary domain data.\n'; exec head -c 3000000 >/dev/null`

// Resume has a suspended domain go on. xl resume does so, which came with Xen 4.20. Earlier xl
// has the same in xl migrate only, which resumes a guest that it could not send.
func (g *Guests) Resume(ctx context.Context, id xen.DomID, name string) error {
	if err := g.rename(ctx, id, name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, xlTimeout)
	defer cancel()
	number := strconv.Itoa(int(id))
	_, first := g.XL(ctx, "resume", number)
	if s, err := g.State(ctx, id); err != nil || s != xenmove.Stopped {
		return err
	}
	_, second := g.XL(ctx, "migrate", "-s", "", number, failing) // fails
	s, err := g.State(ctx, id)
	if err == nil && s == xenmove.Stopped {
		err = fmt.Errorf("movehost: domain %d does not go on: %w; %w", id, first, second)
	}
	return err
}

// ResumeLate resumes a domain that stops within a time, although xl has given up waiting for that:
// nobody else would. It reports whether it did.
func (g *Guests) ResumeLate(ctx context.Context, id xen.DomID, name string, limit time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last xenmove.State
	err := poll(ctx, func() (bool, error) {
		s, err := g.State(ctx, id)
		last = s
		return s != xenmove.Running, err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return false, nil
	}
	if err != nil || last != xenmove.Stopped {
		return false, err
	}
	return true, g.Resume(context.WithoutCancel(ctx), id, name)
}

// Run has a domain run that waits.
func (g *Guests) Run(ctx context.Context, id xen.DomID, name string) error {
	if err := g.rename(ctx, id, name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, xlTimeout)
	defer cancel()
	_, err := g.XL(ctx, "unpause", strconv.Itoa(int(id)))
	return err
}

// rename gives a domain a name, if it has another one.
func (g *Guests) rename(ctx context.Context, id xen.DomID, name string) error {
	is, err := g.Store.Read(ctx, fmt.Sprintf("/local/domain/%d/name", id))
	if err != nil || is == name {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, xlTimeout)
	defer cancel()
	_, err = g.XL(ctx, "rename", strconv.Itoa(int(id)), name)
	return err
}

// Destroy destroys a domain, and returns once it is gone.
func (g *Guests) Destroy(ctx context.Context, id xen.DomID) error {
	ctx, cancel := context.WithTimeout(ctx, xlTimeout)
	defer cancel()
	_, failed := g.XL(ctx, "destroy", strconv.Itoa(int(id)))
	if err := poll(ctx, func() (bool, error) {
		s, err := g.State(ctx, id)
		return s == xenmove.Gone, err
	}); err != nil {
		return errors.Join(failed, err)
	}
	return nil
}

// poll calls done again and again until it returns true or an error, or ctx ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-time.After(pollRest):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
