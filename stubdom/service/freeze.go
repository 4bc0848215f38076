package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"stubtpm/drivers/xen/xenstore"
	"stubtpm/stubdom/statedisk"
)

// Nodes of this domain's directory by which the host has the TPM stand still, such as while
// its state is copied to another host.
const (
	// nodeFreeze is written by the host: "1" freezes the TPM, anything else thaws it.
	nodeFreeze = "control/stubtpm-freeze"
	// nodeFrozen is the answer: sequence, hash and token of the suspended state that was
	// committed, each in hexadecimal, with blanks between; "error: " and the reason; or
	// nothing once the TPM runs again.
	nodeFrozen = "data/stubtpm-frozen"
)

// A gate lets what uses the TPM through, unless it is shut.
type gate struct {
	mu   sync.RWMutex // held by users and, while the gate is shut, by whoever shut it
	over bool
}

// run calls f as soon as the gate is open. It returns false, and does not call f, if the gate
// was left for good.
func (g *gate) run(f func()) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.over {
		return false
	}
	f()
	return true
}

// freeze waits for the command in progress, lets no other one run, and commits the suspended
// state. If that fails the TPM is frozen all the same, until thaw: the state may have been
// committed.
func (h *guestHandler) freeze() (v statedisk.Version, t token, err error) {
	h.mu.Lock()
	h.frozen = true
	h.mu.Unlock() // what is on its way through the gate may want it
	h.gate.mu.Lock()
	v, t, err = h.suspend()
	h.mu.Lock()
	h.asleep = err == nil
	h.mu.Unlock()
	return v, t, err
}

// suspend commits the suspended state. No command runs.
func (h *guestHandler) suspend() (v statedisk.Version, t token, err error) {
	if last := h.token.Load(); last != nil {
		t = *last
	}
	err = h.device.Snapshot(func(state, volatile []byte) (err error) {
		v, err = h.store.suspend(state, volatile, t)
		return err
	})
	return v, t, err
}

// thaw undoes freeze: the permanent state alone takes the place of the suspended one, and
// only then commands run again.
func (h *guestHandler) thaw() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asleep = false // from here on another state may be the valid one
	if err := h.store.replaceSuspended(); err != nil {
		return err
	}
	h.frozen = false
	h.gate.mu.Unlock()
	return nil
}

// isFrozen reports whether no command runs.
func (h *guestHandler) isFrozen() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.frozen
}

// leave answers the commands that wait for a TPM that will not be thawed: the next domain of
// this vTPM executes them. Nobody thaws it any more.
func (h *guestHandler) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.frozen && !h.gate.over {
		h.gate.over = true
		h.gate.mu.Unlock()
	}
}

// shut waits for what uses the TPM besides a guest, and lets nothing begin any more. It is
// called after leave.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
}

// end ends the TPM with its domain. One that a guest has or had is suspended, so that the
// guest may find it again; one of which that fails, and any other, is shut down.
func (h *guestHandler) end() {
	h.gate.shut()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asleep {
		return // it was suspended already
	}
	if !h.clean {
		_, _, err := h.suspend()
		if err == nil {
			h.log("suspended")
			return
		}
		h.log("the TPM is shut down, since it cannot be suspended: %v", err)
	}
	shutdownClear(h.device)
}

// thawPause is the time between two attempts to thaw, or to read what the host says.
const thawPause = time.Second

// isGone reports whether an error is that of a node that is not there: xenstored answers EACCES
// for one that was removed from a directory that this domain may not read.
func isGone(err error) bool {
	return errors.Is(err, xenstore.ErrNotExist) || errors.Is(err, xenstore.ErrAccess)
}

// obeyFreeze freezes and thaws the TPM as the host says, until ctx ends.
func (h *guestHandler) obeyFreeze(ctx context.Context, e *Environment) error {
	defer h.leave()
	report := func(format string, args ...any) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := e.Domain.Store.Write(ctx, nodeFrozen, fmt.Sprintf(format, args...)); err != nil {
			e.Log("freeze: %v", err)
		}
	}
	failed := false // the order to freeze is not carried out until it is given again
	err := e.Domain.Store.Follow(ctx, nodeFreeze, func() (again time.Duration, err error) {
		word, err := e.Domain.Store.Read(ctx, nodeFreeze)
		if err != nil && !isGone(err) {
			return thawPause, nil // it is not known what the host says
		}
		want := err == nil && word == "1"
		failed = failed && want
		if frozen := h.isFrozen(); want && !failed && !frozen {
			v, t, err := h.freeze()
			if err == nil {
				e.Log("frozen with state %d", v.Sequence)
				report("%x %x %x", v.Sequence, v.Hash, t)
			} else {
				e.Log("freeze: %v", err)
				report("error: %v", err)
				failed = true
			}
		}
		if frozen := h.isFrozen(); frozen && (!want || failed) {
			switch err := h.thaw(); {
			case err != nil:
				e.Log("thaw: %v", err)
				report("error: %v", err)
				return thawPause, nil
			case !failed:
				e.Log("thawed")
				report("")
			}
		}
		return 0, nil
	})
	return fmt.Errorf("freeze: %w", err)
}
