package xenlife

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
)

// vtpmUUID matches the UUID in a configuration's first vtpm line.
var vtpmUUID = regexp.MustCompile(`(?m)^\s*vtpm\s*=.*?uuid=([0-9a-fA-F-]{36})`)

// CreateGuest creates the domain of a guest's configuration, reports it to the manager
// before it runs, and unpauses it. If the report fails the domain is destroyed: its PCRs
// would show that they are not those of a start.
func (h *Host) CreateGuest(ctx context.Context, file string) error {
	config, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	name, err := domainName(config)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	uuid := vtpmUUID.FindSubmatch(config)
	if uuid == nil {
		return fmt.Errorf("%s: the vtpm line needs uuid=, the UUID of the vTPM", file)
	}
	if _, err := h.XL(ctx, "create", "-q", "-p", file); err != nil {
		return err
	}
	id, err := h.find(ctx, name)
	if err == nil && id == 0 {
		err = ErrFailed
	}
	if err == nil {
		err = h.ReportCreated(ctx, id, string(uuid[1]))
	}
	number := strconv.Itoa(int(id))
	if err != nil {
		var undone error
		if id != 0 {
			_, undone = h.XL(context.WithoutCancel(ctx), "destroy", number)
		}
		return fmt.Errorf("%s: %w", name, errors.Join(err, undone))
	}
	_, err = h.XL(ctx, "unpause", number)
	return err
}
