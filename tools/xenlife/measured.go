package xenlife

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"stubtpm/drivers/xen"
)

// reportMeasured reports the image of a domain that has not run yet to the manager that
// the configuration names, and saves the measurement for later incarnations of the
// manager. A configuration without a vtpm device is that of a manager: there is nobody to
// report to.
func (h *Host) reportMeasured(ctx context.Context, c config, id xen.DomID, hash string) error {
	manager := c.vtpm("backend")
	if h.ReportMeasured == nil || manager == "" {
		return nil
	}
	if err := h.saveMeasured(ctx, id, hash); err != nil {
		return err
	}
	return h.ReportMeasured(ctx, manager, id, hash)
}

// repeatMeasured reports the measurement of a running domain, which cannot be measured any
// more, to a manager that was started again.
func (h *Host) repeatMeasured(ctx context.Context, manager string, id xen.DomID) error {
	if h.ReportMeasured == nil {
		return nil
	}
	b, err := os.ReadFile(h.measuredFile(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return h.ReportMeasured(ctx, manager, id, strings.TrimSpace(string(b)))
}

const measuredSuffix = ".measured"

// measuredFile is the file with the hash of one domain's image. Each domain has its own
// file because each is run by its own process.
func (h *Host) measuredFile(id xen.DomID) string {
	return filepath.Join(h.State, strconv.Itoa(int(id))+measuredSuffix)
}

// saveMeasured saves a measurement, and removes those of domains that do not exist: their
// IDs may be reused.
func (h *Host) saveMeasured(ctx context.Context, id xen.DomID, hash string) error {
	old, err := filepath.Glob(filepath.Join(h.State, "*"+measuredSuffix))
	if err != nil {
		return err
	}
	for _, file := range old {
		n, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(file), measuredSuffix), 10, 16)
		if err != nil {
			continue
		}
		if gone, err := h.isGone(ctx, xen.DomID(n)); err != nil {
			return err
		} else if gone {
			os.Remove(file)
		}
	}
	return h.replace(h.measuredFile(id), hash+"\n")
}
