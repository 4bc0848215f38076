package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// A Move has a guest with a vTPM, by a control area, on the first of two hosts, and one site
// that has admitted both.
type Move struct {
	*Hosts
	a, b *Doorbell
}

// Files in dom0 of both hosts.
const (
	approverKey = "/approver.key"
	siteRoots   = "/site.pem"
	vtpmConfigs = "/vtpms"
	startScript = "/start-vtpm"
	takeScript  = "/take-guest"
)

// NewMove starts managers and doorbells on both hosts, and on the first one a vTPM. managerFile is
// the manager's image on this machine; dir is for the site's files.
func NewMove(ctx context.Context, r Report, h *Hosts, managerFile, dir string) (*Move, error) {
	m := &Move{Hosts: h, a: &Doorbell{Stack: h.A, r: r, log: &lineLog{}}, b: &Doorbell{Stack: h.B, r: r, log: &lineLog{}}}
	r.Step("managers, and stubtpm-host doorbell, on both hosts")
	if err := h.both(func(s *Stack, _ string) error { return s.StartManager(ctx) }); err != nil {
		return nil, err
	}
	r.Step("one site admits both")
	t := &trust{h.A, r, dir}
	if err := t.found(managerFile); err != nil {
		return nil, err
	}
	for name, s := range map[string]*Stack{"a": h.A, "b": h.B} {
		if err := (&trust{s, r, dir}).admitTo(ctx, name); err != nil {
			return nil, err
		}
	}
	public, err := h.A.M.Dom0.Run(ctx, adminCommand+" mgr keygen "+approverKey+" --for approver")
	if err != nil {
		return nil, err
	}
	key, err := h.A.M.Take(ctx, approverKey)
	if err != nil {
		return nil, err
	}
	if _, err := h.B.M.Dom0.RunInput(ctx, "cat > "+approverKey, key); err != nil {
		return nil, err
	}
	public = strings.TrimPrefix(strings.TrimSpace(public), "approver=")
	for _, d := range []*Doorbell{m.a, m.b} {
		if err := m.prepare(ctx, d, public); err != nil {
			return nil, err
		}
	}
	if _, err := h.A.M.Dom0.Run(ctx, adminCommand+" mgr -key "+approverKey+" enroll "+vtpmUUID+" --starts measured --group mail"); err != nil {
		return nil, err
	}
	return m, m.a.startVTPM(ctx)
}

// prepare has a host ready to take the guest.
func (m *Move) prepare(ctx context.Context, d *Doorbell, approver string) error {
	disk, err := d.disk(ctx, vtpmName)
	if err != nil {
		return err
	}
	config, err := d.vtpmDomain(vtpmName, vtpmUUID, disk).Config()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		vtpmConfigs + "/" + guestName + ".cfg": config,
		startScript:                            "#!/bin/sh\nxl create -q " + vtpmConfigs + "/$1.cfg </dev/null >/dev/null 2>>/moves.log\n",
		takeScript:                             "#!/bin/sh\nexec " + hostCommand + " migrate-receive -vtpms " + vtpmConfigs + " -start '" + startScript + " '\n",
	} {
		if _, err := d.M.Dom0.RunInput(ctx, "mkdir -p "+vtpmConfigs+"; cat > "+name+"; chmod 755 "+name, []byte(text)); err != nil {
			return err
		}
	}
	if _, err := d.M.Dom0.Run(ctx, adminCommand+" mgr -key "+adminKey+" group create mail --approver "+approver); err != nil {
		return err
	}
	return d.startDaemon(ctx)
}

// start starts the guest at the first host. It has no disk: that would have to be at both.
func (m *Move) start(ctx context.Context) (guest, error) {
	config := lab.GuestConfigLine(guestName, guestMiB, "", "uuid = \""+doorbellUUID+"\"", fmt.Sprintf("vtpm = [\"backend=Domain-0,uuid=%s\"]", vtpmUUID))
	if err := m.A.M.Create(ctx, guestName, config); err != nil {
		return guest{}, m.a.why(err)
	}
	return m.a.connect(ctx)
}

// sealed is what is sealed to the PCRs of a guest that moves.
const sealed = "the secret that moves"

// sealIt has the guest seal something to a PCR, and keep the context of its key.
const sealIt = useVolatile + `tpm2_flushcontext -t
tpm2_createpolicy -Q --policy-pcr -l sha256:8 -L pcr.policy
printf '` + sealed + `' | tpm2_create -Q -C primary.ctx -L pcr.policy -i - -u sealed.pub -r sealed.priv
tpm2_flushcontext -t
`

// openIt opens it: the context of the key does not load after a reset.
const openIt = rawTPM + `tpm2_flushcontext -t
tpm2_load -Q -C primary.ctx -u sealed.pub -r sealed.priv -c sealed.ctx && tpm2_unseal -c sealed.ctx -p pcr:sha256:8
tpm2_flushcontext -t
`

// showPCRs prints what the TPM has of the guest's start and since.
const showPCRs = rawTPM + "tpm2_pcrread sha256:0,4,8,9 | grep :\ntpm2_readclock | grep -E 'reset_count|restart_count'\n"

// command is stubtpm-host migrate to a host, over a link that has a first part.
func command(address, flags, first string) string {
	return fmt.Sprintf("%s migrate -approve %s -site %s %s -link '%s/init connect %s %s' %s %s 2>&1",
		hostCommand, approverKey, siteRoots, flags, first, address, movePort, guestName, address)
}

// move moves the guest from one host to the other, and claims that it finds its TPM there as it
// was.
func (m *Move) move(ctx context.Context, from, to *Doorbell, address, before string) error {
	m.r.Step("dom0: stubtpm-host migrate %s to %s", guestName, address)
	begin := time.Now()
	out, err := from.M.Dom0.Run(ctx, command(address, "", ""))
	m.r.Show("dom0", "stubtpm-host migrate", out)
	if err != nil {
		return m.why(ctx, fmt.Errorf("%w\n%s", err, out))
	}
	m.r.Step("it took %v", time.Since(begin).Round(100*time.Millisecond))
	return m.moved(ctx, from, to, before)
}

// signal is a function of a script that sends a signal to all processes of some words of
// stubtpm-host at once.
const signal = "signal() { all=; for p in /proc/[0-9]*; do tr '\\0' ' ' 2>/dev/null <$p/cmdline | grep -q \"^" + hostCommand + " $2 \" && all=\"$all ${p#/proc/}\"; done; kill -$1 $all; }\n"

// stopped begins to move the guest, and runs a script in dom0 once a condition holds.
func (m *Move) stopped(ctx context.Context, from *Doorbell, address, condition, script string) error {
	if _, err := from.M.Dom0.Run(ctx, "rm -f "+killedLog+"; ("+command(address, "", "")+") >"+killedLog+" </dev/null &"); err != nil {
		return err
	}
	out, err := from.M.Dom0.Run(ctx, signal+"for i in $(seq 900); do "+condition+" && break; sleep 0.1; done\n"+script+"\ncat "+killedLog+"; xl list")
	m.r.Show("dom0", "killed", out)
	if err != nil {
		return m.why(ctx, err)
	}
	check(m.r, "the guest stands still, and is here", strings.Contains(out, "---ss-"), "%s", out)
	return nil
}

// killed moves the guest, and kills the program when the guest has stopped; another one ends the
// move.
func (m *Move) killed(ctx context.Context, from, to *Doorbell, address, before string) error {
	m.r.Step("dom0: stubtpm-host migrate, killed when the guest has stopped; and migrate -finish")
	if err := m.stopped(ctx, from, address, "grep -q 'freezing the vTPM' "+killedLog, "sleep 0.5; signal KILL migrate"); err != nil {
		return err
	}
	out, err := from.M.Dom0.Run(ctx, command(address, "-finish", ""))
	if err != nil {
		return m.why(ctx, fmt.Errorf("%w\n%s", err, out))
	}
	m.r.Show("dom0", "stubtpm-host migrate -finish", out)
	return m.moved(ctx, from, to, before)
}

// resumed kills the program and xl when the guest has stopped, while the other host's doorbell lets
// its xl wait, so that the vTPM was not sent away: another program resumes the guest.
func (m *Move) resumed(ctx context.Context, from, to *Doorbell, address, before string) error {
	m.r.Step("dom0: stubtpm-host migrate, killed with xl when the guest has stopped; and migrate -finish")
	if _, err := to.M.Dom0.Run(ctx, signal+"signal STOP doorbell"); err != nil {
		return err
	}
	if err := m.stopped(ctx, from, address, "xl list | grep -q -e ---ss-", "signal KILL 'migrate\\(-xl\\)*'; sleep 1"); err != nil {
		return err
	}
	if _, err := to.M.Dom0.Run(ctx, signal+"signal CONT doorbell"); err != nil {
		return err
	}
	out, err := from.M.Dom0.Run(ctx, command(address, "-finish", ""))
	m.r.Show("dom0", "stubtpm-host migrate -finish", out)
	check(m.r, "a guest that nobody resumed goes on where it was, and the program says so", err != nil && strings.Contains(out, "stay where they were"), "%v\n%s", err, out)
	if err == nil {
		return m.why(ctx, ErrClaims)
	}
	return m.sameTPM(ctx, from, before)
}

// late has the vTPM not answer while xl waits for the guest to stop: xl gives up, and the guest
// stops once the vTPM has answered. It goes on all the same.
func (m *Move) late(ctx context.Context, from *Doorbell, address, before string) error {
	m.r.Step("dom0: stubtpm-host migrate while the vTPM's domain is paused")
	if _, err := from.M.Dom0.Run(ctx, "xl pause "+vtpmName+"; rm -f "+killedLog+"; ("+command(address, "", "")+"; echo ended) >"+killedLog+" </dev/null &"); err != nil {
		return err
	}
	out, err := from.M.Dom0.Run(ctx, "for i in $(seq 1800); do grep -q -e 'given up' -e '^ended' "+killedLog+" && break; sleep 0.1; done; xl unpause "+vtpmName+"\n"+
		"for i in $(seq 1800); do grep -q '^ended' "+killedLog+" && break; sleep 0.1; done; cat "+killedLog+"; xl list")
	m.r.Show("dom0", "stubtpm-host migrate", out)
	if err != nil {
		return m.why(ctx, err)
	}
	check(m.r, "a guest that stops after xl has given up is resumed", strings.Contains(out, "had stopped, and was resumed") && !strings.Contains(out, "---ss-"), "%s", out)
	return m.sameTPM(ctx, from, before)
}

// killedLog is what the program that is killed has said.
const killedLog = "/killed.log"

// cut tries to move the guest over a link that ends while the memory is copied: it stays.
func (m *Move) cut(ctx context.Context, from *Doorbell, address, before string) error {
	m.r.Step("dom0: stubtpm-host migrate, over a link that ends after 20 MB")
	out, err := from.M.Dom0.Run(ctx, command(address, "", "dd bs=4096 count=5000 2>/dev/null | "))
	check(m.r, "a guest whose link ends stays where it was, and the program says so", err != nil && strings.Contains(out, "stay where they were"), "%v\n%s", err, out)
	if err == nil {
		return m.why(ctx, ErrClaims)
	}
	return m.sameTPM(ctx, from, before)
}

// sameTPM claims that the guest runs at a host and finds its TPM as it was.
func (m *Move) sameTPM(ctx context.Context, at *Doorbell, before string) error {
	g, err := at.connect(ctx)
	if err != nil {
		return m.why(ctx, err)
	}
	after, err := g.run(ctx, showPCRs)
	if err != nil {
		return m.why(ctx, err)
	}
	check(m.r, "the guest finds its PCRs, and a TPM that was not reset", after == before, "before:\n%s\nafter:\n%s", before, after)
	opened, err := g.run(ctx, openIt)
	if err != nil {
		return m.why(ctx, err)
	}
	check(m.r, "what was sealed to them opens, with the context of a key of before", strings.Contains(opened, sealed), "%s", opened)
	if after != before || !strings.Contains(opened, sealed) {
		return m.why(ctx, ErrClaims)
	}
	return nil
}

// moved claims that the guest and its vTPM are at one host and not at the other one.
func (m *Move) moved(ctx context.Context, from, to *Doorbell, before string) error {
	if err := m.sameTPM(ctx, to, before); err != nil {
		return err
	}
	gone, err := from.M.Dom0.Run(ctx, adminCommand+" mgr -key "+adminKey+" list; "+adminCommand+" mgr -key "+adminKey+" move list")
	if err != nil {
		return err
	}
	here, err := to.M.Dom0.Run(ctx, adminCommand+" mgr -key "+adminKey+" list")
	if err != nil {
		return err
	}
	m.r.Show("dom0", "stubtpm mgr list, where it was and where it is", gone+"\n"+here)
	check(m.r, "the manager where it was says gone, the other one has it", strings.Contains(gone, "it has left") && strings.Contains(here, vtpmUUID) && strings.Contains(here, "connected"), "%s\n%s", gone, here)
	left, err := from.M.Dom0.Run(ctx, "xl list")
	if err != nil {
		return err
	}
	check(m.r, "no copy of the guest is left", !strings.Contains(left, "\n"+guestName), "%s", left)
	said := from.log.tail(1000) + to.log.tail(1000)
	check(m.r, "Xen takes what the doorbell says of pages that were modified", !strings.Contains(said, "modified"), "%s", said)
	// Its unit would be stopped.
	return from.Destroy(ctx, vtpmName)
}

// why adds what both hosts have said to an error.
func (m *Move) why(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err = m.b.why(m.a.why(err))
	for _, d := range []*Doorbell{m.a, m.b} {
		err = fmt.Errorf("%w\na host:\n%s\nits manager:\n%s", err, m.log(ctx, d.Stack), last(d.Since(managerName), 12))
	}
	return err
}

// ThereAndBack moves the guest to the second host and back, the latter by two programs, since the
// first one is killed.
func (m *Move) ThereAndBack(ctx context.Context) error {
	if err := m.Listen(ctx, takeScript); err != nil {
		return err
	}
	g, err := m.start(ctx)
	if err != nil {
		return err
	}
	if _, err := g.run(ctx, sealIt); err != nil {
		return m.a.why(err)
	}
	before, err := g.run(ctx, showPCRs)
	if err != nil {
		return err
	}
	m.r.Show(guestName, "before", before)
	if err := m.late(ctx, m.a, lab.AddressB, before); err != nil {
		return err
	}
	if err := m.cut(ctx, m.a, lab.AddressB, before); err != nil {
		return err
	}
	if err := m.resumed(ctx, m.a, m.b, lab.AddressB, before); err != nil {
		return err
	}
	if err := m.move(ctx, m.a, m.b, lab.AddressB, before); err != nil {
		return err
	}
	return m.killed(ctx, m.b, m.a, lab.AddressA, before)
}
