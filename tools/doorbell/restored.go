package doorbell

import (
	"context"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/xen"
)

// returned has the vTPM serve a guest that was restored and has not run since: it tells the
// manager which token is in the guest's memory, so that the vTPM finds out whether that is
// the memory that belongs to it. It returns the event channel of the TPM.
func (g *guest) returned(ctx context.Context, memory Guest, vtpm xen.DomID) (xen.Channel, error) {
	// A vTPM that served the guest for a process before this one has written another token.
	var token [crb.TokenSize]byte
	if _, err := memory.ReadAt(token[:], crb.ControlFrame*xen.PageSize+crb.TokenOffset); err != nil {
		return nil, err
	}
	if err := g.ReportRestored(ctx, g.id, g.uuid, token); err != nil {
		return nil, err
	}
	return connect(ctx, g.Domain, g.id, vtpm, g.uuid, false)
}
