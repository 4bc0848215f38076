package xenlife

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"stubtpm/drivers/xen"
)

// backendName is that of a configuration's first vtpm device.
var backendName = regexp.MustCompile(`(?m)^\s*vtpm\s*=.*backend=([^,"'\]]+)`)

// tellMeasured tells the manager that a configuration names which image a
// domain has, which has not run yet, and keeps that for the manager's successors.
// A configuration without a vtpm device is a manager's own: nobody is told.
func (h *Host) tellMeasured(ctx context.Context, config []byte, id xen.DomID, hash string) error {
	manager := backendName.FindSubmatch(config)
	if h.Tell == nil || manager == nil {
		return nil
	}
	if err := h.keepMeasured(ctx, id, hash); err != nil {
		return err
	}
	return h.Tell(ctx, string(manager[1]), id, hash)
}

// tellAgain tells a new incarnation of a manager what the one before it knew of
// a domain that runs: it cannot be measured any more.
func (h *Host) tellAgain(ctx context.Context, manager string, id xen.DomID) error {
	if h.Tell == nil {
		return nil
	}
	b, err := os.ReadFile(h.measuredFile(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return h.Tell(ctx, manager, id, strings.TrimSpace(string(b)))
}

const measuredEnd = ".measured"

// measuredFile has the hash of one domain's image. Each domain has its own, for
// each is kept by a process of its own.
func (h *Host) measuredFile(id xen.DomID) string {
	return filepath.Join(h.State, strconv.Itoa(int(id))+measuredEnd)
}

// keepMeasured writes a measurement down, and removes those of domains that are
// gone: their numbers may be used again.
func (h *Host) keepMeasured(ctx context.Context, id xen.DomID, hash string) error {
	old, err := filepath.Glob(filepath.Join(h.State, "*"+measuredEnd))
	if err != nil {
		return err
	}
	for _, file := range old {
		n, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(file), measuredEnd), 10, 16)
		if err != nil {
			continue
		}
		if gone, err := h.gone(ctx, xen.DomID(n)); err != nil {
			return err
		} else if gone {
			os.Remove(file)
		}
	}
	return h.replace(h.measuredFile(id), hash+"\n")
}
