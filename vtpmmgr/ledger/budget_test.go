package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"stubtpm/drivers/block/blocktest"
)

const testDaily = 48 // a checkpoint each half hour

var budget = Mode{Daily: testDaily}

// budgeted is a new ledger in budget mode.
func budgeted(t *testing.T) (*Store, *blocktest.Mem, *chip) {
	d, c := blocktest.NewMem(testDisk), &chip{}
	s, err := Format(quiet(d, c, budget))
	if err != nil {
		t.Fatal(err)
	}
	return s, d, c
}

// TestBudgetChain counts what is written to the chip's NV memory: nothing by
// commits and by managers that crash, one for a start after a reset and
// for an orderly end.
func TestBudgetChain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, d, c := budgeted(t)
		writes := func(what string, want int) {
			t.Helper()
			if c.n != want {
				t.Fatalf("%s: %d NV writes, want %d", what, c.n, want)
			}
			c.n = 0
		}
		writes("format", 1)
		for n := range 100 {
			commit(t, s, Change{id(1), body(1, n)})
		}
		if writes("commits", 0); c.links != 100 {
			t.Fatalf("%d links for 100 commits", c.links)
		}
		for n := range 200 {
			s = open(t, quiet(d, c, budget))
			commit(t, s, Change{id(2), body(2, n)})
		}
		writes("200 crashes of the manager", 0)
		c.reset()
		s = open(t, quiet(d, c, budget))
		writes("a start alone", 0)
		commit(t, s, Change{id(1), body(1, 1)})
		commit(t, s, Change{id(1), body(1, 2)})
		writes("two commits after a reset", 1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		writes("an orderly end", 1)
		s = open(t, quiet(d, c, budget))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		writes("a start and an end with nothing between", 0)
	})
}

// TestBudgetUrgency is about when checkpoints are made.
func TestBudgetUrgency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _, c := budgeted(t)
		n, v := c.n, 0
		put := func(class Class) {
			t.Helper()
			v++
			if err := s.CommitAs(class, Change{id(1), body(1, v)}); err != nil {
				t.Fatal(err)
			}
		}
		writes := func(what string, want int) {
			t.Helper()
			synctest.Wait()
			if c.n-n != want {
				t.Fatalf("%s: %d NV writes, want %d", what, c.n-n, want)
			}
			n = c.n
		}
		for range 100 {
			put(Class{Urgency: Idle})
			time.Sleep(70 * time.Minute)
		}
		writes("idle", 0)
		put(Class{})
		writes("normal, at once", 0)
		if w := s.Wear(); w.Loose != 101 {
			t.Fatalf("%d commits could be taken back", w.Loose)
		}
		time.Sleep(checkpointDelay + time.Second)
		writes("normal", 1)
		if w := s.Wear(); w.Loose != 0 {
			t.Fatalf("%d commits could be taken back after a checkpoint", w.Loose)
		}
		put(Class{Urgency: Urgent})
		writes("order", 1)
		for range 10 {
			put(Class{Urgency: Urgent, Source: id(1)})
		}
		writes("one vTPM, ten times urgent", 2)
		put(Class{Urgency: Urgent, Source: id(2)})
		writes("another vTPM", 1)
		time.Sleep(checkpointDelay + time.Second)
		writes("what was refused", 0) // the other one's covered it

		// A day of all that can be asked for costs no more than two days' budget.
		for range 24 * 6 {
			put(Class{})
			for v := range 40 {
				put(Class{Urgency: Urgent, Source: id(100 + v)})
			}
			put(Class{Urgency: Urgent})
			time.Sleep(10 * time.Minute)
		}
		if spent := c.n - n; spent > 2*testDaily || spent < testDaily {
			t.Fatalf("a day of attack: %d NV writes", spent)
		}
		n = c.n
		// Whatever vTPMs ask for, what others commit waits for three intervals at most.
		time.Sleep(48 * time.Hour)
		var longest time.Duration
		for i := range 24 * 60 * 2 / 5 {
			put(Class{})
			for v := range 40 {
				if i%(12*12) == 0 { // twice a day all at once
					put(Class{Urgency: Urgent, Source: id(300 + v)})
				}
			}
			if w := s.Wear(); w.Loose > 0 {
				longest = max(longest, time.Since(w.Since))
			}
			time.Sleep(5 * time.Minute)
		}
		if longest > 3*day/testDaily+5*time.Minute {
			t.Errorf("%v without a checkpoint", longest)
		}
		n = c.n
		// vTPMs alone leave a quarter, for orders.
		time.Sleep(48 * time.Hour)
		n = c.n
		for range 24 * 6 * 2 {
			for v := range 40 {
				put(Class{Urgency: Urgent, Source: id(200 + v)})
			}
			time.Sleep(10 * time.Minute)
		}
		n = c.n
		for range testDaily/4 - 1 {
			put(Class{Urgency: Urgent})
		}
		writes("orders, when vTPMs have used up theirs", testDaily/4-1)
		if w := s.Wear(); w.PerDay() == 0 || w.Years(DefaultEndurance) < 2 || w.Writes != uint64(c.n) {
			t.Errorf("%+v, %d writes", w, c.n)
		}
	})
}

// TestBudgetWorn has the NV index fail for good: commits go on, a start after
// a reset does not.
func TestBudgetWorn(t *testing.T) {
	t.Parallel()
	s, d, c := budgeted(t)
	worn := &wornChip{chip: c}
	s.cfg.Anchor = worn
	commit(t, s, Change{id(1), body(1, 1)})
	if err := s.CommitAs(Class{Urgency: Urgent}, Change{id(1), body(1, 2)}); err != nil {
		t.Fatalf("an urgent commit, which can be linked: %v", err)
	}
	if w := s.Wear(); w.Loose != 2 && w.Loose != 3 || s.Health() == nil {
		t.Errorf("loose %d, health %v", w.Loose, s.Health())
	}
	s = open(t, quiet(d, worn, budget))
	commit(t, s, Change{id(1), body(1, 3)})
	c.reset()
	s = open(t, quiet(d, worn, budget))
	if err := s.Commit(Change{id(1), body(1, 4)}); err == nil || errors.Is(err, ErrInDoubt) {
		t.Errorf("after a reset: %v", err)
	}
}

// A wornChip takes no more writes of its NV memory.
type wornChip struct{ *chip }

func (c *wornChip) Extend([32]byte) error { return errChip }

// A life is a ledger in budget mode with all that an attacker kept of it.
type life struct {
	*testing.T
	rand *rand.Rand
	s    *Store
	d    *blocktest.Mem
	c    *chip
	kept []kept
	last int // version that was answered last
	v    int
}

// A kept disk is one of a moment.
type kept struct {
	disk    []byte
	version int      // that it shows
	value   [32]byte // of the NV index at that moment
	commits uint64   // sequence
}

func (l *life) keep() {
	l.kept = append(l.kept, kept{bytes.Clone(l.d.Data), l.last, l.c.value, l.s.Sequence()})
}

func (l *life) commit(c Class) {
	l.v++
	if err := l.s.CommitAs(c, Change{id(1), body(1, l.v)}); err != nil {
		l.Fatal(err)
	}
	l.last = l.v
	l.keep()
}

// show opens a disk and returns the version on it, -1 if it is refused.
func show(t *testing.T, disk []byte, c *chip) int {
	s, err := Open(quiet(&blocktest.Mem{Data: bytes.Clone(disk)}, c, budget))
	if err != nil {
		if !errors.Is(err, ErrRolledBack) {
			t.Fatal(err)
		}
		return -1
	}
	b, err := s.Get(id(1))
	if err != nil {
		return 0
	}
	return int(b[1]) | int(b[2])<<8
}

// attack puts every disk back, with the platform up and after a loss of power:
// up, only the last is taken; after a loss those of since the last checkpoint.
func (l *life) attack(when string) {
	taken := 0
	for n, k := range l.kept {
		if got := show(l.T, k.disk, l.c.kept(true)); got != -1 && (got != l.last || k.version != l.last) {
			l.Fatalf("%s, platform up: disk %d of %d is taken, with version %d, and the last is %d", when, n, len(l.kept), got, l.last)
		}
		lost := l.c.kept(false)
		// Those written since the last checkpoint, and the one that it was made of.
		got, may := show(l.T, k.disk, lost), k.value == l.c.value || k.commits == l.s.wear.mark
		if may && got != k.version || !may && got != -1 {
			l.Fatalf("%s, power lost: disk %d of %d shows %d; it may be taken: %v", when, n, len(l.kept), got, may)
		}
		if may && k.version != l.last {
			taken++
		}
	}
	if w := l.s.Wear(); uint64(taken) > w.Loose {
		l.Fatalf("%s: %d commits can be taken back, Wear says %d", when, taken, w.Loose)
	}
	if got := show(l.T, l.d.Data, l.c.kept(true)); got != l.last {
		l.Fatalf("%s: the right disk shows %d, want %d", when, got, l.last)
	}
	if got := show(l.T, l.d.Data, l.c.kept(false)); got != l.last {
		l.Fatalf("%s: the right disk after a loss of power shows %d, want %d", when, got, l.last)
	}
}

// TestBudgetOldDisks plays lives with crashes of the manager, resets of the
// platform and orderly ends, and puts every old disk back at each step. What may
// be taken back is computed: it is what has the NV index's present value.
func TestBudgetOldDisks(t *testing.T) {
	t.Parallel()
	lives := 30
	if testing.Short() {
		lives = 8
	}
	for n := range lives {
		synctest.Test(t, func(t *testing.T) {
			l := &life{T: t, rand: rand.New(rand.NewPCG(uint64(n), 7))}
			l.s, l.d, l.c = budgeted(t)
			l.keep()
			reopen := func() {
				if l.s.timer != nil {
					l.s.timer.Stop() // who crashed does nothing any more
				}
				var err error
				if l.s, err = Open(quiet(l.d, l.c, budget)); err != nil {
					t.Fatal(err)
				}
			}
			for step := range 30 {
				what := ""
				switch l.rand.IntN(12) {
				default:
					what = "commit"
					l.commit(Class{})
				case 6:
					what = "urgent commit"
					l.commit(Class{Urgency: Urgent})
				case 7:
					what = "crash of the manager"
					reopen()
					if !l.s.chainOpen { // the TPM was reset: to it that is a loss of power
						l.commit(Class{Urgency: Idle})
					}
				case 8:
					what = "loss of power"
					l.c.reset()
					reopen()
					l.commit(Class{Urgency: Idle}) // what a start commits
				case 9:
					what = "orderly end"
					if err := l.s.Close(); err != nil {
						t.Fatal(err)
					}
					for _, k := range l.kept {
						if got := show(t, k.disk, l.c.kept(false)); got != -1 && got != l.last {
							t.Fatalf("over an orderly end: version %d, and the last is %d", got, l.last)
						}
					}
					reopen()
				case 10:
					what = "orderly end, and loss of power"
					if err := l.s.Close(); err != nil {
						t.Fatal(err)
					}
					l.c.reset()
					reopen()
					l.commit(Class{Urgency: Idle})
				case 11:
					what = "the TPM alone is reset"
					l.c.reset()
				}
				if what == "the TPM alone is reset" {
					continue // what a start takes is looked at after the next commit
				}
				l.attack(fmt.Sprintf("life %d, step %d, %s", n, step, what))
				time.Sleep(time.Duration(l.rand.IntN(4)) * time.Minute)
				synctest.Wait()
			}
		})
	}
}

// TestBudgetReset resets the TPM at every command of a running ledger: each
// commit is answered and there, or is not and was not.
func TestBudgetReset(t *testing.T) {
	t.Parallel()
	for at := range 12 {
		s, d, c := budgeted(t)
		n := 0
		c.hook = func(extend bool) (bool, error) {
			if n++; n == at+1 {
				c.reset()
				return false, errReset
			}
			return true, nil
		}
		last := 0
		for v := 1; v < 8; v++ {
			err := s.CommitAs(Class{Urgency: Urgency(v % 2)}, Change{id(1), body(1, v)})
			if err != nil && !errors.Is(err, ErrResolved) {
				continue
			}
			last = v
			for _, power := range []bool{true, false} {
				if got := show(t, d.Data, c.kept(power)); got != last {
					t.Fatalf("reset at command %d, commit %d, platform up %v: %d", at, v, power, got)
				}
			}
		}
		if last != 7 {
			t.Errorf("reset at command %d: the last commit that was answered is %d", at, last)
		}
	}
}

// TestBudgetForeignLink has something else extend the PCR: the ledger stops,
// and opens again after a reset of the platform.
func TestBudgetForeignLink(t *testing.T) {
	t.Parallel()
	s, d, c := budgeted(t)
	commit(t, s, Change{id(1), body(1, 1)})
	c.pcr = extend(c.pcr, [32]byte{1})
	if got := show(t, d.Data, c.kept(true)); got != -1 {
		t.Fatalf("taken: %d", got)
	}
	if got := show(t, d.Data, c.kept(false)); got != 1 {
		t.Fatalf("after a reset: %d", got)
	}
	// A session that is lost lets the running one see it.
	c.hook = func(extend bool) (bool, error) {
		if extend {
			return false, errChip
		}
		return true, nil
	}
	if err := s.Commit(Change{id(1), body(1, 2)}); !errors.Is(err, ErrRolledBack) {
		t.Fatal(err)
	}
}

// TestReplayedChain extends the PCR after a reset as an earlier boot's chain did,
// before the manager starts: the chain is of no use once the start made its
// checkpoint, and before that takes back no more than the loss of power did.
func TestReplayedChain(t *testing.T) {
	t.Parallel()
	s, d, c := budgeted(t)
	var digests [][32]byte
	spy := &spyChip{chip: c, digests: &digests}
	s.cfg.Anchor = spy
	var disks [][]byte
	for v := 1; v < 5; v++ {
		commit(t, s, Change{id(1), body(1, v)})
		disks = append(disks, bytes.Clone(d.Data))
	}
	for n := range digests {
		evil := c.kept(false)
		for _, x := range digests[:n+1] {
			evil.pcr = extend(evil.pcr, x)
		}
		now := &blocktest.Mem{Data: bytes.Clone(d.Data)}
		m, err := Open(quiet(now, evil, budget))
		if err != nil {
			t.Fatal(err)
		}
		commit(t, m, Change{id(1), body(1, 9)})
		for i, disk := range disks {
			for _, power := range []bool{true, false} {
				if got := show(t, disk, evil.kept(power)); got != -1 {
					t.Fatalf("chain of %d played again, disk %d: version %d is taken", n+1, i, got)
				}
			}
		}
	}
}

type spyChip struct {
	*chip
	digests *[][32]byte
}

func (c *spyChip) Link(d [32]byte) error {
	*c.digests = append(*c.digests, d)
	return c.chip.Link(d)
}

// TestBudgetKept has many vTPMs ask for all that they may, in the least budgets:
// an order is a checkpoint at once all the same.
func TestBudgetKept(t *testing.T) {
	t.Parallel()
	for daily := minDaily; daily < 12; daily++ {
		synctest.Test(t, func(t *testing.T) {
			d, c := blocktest.NewMem(testDisk), &chip{}
			s, err := Format(quiet(d, c, Mode{Daily: daily}))
			if err != nil {
				t.Fatal(err)
			}
			for v := range 4 * daily {
				if err := s.CommitAs(Class{Urgency: Urgent, Source: id(10 + v)}, Change{id(1), body(1, v)}); err != nil {
					t.Fatal(err)
				}
			}
			n := c.n
			if err := s.CommitAs(Class{Urgency: Urgent}, Change{id(1), body(2, 0)}); err != nil {
				t.Fatal(err)
			}
			if c.n != n+1 {
				t.Errorf("budget of %d: an order is no checkpoint", daily)
			}
			s.Close()
		})
	}
}
