package xenlife

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"stubtpm/drivers/xen"
)

// createPaused creates the domain of a configuration, paused, and returns its ID: the one
// of that name that is new and has not run. Names alone do not tell: another domain of the
// name may be on its way out, or have been renamed to it. A domain that was made although
// xl failed is destroyed.
func (h *Host) createPaused(ctx context.Context, name, file string) (xen.DomID, error) {
	return h.makePaused(ctx, name, "create", "-q", "-p", file)
}

// makePaused is createPaused by an order of xl.
func (h *Host) makePaused(ctx context.Context, name string, order ...string) (xen.DomID, error) {
	before, err := h.named(ctx, name)
	if err != nil {
		return 0, err
	}
	_, failed := h.XL(ctx, order...)
	ctx = context.WithoutCancel(ctx)
	after, err := h.named(ctx, name)
	if err != nil {
		return 0, errors.Join(failed, err)
	}
	made := slices.DeleteFunc(after, func(id xen.DomID) bool { return slices.Contains(before, id) })
	if len(made) != 1 {
		return 0, fmt.Errorf("%s: %w", name, errors.Join(failed, fmt.Errorf("%w: xl created %d domains of the name", ErrFailed, len(made))))
	}
	if err := h.CheckNotRun(ctx, made[0]); err != nil {
		// It is not this one's to destroy: whoever unpaused it has it.
		return 0, fmt.Errorf("%s: domain %d: %w", name, made[0], errors.Join(failed, err))
	}
	if failed != nil {
		return 0, h.undo(ctx, name, made[0], failed)
	}
	return made[0], nil
}

// unpause has a domain run that createPaused made, or destroys it: nothing else would ever
// unpause it.
func (h *Host) unpause(ctx context.Context, name string, id xen.DomID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), xlTimeout)
	defer cancel()
	if _, err := h.XL(ctx, "unpause", strconv.Itoa(int(id))); err != nil {
		return h.undo(ctx, name, id, err)
	}
	return nil
}

// undo destroys a domain that createPaused made, because of an error, which it returns.
func (h *Host) undo(ctx context.Context, name string, id xen.DomID, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), xlTimeout)
	defer cancel()
	_, err := h.XL(ctx, "destroy", strconv.Itoa(int(id)))
	return fmt.Errorf("%s: %w", name, errors.Join(why, err))
}
