package ledger

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"stubtpm/drivers/block/blocktest"
)

// window is the longest time of which a loss of power takes commits back (docs/ledger-format.md).
const window = 3*day/testDaily + checkpointDelay

// crash ends a store of a bubble without an orderly end.
func crash(s *Store) {
	synctest.Wait()
	if s.timer != nil {
		s.timer.Stop()
	}
}

// TestCrashesDelayNoCheckpoint: a manager that crashes more often than a checkpoint waits for
// further commits makes one all the same.
func TestCrashesDelayNoCheckpoint(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{10 * time.Second, 4 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s, d, c := budgeted(t)
			for n := 0; n < int(4*time.Hour/every); n++ {
				if err := s.CommitAs(Class{Source: id(3)}, Change{id(3), body(3, n)}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(every)
				crash(s)
				s = open(t, quiet(d, c, budget))
				if err := s.CommitAs(Class{Urgency: Idle}, Change{id(4), body(4, n)}); err != nil {
					t.Fatal(err)
				}
				if w := s.Wear(); time.Since(w.Since) > window+every {
					t.Fatalf("a crash each %v: no checkpoint for %v, with credit %.1f", every, time.Since(w.Since), w.Credit)
				}
			}
			if c.n > 2*testDaily {
				t.Errorf("a crash each %v: %d NV writes in four hours", every, c.n)
			}
			old := bytes.Clone(d.Data)
			for n := range int(window/every) + 2 {
				if err := s.CommitAs(Class{Source: id(3)}, Change{id(3), body(3, n)}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(every)
			}
			crash(s)
			c.reset()
			if _, err := Open(quiet(&blocktest.Mem{Data: old}, c, budget)); err == nil {
				t.Errorf("a crash each %v: a disk that is older than the window is taken after a loss of power", every)
			}
			crash(s)
		})
	}
}

// TestStartsAndEnds: starts and orderly ends with nothing between but the entry of the start
// wear nothing, and one commit of a vTPM between makes the end a checkpoint.
func TestStartsAndEnds(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]ID{"the manager's": {}, "a vTPM's": id(7)} {
		for _, crashes := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s, d, c := budgeted(t)
				c.n = 0
				for n := range 200 {
					time.Sleep(time.Minute)
					if err := s.CommitAs(Class{Urgency: Idle}, Change{id(4), body(4, n)}); err != nil {
						t.Fatal(err)
					}
					if err := s.CommitAs(Class{Urgency: Idle, Source: source}, Change{id(5), body(5, n)}); err != nil {
						t.Fatal(err)
					}
					if n%2 == 1 || !crashes {
						if err := s.Close(); err != nil {
							t.Fatal(err)
						}
						if got := s.Wear(); source != (ID{}) && got.Loose != 0 {
							t.Fatalf("%s idle commit: %d commits are loose after an orderly end", name, got.Loose)
						}
					} else {
						crash(s)
					}
					s = open(t, quiet(d, c, budget))
				}
				switch ends := 200 >> map[bool]int{true: 1}[crashes]; {
				case source == (ID{}) && c.n != 0:
					t.Errorf("%d NV writes by 200 starts and ends", c.n)
				case source != (ID{}) && c.n != ends:
					t.Errorf("%d NV writes by %d orderly ends after a vTPM's commit", c.n, ends)
				}
				crash(s)
			})
		}
	}
}

// TestCheckpointCutOff: the root of a checkpoint that was not made does not say that nothing is
// loose: the next orderly end covers it.
func TestCheckpointCutOff(t *testing.T) {
	t.Parallel()
	s, d, c := budgeted(t)
	old := bytes.Clone(d.Data)
	commit(t, s, Change{id(1), body(1, 1)})
	c.hook = func(bool) (bool, error) { return false, errors.New("no power") }
	if err := s.CommitAs(Class{Urgency: Urgent}, Change{id(1), body(1, 2)}); err == nil {
		t.Fatal("committed")
	}
	c.hook = nil
	c.reset()
	s = open(t, quiet(d, c, budget))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(quiet(&blocktest.Mem{Data: old}, c, budget)); err == nil {
		t.Error("over an orderly end, a disk of before an answered commit is taken")
	}
}
