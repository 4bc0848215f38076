package xenlife

import (
	"context"
	"fmt"

	"stubtpm/vtpmmgr/proto"
)

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
	uuid, err := proto.ParseUUID(config.vtpm("uuid"))
	if err != nil {
		return fmt.Errorf("%s: the vtpm setting needs uuid=, the UUID of the vTPM: %w", file, err)
	}
	id, err := h.createPaused(ctx, name, file)
	if err != nil {
		return err
	}
	if err := h.ReportCreated(ctx, id, uuid.String()); err != nil {
		return h.undo(ctx, name, id, err)
	}
	return h.unpause(ctx, name, id)
}
