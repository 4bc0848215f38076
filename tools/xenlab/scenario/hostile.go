package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// abuseCommand is tools/ringabuse in the hostile guest: it acts as the frontend of the
// TPM ring, with garbage, wrapping lengths and random states.
const abuseCommand = "/usr/bin/ringabuse"

// Hostile lets the guest of a second vTPM abuse its ring while the first guest
// continues to use its TPM, with changes of state that need the manager. Then an
// honest guest takes the hostile one's place. The first pair must run already.
func (s *Stack) Hostile(ctx context.Context, r Report, first *lab.Guest, duration time.Duration) error {
	const vtpm, uuid, name = "vtpm-guest3", "5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3c1e03", "hostile"
	if err := s.Enroll(ctx, uuid); err != nil {
		return err
	}
	if err := s.serves(ctx, r, "a vTPM for the hostile guest serves", vtpm, uuid); err != nil {
		return err
	}
	before, err := s.domid(ctx, vtpm)
	if err != nil {
		return err
	}
	r.Step("a guest without xen-tpmfront, at its own vTPM")
	line := fmt.Sprintf("vtpm = [\"backend=%s\"]", vtpm)
	if err := s.M.Create(ctx, name, lab.GuestConfigLine(name, guestMiB, "xenlab.skip=xen-tpmfront", line)); err != nil {
		return err
	}
	bad, err := s.M.ConnectGuest(ctx, name, 90*time.Second)
	if err != nil {
		return err
	}
	r.Step("hostile: ringabuse for %v, while guest1 uses its TPM", duration)
	abuseCtx, cancel := context.WithTimeout(ctx, duration+time.Minute)
	defer cancel()
	type end struct {
		out string
		err error
	}
	done := make(chan end, 1)
	go func() {
		out, err := bad.Run(abuseCtx, fmt.Sprintf("%s -duration %v", abuseCommand, duration))
		done <- end{out, err}
	}()
	g := guest{first, r}
	if _, err := g.run(ctx, "tpm2_nvdefine -Q -C o -s 8 -a 'ownerread|ownerwrite' 0x1500003"); err != nil {
		return err
	}
	rounds, slowest := 0, time.Duration(0)
	var abuse *end
	for abuse == nil {
		start := time.Now()
		_, err := g.run(ctx, fmt.Sprintf("tpm2_getrandom -Q 8\nprintf %08d | tpm2_nvwrite -Q -C o -i - 0x1500003\n"+
			"test \"$(tpm2_nvread -C o -s 8 0x1500003)\" = %08d", rounds, rounds))
		if err != nil {
			check(r, "guest1's TPM answers while another ring is abused", false, "round %d: %v", rounds, err)
			return ErrClaims
		}
		rounds++
		slowest = max(slowest, time.Since(start))
		select {
		case e := <-done:
			abuse = &e
		case <-time.After(500 * time.Millisecond):
		}
	}
	if abuse.err != nil {
		return fmt.Errorf("ringabuse: %w", abuse.err)
	}
	r.Show(name, abuseCommand, lastLines(abuse.out, 3))
	check(r, fmt.Sprintf("guest1's TPM answers while another ring is abused (%d rounds, each with a change of state; slowest %.1f s)", rounds, slowest.Seconds()),
		rounds > 1, "only %d rounds", rounds)
	if err := s.Destroy(ctx, name); err != nil {
		return err
	}
	after, err := s.domid(ctx, vtpm)
	check(r, "the abused vTPM's domain still runs", err == nil && after == before, "domain %q, then %q (%v); console:\n%s", before, after, err, s.Since(vtpm))
	if err != nil || after != before {
		return ErrClaims
	}
	r.Step("an honest guest in its place")
	honest, err := s.StartGuest(ctx, "guest3", vtpm)
	if err == nil {
		_, err = (guest{honest, r}).run(ctx, "tpm2_getrandom -Q 8; tpm2_pcrread -Q sha256:0")
	}
	check(r, "the abused vTPM serves an honest guest", err == nil, "%v; console:\n%s", err, s.Since(vtpm))
	return s.Destroy(ctx, "guest3", vtpm)
}

// domid returns the id of a running domain.
func (s *Stack) domid(ctx context.Context, name string) (string, error) {
	out, err := s.M.Dom0.Run(ctx, "xl domid "+name)
	return strings.TrimSpace(out), err
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
