package xenlife

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/vtpmmgr/proto"
)

// ErrReboot means that xl would create the domain of a guest that reboots itself: nobody
// would report that to the manager, and the guest would find PCRs that are not those of a
// start.
var ErrReboot = errors.New(`xenlife: a guest whose reboots are reported needs on_reboot = "destroy"`)

// CreateGuest creates the domain of a guest's configuration, reports it to the manager
// before it runs, and unpauses it. If the report or the unpausing fails the domain is
// destroyed: its PCRs would show that they are not those of a start, or it would stay paused.
// Of several vtpm devices the first is reported.
func (h *Host) CreateGuest(ctx context.Context, file string) error {
	config, err := readConfig(file)
	if err != nil {
		return err
	}
	name, err := config.name()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if !config.endsAtReboot() && !config.byDoorbell() {
		h.Log("%s: the next reboot of %s will not be reported, and its PCRs will say so: see on_reboot", file, name)
	}
	_, err = h.createGuest(ctx, file, name, config)
	return err
}

// endsAtReboot reports whether xl leaves it to others to create the domain again when it
// has rebooted. The default of on_reboot is restart.
func (c config) endsAtReboot() bool {
	action, err := c.text("on_reboot")
	return err == nil && action == "destroy"
}

// byDoorbell reports whether the guest's TPM is one that package doorbell gives it, which
// reports each creation of the domain itself. libxl's default for a backend is dom0.
func (c config) byDoorbell() bool {
	switch c.vtpm("backend") {
	case "", "0", "Domain-0":
		return true
	}
	return false
}

func (h *Host) createGuest(ctx context.Context, file, name string, config config) (xen.DomID, error) {
	uuid, err := proto.ParseUUID(config.vtpm("uuid"))
	if err != nil {
		return 0, fmt.Errorf("%s: the vtpm setting needs uuid=, the UUID of the vTPM: %w", file, err)
	}
	release, err := h.claim(name)
	if err != nil {
		return 0, err
	}
	defer release()
	if left, err := h.left(name, 0); err != nil {
		return 0, err
	} else if left {
		return 0, fmt.Errorf("%s: %w: remove %s to create it here", name, ErrLeft, h.leftFile(name))
	}
	id, err := h.createPaused(ctx, name, file)
	if err != nil {
		return 0, err
	}
	if !config.byDoorbell() {
		if err := h.ReportCreated(ctx, id, uuid.String()); err != nil {
			return 0, h.undo(ctx, name, id, err)
		}
	}
	return id, h.unpause(ctx, name, id)
}

// guestStopTimeout is how long a guest may take to shut down.
const guestStopTimeout = 3 * time.Minute

// RunGuest is CreateGuest of a guest that does not run yet, and returns when its domain has
// ended. If ctx ends first, RunGuest shuts the domain down. Its error is ErrReboot for a
// configuration by which xl itself creates the domain again.
func (h *Host) RunGuest(ctx context.Context, file string, ready func()) error {
	config, err := readConfig(file)
	if err != nil {
		return err
	}
	name, err := config.name()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if !config.endsAtReboot() && !config.byDoorbell() {
		return fmt.Errorf("%s: %w", file, ErrReboot)
	}
	id, err := h.awaitReturn(ctx, name)
	if ctx.Err() != nil {
		return nil
	}
	if err == nil && id == 0 {
		id, err = h.createGuest(ctx, file, name, config)
	}
	if err != nil {
		return err
	}
	h.Log("%s: domain %d", name, id)
	if ready != nil {
		ready()
	}
	err = h.awaitEnd(ctx, id)
	if ctx.Err() == nil {
		return err
	}
	return h.stop(context.WithoutCancel(ctx), name, id, guestStopTimeout)
}
