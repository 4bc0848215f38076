package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// A Pair is a vTPM and its guest, with data in the TPM that no failure may change.
type Pair struct {
	s              *Stack
	r              Report
	vtpm, uuid     string
	name           string
	guest          guest
	pcr            string // PCR 9, extended
	counter, value uint64 // of an NV counter and of an NV index
}

// NewPair enrolls and starts a vTPM with a guest, extends PCR 9, and leaves a counter,
// data and a key in its NV memory. number has two hexadecimal digits and is part of the
// names.
func (s *Stack) NewPair(ctx context.Context, r Report, number string) (*Pair, error) {
	p := &Pair{s: s, r: r, vtpm: "vtpm-guest" + number, name: "guest" + number, uuid: "5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3c20" + number}
	if err := s.Enroll(ctx, p.uuid); err != nil {
		return nil, err
	}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	out, err := p.guest.run(ctx, `tpm2_pcrextend 9:sha256=$(printf x | sha256sum | cut -c1-64)
tpm2_nvdefine -Q -C o -s 8 -a 'ownerread|ownerwrite|nt=counter' 0x1500010
tpm2_nvincrement -Q -C o 0x1500010
tpm2_nvdefine -Q -C o -s 8 -a 'ownerread|ownerwrite' 0x1500011
printf 00000000 | tpm2_nvwrite -Q -C o -i - 0x1500011
tpm2_createprimary -Q -C o -G ecc -c prim.ctx; flush
tpm2_create -Q -C prim.ctx -G ecc:ecdsa-sha256 -u key.pub -r key.priv; flush
tpm2_load -Q -C prim.ctx -u key.pub -r key.priv -c key.ctx; flush
tpm2_evictcontrol -Q -C o -c key.ctx 0x81000010; flush
tpm2_nvread -C o -s 8 0x1500010 | od -An -tx1 | tr -d ' \n'; echo
`+readPCR)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Sscanf(out, "%x\n", &p.counter)
	p.pcr = lastLines(out, 1)
	return p, err
}

// readPCR prints PCR 9 on the last line.
const readPCR = "tpm2_pcrread sha256:9 | grep '9 :'\n"

// start starts both domains.
func (p *Pair) start(ctx context.Context) error {
	p.r.Step("%s and %s: xl create", p.vtpm, p.name)
	mark, err := p.s.StartVTPM(ctx, p.vtpm, p.uuid)
	if err == nil && mark != vtpmReady {
		err = fmt.Errorf("%s says:\n%s", p.vtpm, p.s.Since(p.vtpm))
	}
	if err != nil {
		return err
	}
	return p.boot(ctx)
}

// boot starts the guest alone.
func (p *Pair) boot(ctx context.Context) error {
	g, err := p.s.StartGuest(ctx, p.name, p.vtpm)
	if err != nil {
		return err
	}
	p.guest = guest{g, p.r}
	return nil
}

// use increments the counter and writes the index, and compares their values with those
// before.
func (p *Pair) use(ctx context.Context) error {
	start := time.Now()
	next := p.value + 1
	out, err := p.guest.run(ctx, fmt.Sprintf(`tpm2_nvread -C o -s 8 0x1500011; echo
tpm2_nvincrement -Q -C o 0x1500010
tpm2_nvread -C o -s 8 0x1500010 | od -An -tx1 | tr -d ' \n'; echo
printf %08d | tpm2_nvwrite -Q -C o -i - 0x1500011
`, next))
	if err != nil {
		return fmt.Errorf("%s after %.1f s: %w", p.name, time.Since(start).Seconds(), err)
	}
	var value, counter uint64
	if _, err := fmt.Sscanf(out, "%d\n%x\n", &value, &counter); err != nil {
		return fmt.Errorf("%w in %q", err, out)
	}
	if value != p.value || counter != p.counter+1 {
		return fmt.Errorf("%s: index %d, counter %d: it should be %d and %d", p.name, value, counter, p.value, p.counter+1)
	}
	p.value, p.counter = next, counter
	return nil
}

// kept claims that the pair has kept all its data, and PCR 9 too if the vTPM was not
// restarted.
func (p *Pair) kept(ctx context.Context, claim string, pcrs bool) error {
	err := p.use(ctx)
	if err == nil {
		var out string
		out, err = p.guest.run(ctx, "tpm2_readpublic -Q -c 0x81000010\n"+readPCR)
		if got := lastLines(out, 1); err == nil && pcrs && got != p.pcr {
			err = fmt.Errorf("PCR %s, was %s", got, p.pcr)
		}
	}
	check(p.r, claim, err == nil, "%v\n%s:\n%s\nmanager:\n%s", err, p.vtpm, last(p.s.Since(p.vtpm), 12), last(p.s.Since(managerName), 12))
	if err != nil {
		return ErrClaims
	}
	return nil
}

// Save lets the toolstack try to save the domains of the vTPM and the manager, and
// claims that it fails without harm.
func (s *Stack) Save(ctx context.Context, r Report, p *Pair) error {
	names := []string{p.vtpm, managerName}
	before := map[string]string{}
	for _, n := range names {
		id, err := s.domid(ctx, n)
		if err != nil {
			return err
		}
		before[n] = id
	}
	load := &loadLog{name: p.name}
	if err := load.start(p.guest.Guest, time.Second); err != nil {
		return err
	}
	type end struct {
		name, out string
		err       error
		took      time.Duration
	}
	ended := make(chan end, len(names))
	start, answers := time.Now(), load.answers()
	for _, n := range names {
		r.Step("dom0: xl save %s", n)
		go func() {
			out, err := s.M.Dom0.Run(ctx, fmt.Sprintf("xl save %s /tmp/%s.save; code=$?; rm -f /tmp/%s.save; exit $code", n, n, n))
			ended <- end{n, out, err, time.Since(start)}
		}()
	}
	for range names {
		e := <-ended
		check(r, fmt.Sprintf("xl save %s is refused (after %.1f s)", e.name, e.took.Seconds()), e.err != nil, "it succeeded: %s", e.out)
		if e.err != nil {
			r.Show("dom0", "xl save "+e.name, lastLines(e.err.Error(), 4))
		}
	}
	answers = load.answers() - answers
	took := time.Since(start)
	if err := load.await(ctx, 4); err != nil {
		return err
	}
	if err := load.stop(ctx); err != nil {
		return err
	}
	check(r, fmt.Sprintf("meanwhile the guest had answers to %d changes of state within %.0f s", answers, took.Seconds()),
		load.err() == nil && answers >= uint64(took.Seconds()/4), "%v", load.err())
	for _, n := range names {
		id, err := s.domid(ctx, n)
		check(r, n+" runs on in the same domain", err == nil && id == before[n], "domain %q, was %q (%v)", id, before[n], err)
		said := strings.Count(s.Since(n), "toolstack asks for suspend, which is refused")
		check(r, n+" says once on its console that it refuses", said == 1, "%d times:\n%s", said, last(s.Since(n), 8))
	}
	if err := p.kept(ctx, "the guest has its NV counter, its data, its key and its PCRs", true); err != nil {
		return err
	}
	out, err := s.M.Dom0.Run(ctx, adminCommand+" mgr status --check")
	check(r, "the manager is well", err == nil, "%v\n%s", err, out)
	return nil
}

// timing is the output of the agent's measure for one command, in microseconds.
type timing struct{ p50, p99, most int }

func (t timing) String() string {
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, most %.1f ms", float64(t.p50)/1e3, float64(t.p99)/1e3, float64(t.most)/1e3)
}

func measured(ctx context.Context, g *lab.Guest, count int) (clock, write timing, err error) {
	out, err := g.Run(ctx, fmt.Sprintf("/init measure /dev/tpm0 %d", count))
	if err == nil {
		_, err = fmt.Sscanf(out, "clock p50 %d p99 %d most %d\nwrite p50 %d p99 %d most %d\n",
			&clock.p50, &clock.p99, &clock.most, &write.p50, &write.p99, &write.most)
	}
	return clock, write, err
}

// lateLimit is how much longer an honest guest's commands may take while another guest
// floods.
const lateLimit = 2 * time.Second

// Flood lets a second guest flood its vTPM with changes of state and, at a device whose
// backend is the manager, the manager's ring with garbage. The first pair's commands are
// measured without and with that.
func (s *Stack) Flood(ctx context.Context, r Report, p *Pair, rounds int) error {
	const vtpm, uuid, name = "vtpm-flood", "5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3c20f0", "flood"
	if err := s.Enroll(ctx, uuid); err != nil {
		return err
	}
	if err := s.serves(ctx, r, "a vTPM for the flooding guest serves", vtpm, uuid); err != nil {
		return err
	}
	// No toolstack should give its second device to a guest: a vTPM's device at the
	// manager, as a compromised vTPM has it.
	line := fmt.Sprintf("vtpm = [\"backend=%s\", \"backend=%s,uuid=%s\"]", vtpm, managerName, otherUUID)
	if err := s.Enroll(ctx, otherUUID); err != nil {
		return err
	}
	if err := s.M.Create(ctx, name, lab.GuestConfigLine(name, guestMiB, "", line)); err != nil {
		return err
	}
	bad, err := s.M.ConnectGuest(ctx, name, 120*time.Second)
	if err != nil {
		return err
	}
	out, err := bad.Run(ctx, "cd /sys/bus/xen/drivers/vtpm; [ ! -e vtpm-1 ] || echo vtpm-1 > unbind; ls -d vtpm-*; ls /dev/tpm*")
	if err != nil {
		return err
	}
	r.Show(name, "echo vtpm-1 > unbind; ls -d vtpm-*; ls /dev/tpm*", out)
	clock, write, err := measured(ctx, p.guest.Guest, rounds)
	if err != nil {
		return err
	}
	r.Show(p.name, "commands beside an idle neighbour", fmt.Sprintf("TPM2_ReadClock: %v\nTPM2_NV_Write: %v", clock, write))

	// Longer than the measurement.
	duration := time.Duration(rounds)*500*time.Millisecond + 15*time.Second
	r.Step("%s floods its vTPM and the manager's ring for %v", name, duration)
	type end struct {
		what, out string
		err       error
	}
	ended := make(chan end, 2)
	for what, command := range map[string]string{
		"flood of NV writes":            fmt.Sprintf("/init flood /dev/tpm0 %v", duration),
		"garbage at the manager's ring": fmt.Sprintf("%s -device 1 -duration %v", abuseCommand, duration),
	} {
		go func() {
			out, err := bad.Run(ctx, command)
			ended <- end{what, out, err}
		}()
	}
	if err := sleep(ctx, 5*time.Second); err != nil {
		return err
	}
	clock2, write2, err := measured(ctx, p.guest.Guest, rounds)
	if err != nil {
		return err
	}
	early := len(ended)
	r.Show(p.name, "commands beside a flood", fmt.Sprintf("TPM2_ReadClock: %v\nTPM2_NV_Write: %v", clock2, write2))
	for range cap(ended) {
		e := <-ended
		check(r, e.what+" came to its end", e.err == nil, "%v", e.err)
		r.Show(name, e.what, strings.TrimSpace(e.out))
	}
	check(r, "the flood lasted as long as the measurement", early == 0, "%d of it ended before", early)
	for _, c := range []struct {
		what         string
		quiet, flood timing
	}{{"TPM2_ReadClock", clock, clock2}, {"TPM2_NV_Write", write, write2}} {
		late := time.Duration(c.flood.most-c.quiet.most) * time.Microsecond
		check(r, fmt.Sprintf("beside a flood, no %s of the neighbour is later by more than %v (p99 %.1f ms, %.1f ms beside an idle neighbour)",
			c.what, lateLimit, float64(c.flood.p99)/1e3, float64(c.quiet.p99)/1e3), late < lateLimit, "%v; it was %v", c.flood, c.quiet)
	}
	if err := s.Destroy(ctx, name, vtpm); err != nil {
		return err
	}
	return p.kept(ctx, "the neighbour has all that it had", true)
}

// otherUUID is the UUID of the vTPM as which the flooding guest connects to the manager.
const otherUUID = "5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3c20f1"
