package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stubtpm/image"
	"stubtpm/tools/xenlab/lab"
)

// hostCommand is tools/stubtpm-host in dom0: it restarts the domains and reconnects
// their frontends.
const hostCommand = "/usr/sbin/stubtpm-host"

// imageManifest is the manifest of `make images` in dom0.
const imageManifest = "/images/manifest.json"

// A Life is a host in normal operation: stubtpm-host keeps a manager and vTPMs
// running, and their guests continually use their TPMs.
type Life struct {
	*Stack
	r      Report
	rand   *rand.Rand
	guests []*lifeGuest
	hostd  *lab.Proc
	log    *lineLog // of stubtpm-host
}

// A lifeGuest is a guest with its vTPM.
type lifeGuest struct {
	name, vtpm, uuid string
	load             *loadLog
	starting         atomic.Bool // its vTPM was destroyed and is not ready again
}

// NewLife starts a manager and vTPMs on a new stack with stubtpm-host, and the guests
// and their load. The manager accepts only vTPMs whose memory was measured before they
// ran.
func NewLife(ctx context.Context, r Report, s *Stack, guests int, seed uint64) (*Life, error) {
	l := &Life{Stack: s, r: r, rand: rand.New(rand.NewPCG(seed, 0)), log: &lineLog{}}
	r.Step("manager, for the first time")
	if err := s.StartManager(ctx); err != nil {
		return nil, err
	}
	var configs []string
	write := func(d image.Domain) error {
		text, err := d.Config()
		if err != nil {
			return err
		}
		file := "/etc/xen/" + d.Name + ".cfg"
		configs = append(configs, file)
		_, err = s.M.Dom0.RunInput(ctx, "cat > "+file, []byte(text))
		return err
	}
	for i := range guests {
		g := &lifeGuest{
			name: fmt.Sprintf("guest%d", i+1), vtpm: fmt.Sprintf("vtpm-guest%d", i+1),
			uuid: fmt.Sprintf("5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3c1f%02x", i+1),
		}
		l.guests = append(l.guests, g)
		if err := s.Enroll(ctx, g.uuid, "--image", vtpmImage); err != nil {
			return nil, err
		}
	}
	if err := s.Destroy(ctx, managerName); err != nil {
		return nil, err
	}
	disk, err := s.disk(ctx, managerName)
	if err != nil {
		return nil, err
	}
	if err := write(s.managerDomain(disk)); err != nil {
		return nil, err
	}
	for _, g := range l.guests {
		if disk, err = s.disk(ctx, g.vtpm); err != nil {
			return nil, err
		}
		if err := write(s.vtpmDomain(g.vtpm, g.uuid, disk)); err != nil {
			return nil, err
		}
		if _, err := s.console(g.vtpm); err != nil {
			return nil, err
		}
	}
	r.Step("stubtpm-host measures and starts manager and %d vTPMs, and keeps them", guests)
	l.hostd, err = s.M.Dom0.Start(false, l.log.add, append([]string{hostCommand, "run", "-restart", "-measure", imageManifest, "-tell", hostKey}, configs...)...)
	if err != nil {
		return nil, err
	}
	for _, g := range l.guests {
		if err := l.log.await(ctx, 120*time.Second, 0, g.vtpm+": ready"); err != nil {
			return nil, fmt.Errorf("%s does not serve: %w\n%s\n%s", g.vtpm, err, l.log.tail(20), s.Since(g.vtpm))
		}
		if err := l.startGuest(ctx, g); err != nil {
			return nil, err
		}
	}
	return l, l.progress(ctx, "at first", l.guests)
}

// startGuest creates a guest and starts its load.
func (l *Life) startGuest(ctx context.Context, g *lifeGuest) error {
	l.r.Step("%s: xl create", g.name)
	disk, err := l.disk(ctx, g.name)
	if err != nil {
		return err
	}
	config := lab.GuestConfigLine(g.name, guestMiB, "", fmt.Sprintf("disk = [\"%s,raw,xvda,rw\"]", disk),
		fmt.Sprintf("vtpm = [\"backend=%s,uuid=%s\"]", g.vtpm, g.uuid))
	config = strings.Replace(config, `on_reboot = "destroy"`, `on_reboot = "restart"`, 1)
	// Its vTPM may still be starting.
	for end := time.Now().Add(60 * time.Second); ; {
		if err = l.M.Create(ctx, g.name, config); err == nil {
			break
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return err
		}
		l.M.Destroy(ctx, g.name)
		time.Sleep(time.Second)
	}
	return l.startLoad(ctx, g)
}

// loadPause returns the pause between two rounds of a guest's load, which are four
// commands each. It grows with the number of guests, because the single processor must
// also restart the domains that are destroyed.
func (l *Life) loadPause() time.Duration {
	return time.Duration(len(l.guests)) * 300 * time.Millisecond
}

// bootLimit is the time limit for a guest to boot. Alone on the host it takes ten
// seconds, among others up to a minute and a half.
const bootLimit = 240 * time.Second

func (l *Life) startLoad(ctx context.Context, g *lifeGuest) error {
	a, err := l.M.ConnectGuest(ctx, g.name, bootLimit)
	if err != nil {
		return err
	}
	if g.load == nil {
		g.load = &loadLog{name: g.name}
	}
	return g.load.start(a, l.loadPause())
}

// recoveryLimit is how long a guest may be without responses. Linux's driver waits two
// minutes for the response to a command that was in progress when its vTPM ended.
const recoveryLimit = 240 * time.Second

// progress waits until each guest has received further responses, and checks that none
// contradicts an earlier one.
func (l *Life) progress(ctx context.Context, when string, guests []*lifeGuest) error {
	ctx, cancel := context.WithTimeout(ctx, recoveryLimit)
	defer cancel()
	for _, g := range guests {
		if err := g.load.await(ctx, 2); err != nil {
			list, _ := l.M.Dom0.Run(context.WithoutCancel(ctx), "xl list; xenstore-ls -f | grep vtpm")
			return fmt.Errorf("%s: %s: %w\nstubtpm-host:\n%s\n%s\n%s:\n%s\nmanager:\n%s", when, g.name, err, l.log.tail(20), list, g.vtpm, last(l.Since(g.vtpm), 12), last(l.Since(managerName), 12))
		}
	}
	return nil
}

// Situation describes the host for the message of a failure: the processor time of each
// domain within three seconds, and the processes and domains in dom0.
func (l *Life) Situation(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 60*time.Second)
	defer cancel()
	out, err := l.M.Dom0.Run(ctx, `xl vcpu-list; sleep 3; xl vcpu-list; xl info | grep free_memory; free -m; df -m; ps
dmesg | tail -n 15; xl dmesg | tail -n 15; tail -n 30 /var/log/xen/xl-*.log
for f in /var/log/xen/console/guest-guest*.log; do echo "$f"; tail -n 5 $f; done; xenstore-ls -f | grep -e console -e vtpm`)
	if err != nil {
		out += err.Error()
	}
	return out + "\nstubtpm-host:\n" + l.log.tail(20)
}

func last(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Reboot makes the first guest reboot itself. That must reset its TPM as a reset of a
// machine does, without loss of persistent data. While the guest has no load, it uses
// its TPM through guestbridge.
func (l *Life) Reboot(ctx context.Context) error {
	g := l.guests[0]
	l.r.Step("%s reboots itself", g.name)
	read := func() (pcr, resets string, err error) {
		out, err := g.load.agent().Run(ctx, "export TPM2TOOLS_TCTI=device:/dev/tpm0\ntpm2_pcrread sha256:9 | grep '9 :'; tpm2_readclock | grep reset_count")
		pcr, resets, _ = strings.Cut(strings.TrimSpace(out), "\n")
		return strings.TrimSpace(pcr), strings.TrimSpace(resets), err
	}
	if err := g.load.stop(ctx); err != nil {
		return err
	}
	if _, err := g.load.agent().Run(ctx, "TPM2TOOLS_TCTI=device:/dev/tpm0 tpm2_pcrextend 9:sha256=$(printf x | sha256sum | cut -c1-64)"); err != nil {
		return err
	}
	pcr, resets, err := read()
	if err != nil {
		return err
	}
	before, err := l.domid(ctx, g.name)
	if err != nil {
		return err
	}
	if _, err := g.load.agent().Start(false, nil, "/bin/sh", "-c", "echo b > /proc/sysrq-trigger"); err != nil {
		return err
	}
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if id, err := l.domid(ctx, g.name); err == nil && id != before {
			break
		}
		if time.Now().After(end) {
			return errors.New("xl does not start the guest again")
		}
	}
	if err := l.startLoad(ctx, g); err != nil {
		return err
	}
	if err := l.progress(ctx, "after a reboot", l.guests[:1]); err != nil {
		return err
	}
	if err := g.load.stop(ctx); err != nil {
		return err
	}
	pcr2, resets2, err := read()
	if err != nil {
		return err
	}
	zero := "9 : 0x" + strings.Repeat("0", 64)
	check(l.r, "a guest's reboot sets its PCRs back", pcr != zero && pcr2 == zero, "PCR 9 was %q, is %q", pcr, pcr2)
	check(l.r, "a guest's reboot counts as a reset of its TPM", resets != resets2, "%q, then %q", resets, resets2)
	if err := l.bridge(ctx, g); err != nil {
		return err
	}
	return g.load.start(g.load.agent(), l.loadPause())
}

// What may be destroyed.
const (
	killManager = "manager"
	killVTPM    = "vTPM"
	killGuest   = "guest"
)

// kill destroys a domain like a crash, and returns the time until that domain, and its
// guest if it has one, works again with all acknowledged data.
func (l *Life) kill(ctx context.Context, kind string, g *lifeGuest) (time.Duration, error) {
	name := managerName
	if g != nil {
		name = map[string]string{killVTPM: g.vtpm, killGuest: g.name}[kind]
		g.load.mark()
		if kind == killVTPM {
			g.starting.Store(true)
			defer g.starting.Store(false)
		}
	}
	from := l.log.length()
	l.r.Step("xl destroy %s", name)
	start := time.Now()
	if err := l.M.Destroy(ctx, name); err != nil {
		return 0, err
	}
	if kind == killGuest {
		if err := l.startGuest(ctx, g); err != nil {
			return 0, err
		}
	} else if err := l.log.await(ctx, recoveryLimit, from, name+": ready"); err != nil {
		return 0, fmt.Errorf("%s is not started again: %w\n%s", name, err, l.log.tail(20))
	}
	if kind == killVTPM {
		g.starting.Store(false)
		// The guest's load reports that it noticed.
		if err := g.load.awaitFound(ctx, recoveryLimit); err != nil {
			return 0, fmt.Errorf("%s after the end of its vTPM: %w\n%s", g.name, err, l.log.tail(20))
		}
	}
	if g != nil {
		if err := l.progress(ctx, "after xl destroy "+name, []*lifeGuest{g}); err != nil {
			return 0, err
		}
	}
	took := time.Since(start)
	for _, x := range l.guests {
		if err := x.load.err(); err != nil {
			return 0, err
		}
	}
	return took, nil
}

// A lane is a sequence of kills that runs in parallel with others: one for the manager,
// and one for each guest and its vTPM.
type lane struct {
	guest *lifeGuest
	kinds []string
	rand  *rand.Rand
}

// lanes distributes a number of kills, a third of each kind.
func (l *Life) lanes(times int) []lane {
	all := []lane{{}}
	for _, g := range l.guests {
		all = append(all, lane{guest: g})
	}
	for i := range times {
		kind, to := []string{killManager, killVTPM, killGuest}[i%3], 0
		if kind != killManager {
			to = 1 + (i/3)%len(l.guests)
		}
		all[to].kinds = append(all[to].kinds, kind)
	}
	for i := range all {
		k := all[i].kinds
		all[i].rand = rand.New(rand.NewPCG(l.rand.Uint64(), 0))
		all[i].rand.Shuffle(len(k), func(i, j int) { k[i], k[j] = k[j], k[i] })
	}
	return all
}

func (l *Life) anyStarting() bool {
	return slices.ContainsFunc(l.guests, func(g *lifeGuest) bool { return g.starting.Load() })
}

// Campaign destroys domains of every kind, a number of times in all, in random order and
// while others restart. It claims that no acknowledged data is lost.
func (l *Life) Campaign(ctx context.Context, times int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	took, done := map[string][]time.Duration{}, 0
	var failed error
	var wait sync.WaitGroup
	for _, lane := range l.lanes(times) {
		wait.Go(func() {
			for i, kind := range lane.kinds {
				// At any moment of a round, and the manager during the restarts
				// of the others.
				pause := time.Duration(lane.rand.IntN(1500)) * time.Millisecond
				if kind == killManager {
					pause = time.Duration(10000+lane.rand.IntN(30000)) * time.Millisecond
				}
				err := sleep(ctx, pause)
				// Every second time, leave the manager running until the vTPMs
				// serve: otherwise they might never.
				for kind == killManager && i%2 == 1 && err == nil && l.anyStarting() {
					err = sleep(ctx, 100*time.Millisecond)
				}
				var d time.Duration
				if err == nil {
					d, err = l.kill(ctx, kind, lane.guest)
				}
				mu.Lock()
				if err != nil {
					if failed == nil {
						failed = err
					}
					mu.Unlock()
					cancel()
					return
				}
				done++
				took[kind] = append(took[kind], d)
				l.r.Step("%d of %d: a %s is back with what was answered, %.1f s", done, times, kind, d.Seconds())
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if failed == nil {
		failed = l.progress(ctx, "at the end", l.guests)
	}
	if failed != nil {
		check(l.r, fmt.Sprintf("after %d of %d kills, all come back with what was answered", done, times), false, "%v", failed)
		return ErrClaims
	}
	var answers uint64
	for _, g := range l.guests {
		answers += g.load.answers()
	}
	check(l.r, fmt.Sprintf("after %d kills of manager, vTPMs and guests in random order, all came back with what was answered (%d answers)", times, answers), true, "")
	for _, kind := range []string{killManager, killVTPM, killGuest} {
		if d := took[kind]; len(d) > 0 {
			slices.Sort(d)
			l.r.Show("campaign", fmt.Sprintf("%d times xl destroy %s", len(d), kind),
				fmt.Sprintf("back after: median %.1f s, least %.1f s, most %.1f s", d[len(d)/2].Seconds(), d[0].Seconds(), d[len(d)-1].Seconds()))
		}
	}
	return nil
}

// Close stops stubtpm-host. Its domains keep running.
func (l *Life) Close() {
	if l.hostd != nil {
		l.hostd.Kill()
	}
}

// A lineLog keeps the output of a program.
type lineLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lineLog) add(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
}

// await waits for a text at offset from or after it.
func (l *lineLog) await(ctx context.Context, limit time.Duration, from int, text string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		l.mu.Lock()
		all := l.text.String()
		l.mu.Unlock()
		if strings.Contains(all[from:], text) {
			return nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("stubtpm-host does not say %q: %w", text, err)
		}
	}
}

// length returns the number of bytes so far.
func (l *lineLog) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Len()
}

func (l *lineLog) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return last(strings.TrimSpace(l.text.String()), n)
}
