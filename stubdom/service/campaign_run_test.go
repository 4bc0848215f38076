package service

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
)

// A campaign is a stream of guest commands, each of them run again and again
// with an accident at another step.
type campaign struct {
	t       *testing.T
	rand    *rand.Rand
	mode    ledger.Mode
	make    maker
	again   int // so many-th start after an accident has one too
	starts  int
	classes map[string]int
	wrong   []string
	stride  int           // of the steps, only so many-th is taken
	until   time.Time     // zero: no end
	limit   int           // stop after so many failures
	base    *snapshot     // machine before the command, without power
	before  string        // what the guest sees before the command
	after   string        // and after it
	resets  uint32        // resetCount before
	old     *snapshot     // machine of before the last command
	what    string        // which command it is
	command *guestCommand // the command
	n       int           // its number
}

func (c *campaign) bad(class, format string, a ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf("%s, %s: ", c.what, class)+fmt.Sprintf(format, a...))
}

func (c *campaign) full() bool {
	return c.limit > 0 && len(c.wrong) >= c.limit || !c.until.IsZero() && time.Now().After(c.until)
}

// start boots a machine from a snapshot.
func (c *campaign) start(s *snapshot, p *plan) (*computer, error) {
	m, err := s.computer(p, c.make, c.mode, func(string, ...any) {})
	if err != nil {
		return nil, err
	}
	return m, m.boot()
}

// command runs one command without an accident, then with one at each step.
func (c *campaign) runCommand() {
	c.what = fmt.Sprintf("command %d, %s", c.n, c.command.name)
	p := &plan{}
	m, err := c.start(c.base, p)
	if err == nil {
		c.resets, err = resetCount(m.guest())
	}
	if err == nil {
		c.before, err = observe(m.guest())
	}
	if err == nil {
		err = c.command.run(m.guest(), c.n)
	}
	events := slices.Clone(p.events)
	if err == nil {
		c.after, err = observe(m.guest())
	}
	if err == nil && c.after == c.before {
		err = fmt.Errorf("changes nothing: %s", c.after)
	}
	if err != nil {
		c.bad("no accident", "%v", err)
		return
	}
	next := m.cut(blocktest.Keep, 0)

	for at := c.rand.IntN(c.stride); at < len(events); at += c.stride {
		for _, f := range fatesOf(events[at]) {
			if c.full() {
				return
			}
			c.accident(at, f)
		}
	}
	c.putBack(next)
	c.old, c.base = c.base, next
}

// accident runs the command with one.
func (c *campaign) accident(at int, f fate) {
	p := &plan{at: at, fate: f}
	m, err := c.start(c.base, p)
	answered := false
	if err == nil {
		answered = c.command.run(m.guest(), c.n) == nil && !p.off
	}
	defer func() {
		if m != nil {
			m.tpm()
		}
	}()
	if !p.happened() {
		if err != nil {
			c.bad(f.String(), "%v", err)
		}
		return // the machine took another way than the first time
	}
	class := fmt.Sprintf("%v %s", f, p.events[at])
	if f != cutBefore && f != cutAfter {
		c.lives(m, class, err, answered)
		return
	}
	for how := range blocktest.Losses {
		c.classes[class+", "+how.String()]++
		c.check(m.cut(how, c.rand.Uint64()), class+", "+how.String(), answered)
	}
}

// lives goes on after an accident of the TPM only.
func (c *campaign) lives(m *computer, class string, err error, answered bool) {
	c.classes[class]++
	m.plan.mu.Lock()
	m.plan.dead = false
	m.plan.mu.Unlock()
	if err != nil {
		// It did not start: then it starts now.
		c.check(m.cut(blocktest.Keep, 0), class, false)
		return
	}
	seen, err := observe(m.guest())
	if err != nil {
		c.bad(class, "looked at afterwards: %v", err)
		return
	}
	if seen != c.after && (answered || seen != c.before) {
		c.bad(class, "answered: %v, and serves\n%s", answered, seen)
	}
	// A count of failed tries that could not be saved is in memory until the next
	// save: nobody was answered, and a cut may take it back.
	saved := answered || seen == c.before || !c.command.counts
	if !answered {
		// The TPM is back: what failed works now.
		if seen == c.before {
			if err := c.command.run(m.guest(), c.n); err != nil {
				// In doubt, settled by this try: the next one works.
				if seen, _ = observe(m.guest()); seen == c.before {
					err = c.command.run(m.guest(), c.n)
				}
				if err != nil {
					c.bad(class, "does not work when the TPM is back: %v", err)
					return
				}
			}
		}
		if seen, err = observe(m.guest()); err != nil || seen != c.after {
			c.bad(class, "second try: %v\n%s", err, seen)
		}
	}
	c.check(m.cut(blocktest.Losses-1, c.rand.Uint64()), class, saved)
}

// classAgain are the accidents at the start after an accident.
const classAgain = "power cut again at the next start, any loss"

// check starts a machine after an accident and looks what it serves. If
// answered it has to be the state after the command.
func (c *campaign) check(s *snapshot, class string, answered bool) {
	if c.starts++; c.starts%c.again == 0 {
		// Power is lost again while the machine starts, or soon after.
		p := &plan{fate: cutBefore, at: c.rand.IntN(60)}
		if m, err := c.start(s, p); p.happened() {
			class += ", and again"
			c.classes[classAgain]++
			s = m.cut(blocktest.Loss(c.rand.IntN(int(blocktest.Losses))), c.rand.Uint64())
		} else if m.tpm(); err != nil {
			c.bad(class, "does not start again: %v", err)
			return
		}
	}
	m, err := c.start(s, &plan{})
	if m != nil {
		defer m.tpm()
	}
	if err != nil {
		c.bad(class, "does not start again: %v", err)
		return
	}
	seen, err := observe(m.guest())
	if err != nil {
		c.bad(class, "%v", err)
		return
	}
	if seen != c.after && (answered || seen != c.before) {
		c.bad(class, "answered: %v, and serves\n%s\nbefore it was\n%s\nafter\n%s", answered, seen, c.before, c.after)
	}
	// c.resets is what the first start after the base had, this is the first
	// too where the accident came before its Startup was saved.
	if n, err := resetCount(m.guest()); err != nil || n < c.resets || answered && n == c.resets {
		c.bad(class, "resetCount %d, was %d: %v", n, c.resets, err)
	}
}

// putBack starts machines with disks of before the command. A bounded ledger's
// take back what its mode says: there the disks are those of one command more
// ago, over which the anchor was extended since.
func (c *campaign) putBack(now *snapshot) {
	before := c.base
	if c.mode.Bounded != 0 {
		before = c.old
	}
	if before == nil || c.full() {
		return
	}
	for _, p := range []struct {
		name string
		s    *snapshot
	}{
		{"old disk of the manager put back", &snapshot{now.tpm, before.manager, now.vtpm}},
		{"old disk of the vTPM put back", &snapshot{now.tpm, now.manager, before.vtpm}},
		{"both old disks put back", &snapshot{now.tpm, before.manager, before.vtpm}},
	} {
		c.classes[p.name]++
		m, err := c.start(p.s, &plan{})
		if err == nil {
			seen, _ := observe(m.guest())
			c.bad(p.name, "is taken, and serves\n%s", seen)
		}
		if m != nil {
			m.tpm()
		}
	}
}

// run runs so many commands.
func (c *campaign) run(commands int) {
	for n := range commands {
		if c.full() {
			return
		}
		c.n = n + 2
		c.command = &guestCommands[(n+c.rand.IntN(2))%len(guestCommands)]
		c.runCommand()
	}
}

// report prints the classes and what was wrong.
func (c *campaign) report() (total int) {
	for _, k := range slices.Sorted(maps.Keys(c.classes)) {
		c.t.Logf("%7d  %s", c.classes[k], k)
		total += c.classes[k]
	}
	c.t.Logf("%7d  accidents, %d failures", total, len(c.wrong))
	for i, w := range c.wrong {
		if i == 10 {
			break
		}
		c.t.Error(w)
	}
	return total
}

// commands is how many commands a whole campaign has, 0 for a share of one:
// the environment variable STUBTPM_CAMPAIGN.
func wholeCampaign(t *testing.T) int {
	s := os.Getenv("STUBTPM_CAMPAIGN")
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// failFast reports whether -failfast is set, as TestMutations does, which needs
// one failure only: the campaigns then run one after another until the first.
func failFast() bool { return flag.Lookup("test.failfast").Value.String() == "true" }

func runCampaign(t *testing.T, make maker, mode ledger.Mode, commands, stride, atLeast int) {
	limit := 50
	if failFast() {
		limit = 1
	} else {
		t.Parallel()
	}
	c := &campaign{t: t, rand: rand.New(rand.NewPCG(1, 2)), classes: map[string]int{}, stride: stride, limit: limit, mode: mode, make: make, again: 4}
	c.base = newSnapshot(t, make, mode)
	c.run(commands)
	if n := c.report(); n < atLeast {
		t.Error("too few")
	}
}

// TestCampaign is the fault campaign: every step of so many commands as
// STUBTPM_CAMPAIGN says, and without it a share of the steps of a few.
func TestCampaign(t *testing.T) {
	if !failFast() {
		t.Parallel()
	}
	for _, mode := range []ledger.Mode{{}, {Bounded: time.Hour}, {Daily: 54}} {
		t.Run(mode.String(), func(t *testing.T) {
			commands, stride, atLeast := wholeCampaign(t), 1, 1000
			if commands == 0 {
				commands, stride, atLeast = len(guestCommands), 11, 300
				if testing.Short() {
					stride, atLeast = 101, 20
				}
			}
			runCampaign(t, func(b []byte) (silicon, error) { return newOwn(b) }, mode, commands, stride, atLeast)
		})
	}
}

// TestCampaignOtherMaker is a share of it with swtpm as the hardware TPM.
func TestCampaignOtherMaker(t *testing.T) {
	if _, err := exec.LookPath("swtpm"); err != nil {
		if testing.Short() {
			t.Skip("swtpm is not installed: the campaign was not run on another maker's TPM")
		}
		t.Fatal("swtpm is not installed: apt-get install swtpm, or go test -short")
	}
	t.Parallel()
	commands, stride := 2, 29
	switch n := wholeCampaign(t); {
	case n > 0:
		commands, stride = min(n, len(guestCommands)), 5
	case testing.Short():
		commands, stride = 1, 41
	}
	for _, mode := range []ledger.Mode{{}, {Daily: 54}} {
		t.Run(mode.String(), func(t *testing.T) {
			runCampaign(t, func(b []byte) (silicon, error) { return newSwtpm(t, b) }, mode, commands, stride, 8)
		})
	}
}
