package scenario

import (
	"context"
	"fmt"
	"time"

	"stubtpm/tools/xenlab/lab"
)

const neighbourVTPM = "vtpm-neighbour"

// Hostile prints Numbers if they are asked for, and then has the guest abuse its control area and its doorbell while another guest with
// another vTPM uses its own.
func (d *Doorbell) Hostile(ctx context.Context, g guest, duration time.Duration, numbers bool) error {
	const vtpm, uuid, name = neighbourVTPM, "5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3c1e04", "neighbour"
	if err := d.Enroll(ctx, uuid); err != nil {
		return err
	}
	if err := d.serves(ctx, d.r, "a vTPM for the neighbour serves", vtpm, uuid); err != nil {
		return err
	}
	line := fmt.Sprintf("vtpm = [\"backend=%s\"]", vtpm)
	if err := d.M.Create(ctx, name, lab.GuestConfigLine(name, d.guestMemory(), "", line)); err != nil {
		return err
	}
	neighbour, err := d.M.ConnectGuest(ctx, name, 90*time.Second)
	if err != nil {
		return err
	}
	if numbers {
		if err := d.Numbers(ctx, g, neighbour); err != nil {
			return err
		}
	}
	if err := d.idle(ctx); err != nil {
		return err
	}
	const ping = "/init ping /dev/tpm0 300"
	quiet, err := neighbour.Run(ctx, ping)
	if err != nil {
		return err
	}
	before, err := d.domid(ctx, vtpmName)
	if err != nil {
		return err
	}
	type end struct {
		out string
		err error
	}
	done := make(chan end, 1)
	abuseCtx, cancel := context.WithTimeout(ctx, duration+2*time.Minute)
	defer cancel()
	go func() {
		out, err := g.Run(abuseCtx, fmt.Sprintf("%s -memory -duration %v", abuseCommand, duration))
		done <- end{out, err}
	}()
	loud := ""
	var abuse *end
	for abuse == nil {
		if loud, err = neighbour.Run(ctx, ping); err != nil {
			check(d.r, "a neighbour's TPM answers meanwhile", false, "%v", err)
			return ErrClaims
		}
		select {
		case e := <-done:
			abuse = &e
		default:
		}
	}
	if abuse.err != nil {
		return d.why(abuse.err)
	}
	d.r.Show(guestName, abuseCommand+" -memory", abuse.out)
	d.r.Show(name, ping+" (us), before and meanwhile", quiet+loud)
	after, err := d.domid(ctx, vtpmName)
	check(d.r, "the abused TPM answers, and its domain still runs", err == nil && after == before, "domain %q, then %q (%v); console:\n%s", before, after, err, d.Since(vtpmName))
	return d.Destroy(ctx, name, vtpm)
}
