package service

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// The campaign of suspended states: a vTPM goes on where it was suspended, its guest has its
// TPM do something, and it is suspended again, with an accident at each step. What is
// volatile is served once, and the last that was answered is there.

// Tokens of the two suspended states.
var (
	firstToken  = token{1}
	secondToken = token{2}
)

// open starts the vTPM of a machine whose manager runs.
func (c *computer) open() (o opened, err error) {
	execute, err := c.manager.connect(campaignUUID)
	if err != nil {
		return o, fmt.Errorf("session: %w", err)
	}
	client := &proto.Client{Transact: func(b []byte) ([]byte, error) { return execute(b), nil }}
	grant, err := client.Load()
	if err != nil {
		return o, fmt.Errorf("load: %w", err)
	}
	if o, err = openDevice(&Environment{Log: c.log}, c.img, client, &grant); err == nil && !o.resumed {
		err = startupClear(o.device)
	}
	return o, err
}

// boot starts a machine.
func (s *snapshot) boot(p *plan, mode ledger.Mode) (c *computer, o opened, err error) {
	c, err = s.computer(p, func(b []byte) (silicon, error) { return newOwn(b) }, mode, func(string, ...any) {})
	if err == nil {
		c.manager, err = openManager(c.chip, c.mgr, mode, c.log)
	}
	if err == nil {
		o, err = c.open()
	}
	return c, o, err
}

// startOnly starts a machine, and takes its power away as soon as the vTPM could serve. before
// is the manager's disk as it was when the manager had started, and not yet the vTPM.
func (s *snapshot) startOnly(mode ledger.Mode) (after *snapshot, before []byte, err error) {
	c, err := s.computer(&plan{}, func(b []byte) (silicon, error) { return newOwn(b) }, mode, func(string, ...any) {})
	if err != nil {
		return nil, nil, err
	}
	if c.manager, err = openManager(c.chip, c.mgr, mode, c.log); err != nil {
		return nil, nil, err
	}
	before = make([]byte, c.mgr.Size())
	if _, err = c.mgr.ReadAt(before, 0); err == nil {
		_, err = c.open()
	}
	return c.cut(blocktest.Keep, 0), before, err
}

// suspend ends the vTPM of a machine.
func (o *opened) suspend(t token) error {
	h := guestHandler{device: o.device, store: o.store}
	h.token.Store(&t)
	_, _, err := h.suspend()
	return err
}

// A suspendedLife is what became of one.
type suspendedLife struct {
	resumed bool // the first state was served
	changed bool // a command was answered since
	again   bool // the second state was committed
}

// live goes on from the first state, and suspends the second one.
func (s *suspendedLife) live(o *opened) error {
	s.resumed = o.resumed
	if err := guestCommands[0].run(hardware{o.device}, 0); err != nil {
		return err
	}
	s.changed = true
	if err := pcrEvent(o.device, 8, []byte("an event")); err != nil {
		return err
	}
	if err := o.suspend(secondToken); err != nil {
		return err
	}
	s.again = true
	return nil
}

// check returns what is wrong with a later start.
func (s *suspendedLife) check(o *opened) error {
	switch {
	case o.resumed && o.token == firstToken && s.resumed:
		return fmt.Errorf("what is volatile is served a second time")
	case o.resumed && o.token == firstToken && s.changed:
		return fmt.Errorf("an older state than what was answered")
	case s.again && (!o.resumed || o.token != secondToken):
		return fmt.Errorf("the state that was suspended is lost: resumed %v, %x", o.resumed, o.token[:1])
	}
	return nil
}

// TestCampaignSuspended has the accidents.
func TestCampaignSuspended(t *testing.T) {
	if !failFast() {
		t.Parallel()
	}
	for _, mode := range []ledger.Mode{{}, {Bounded: time.Hour}, {Daily: 54}} {
		t.Run(mode.String(), func(t *testing.T) {
			stride := 3
			if testing.Short() {
				stride = 41
			}
			if wholeCampaign(t) > 0 {
				stride = 1
			}
			campaignSuspended(t, mode, stride)
		})
	}
}

func campaignSuspended(t *testing.T, mode ledger.Mode, stride int) {
	r := rand.New(rand.NewPCG(3, 14))
	base := newSnapshot(t, func(b []byte) (silicon, error) { return newOwn(b) }, mode)
	c, o, err := base.boot(&plan{}, mode)
	if err == nil {
		err = pcrEvent(o.device, 8, []byte("the first one"))
	}
	if err == nil {
		err = o.suspend(firstToken)
	}
	if err != nil {
		t.Fatal(err)
	}
	base = c.cut(blocktest.Keep, 0)

	p := &plan{}
	c, o, err = base.boot(p, mode)
	var life suspendedLife
	if err == nil {
		err = life.live(&o)
	}
	if err != nil || !life.resumed {
		t.Fatalf("without an accident: resumed %v, %v", life.resumed, err)
	}
	events, now := p.events, c.cut(blocktest.Keep, 0)
	accidents, failures := 0, 0
	bad := func(format string, args ...any) {
		failures++
		if failures < 10 {
			t.Errorf(format, args...)
		}
	}
	// starts twice: the second start finds nothing to go on with.
	check := func(s *snapshot, life suspendedLife, class string) {
		accidents++
		for n := range 2 {
			c, o, err := s.boot(&plan{}, mode)
			switch {
			case err != nil:
				bad("campaign disk %s: does not start again: %v", class, err)
			case n == 0:
				if err := life.check(&o); err != nil {
					bad("campaign disk %s: %v", class, err)
				}
			case o.resumed:
				bad("campaign disk %s: used twice", class)
			}
			if c == nil {
				return
			}
			s = c.cut(blocktest.Keep, 0)
		}
	}
	for at := r.IntN(stride); at < len(events); at += stride {
		for _, f := range fatesOf(events[at]) {
			if failFast() && failures > 0 {
				break
			}
			p := &plan{at: at, fate: f}
			var life suspendedLife
			c, o, err := base.boot(p, mode)
			if err == nil {
				life.live(&o)
			}
			class := fmt.Sprintf("%v %s %d", f, events[at], at)
			if c == nil {
				t.Fatal(err)
			}
			if f != cutBefore && f != cutAfter {
				check(c.cut(blocktest.Keep, 0), life, class)
				continue
			}
			for how := range blocktest.Losses {
				check(c.cut(how, r.Uint64()), life, class+", "+how.String())
			}
		}
	}
	// Disks of before the start of the vTPM are put back, also when it has only started. A
	// bounded ledger may be taken back for a while.
	started, before, err := base.startOnly(mode)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*snapshot{{now.tpm, base.manager, now.vtpm}, {now.tpm, now.manager, base.vtpm}, {now.tpm, base.manager, base.vtpm},
		{started.tpm, before, started.vtpm}, {started.tpm, started.manager, base.vtpm}, {started.tpm, before, base.vtpm}} {
		if mode.Bounded != 0 {
			continue
		}
		accidents++
		c, o, err := s.boot(&plan{}, mode)
		if err == nil && o.resumed {
			bad("campaign disk: an old disk is taken, and what is volatile served again: %x", o.token[:1])
		}
		if c != nil {
			c.cut(blocktest.Keep, 0)
		}
	}
	t.Logf("%7d  accidents, %d failures; %d steps", accidents, failures, len(events))
	if accidents < 10 {
		t.Error("too few")
	}
}
