package service

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// The campaign on an administrator's orders: at every step of one an accident.
// Afterwards the order was carried out or it was not, and if it was answered it
// was; given again it works; and the vTPM is served if it is to be, as it was.

// A campaignOrder is one of them. Done and not done is what the vTPM's next
// start returns.
type campaignOrder struct {
	name          string
	run           func(c *proto.Client) error
	again         error // of the order if it was carried out before
	done, notDone error
}

// campaignOrders makes them for one vTPM, whose backup is of the image that is there.
func campaignOrders(backup []byte) []campaignOrder {
	u := campaignUUID
	restore := func(c *proto.Client) error { _, _, err := c.Restore(backup); return err }
	return []campaignOrder{
		{"suspend", func(c *proto.Client) error { return c.Suspend(u) }, nil, proto.Suspended, nil},
		{"resume", func(c *proto.Client) error { return c.Resume(u) }, nil, nil, proto.Suspended},
		{"amend: another image", func(c *proto.Client) error {
			return c.Amend(&proto.Enrollment{UUID: u, Image: [32]byte{1}})
		}, nil, proto.NotMeasured, nil},
		{"restore of a backup", restore, nil, nil, statedisk.ErrStale},
		{"destroy", func(c *proto.Client) error { return c.Destroy(u) }, proto.NotEnrolled, proto.NotEnrolled, nil},
	}
}

// ordered gives an order on a connection of its own.
func (m *realManager) ordered(run func(c *proto.Client) error) error {
	s, err := m.Open(vtpmmgr.Peer{})
	if err != nil {
		return err
	}
	defer s.Close()
	return run(&proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }, Key: testAdmin})
}

// An orderRun is one order on a machine that has had others.
type orderRun struct {
	*testing.T
	order   campaignOrder
	mode    ledger.Mode
	base    *snapshot
	seen    string // by the guest, where it is served
	classes map[string]int
}

// manage starts the manager of a machine, not its vTPM.
func (r *orderRun) manage(s *snapshot, p *plan) (*computer, *realManager, error) {
	c, err := s.computer(p, func(b []byte) (silicon, error) { return newOwn(b) }, r.mode, func(string, ...any) {})
	if err != nil {
		return nil, nil, err
	}
	if c.manager, err = openManager(c.chip, c.mgr, c.mode, c.log); err != nil {
		return c, nil, err
	}
	return c, c.manager.(*realManager), nil
}

// started says what becomes of the vTPM's start, and checks what it serves.
func (r *orderRun) started(c *computer, m *realManager) error {
	err := c.bootVTPM()
	if err == nil {
		var seen string
		if seen, err = observe(c.guest()); err == nil && seen != r.seen {
			err = fmt.Errorf("serves\n%s\nand not\n%s", seen, r.seen)
		}
	}
	if s := m.last[campaignUUID]; s != nil {
		s.Close()
	}
	return err
}

// is is errors.Is, for nil too.
func is(err, want error) bool { return err == want || want != nil && errors.Is(err, want) }

// accident gives the order with an accident at a step.
func (r *orderRun) accident(at int, f fate, how blocktest.Loss) (happened bool) {
	p := &plan{at: at, fate: f}
	c, m, err := r.manage(r.base, p)
	answered := false
	if err == nil {
		answered = m.ordered(r.order.run) == nil && !p.off
	}
	if !p.happened() {
		c.tpm()
		return false
	}
	class := fmt.Sprintf("%s: %v %s", r.order.name, f, p.events[at])
	if f == cutBefore || f == cutAfter {
		class += ", " + how.String()
	} else {
		p.mu.Lock()
		p.dead = false
		p.mu.Unlock()
		if !answered && m != nil { // in doubt: asked again, it is settled
			for range 2 {
				if err = m.ordered(r.order.run); err == nil || is(err, r.order.again) && err != nil {
					answered = true
					break
				}
			}
			if !answered {
				r.Errorf("%s: does not work when the TPM is back: %v", class, err)
			}
		}
	}
	r.classes[class]++
	s := c.cut(how, uint64(at))

	// What a start of the vTPM commits is not kept: the order comes first.
	look, m, err := r.manage(s, &plan{})
	if err != nil {
		r.Errorf("%s: the manager does not start: %v", class, err)
		return true
	}
	err = r.started(look, m)
	look.tpm()
	switch {
	case is(err, r.order.done):
		return true
	case answered || !is(err, r.order.notDone):
		r.Errorf("%s, answered %v: %v", class, answered, err)
		return true
	}
	c, m, err = r.manage(s, &plan{})
	if err == nil {
		err = m.ordered(r.order.run)
	}
	if err == nil {
		if err = r.started(c, m); is(err, r.order.done) {
			err = nil
		} else if err == nil {
			err = errors.New("it is as before")
		}
	}
	if err != nil {
		r.Errorf("%s: given again: %v", class, err)
	}
	c.tpm()
	return true
}

// TestCampaignOrders has an accident at every step of each order, and without
// STUBTPM_CAMPAIGN at a share of them.
func TestCampaignOrders(t *testing.T) {
	t.Parallel()
	for _, mode := range []ledger.Mode{{}, {Daily: 54}} {
		t.Run(mode.String(), func(t *testing.T) { campaignOfOrders(t, mode) })
	}
}

func campaignOfOrders(t *testing.T, mode ledger.Mode) {
	base := newSnapshot(t, func(b []byte) (silicon, error) { return newOwn(b) }, mode)
	r := &orderRun{T: t, mode: mode, base: base, classes: map[string]int{}}
	var backup []byte
	c, m, err := r.manage(base, &plan{})
	if err == nil {
		err = m.ordered(func(c *proto.Client) (err error) { backup, err = c.Backup(campaignUUID); return err })
	}
	if err == nil {
		err = c.bootVTPM()
	}
	if err == nil {
		r.seen, err = observe(c.guest())
	}
	if err == nil {
		err = guestCommands[0].run(c.guest(), 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	later := c.cut(blocktest.Keep, 0)
	old := &snapshot{later.tpm, later.manager, base.vtpm} // with the image of the backup

	stride := 11
	switch {
	case wholeCampaign(t) > 0:
		stride = 1
	case testing.Short():
		stride = 31
	}
	newest := r.seen
	if c, m, err = r.manage(later, &plan{}); err == nil {
		if err = c.bootVTPM(); err == nil {
			newest, err = observe(c.guest())
		}
		m.last[campaignUUID].Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	later = c.cut(blocktest.Keep, 0)
	backupSeen, total := r.seen, 0
	for _, o := range campaignOrders(backup) {
		r.order, r.base, r.seen = o, later, newest
		if is(statedisk.ErrStale, o.notDone) {
			r.base, r.seen = old, backupSeen
		}
		p := &plan{}
		c, m, err := r.manage(r.base, p)
		if err == nil && o.name == "resume" {
			if err = m.ordered(func(c *proto.Client) error { return c.Suspend(campaignUUID) }); err == nil {
				r.base = c.cut(blocktest.Keep, 0)
				p = &plan{}
				c, m, err = r.manage(r.base, p)
			}
		}
		if err == nil {
			err = m.ordered(o.run)
		}
		if err != nil {
			t.Fatalf("%s: %v", o.name, err)
		}
		if err := r.started(c, m); !is(err, o.done) {
			t.Fatalf("%s, no accident: %v", o.name, err)
		}
		events := slices.Clone(p.events)
		c.tpm()
		for at := 0; at < len(events); at += stride {
			for _, f := range fatesOf(events[at]) {
				for how := range blocktest.Losses {
					if how > 0 && f != cutBefore && f != cutAfter {
						break
					}
					if !r.accident(at, f, how) {
						break
					}
				}
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(r.classes)) {
		t.Logf("%5d  %s", r.classes[k], k)
		total += r.classes[k]
	}
	t.Logf("%5d  accidents", total)
	if total < 2000/stride {
		t.Error("too few")
	}
}
