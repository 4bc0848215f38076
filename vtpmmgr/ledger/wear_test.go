package ledger

import (
	"testing"
	"testing/synctest"
	"time"

	"stubtpm/drivers/block/blocktest"
)

// TestWearAfterMove: the figures are those of the NV index in use, also where the one before
// it is worn out.
func TestWearAfterMove(t *testing.T) {
	t.Parallel()
	s, d, _ := budgeted(t)
	s.wear.writes, s.wear.today = DefaultEndurance, 500
	if err := s.CommitAs(Class{Urgency: Urgent}, Change{id(1), body(1, 1)}); err != nil {
		t.Fatal(err)
	}
	n := &chip{value: [32]byte{9}}
	next, err := Move(quiet(d, n, budget), 2)
	if err != nil {
		t.Fatal(err)
	}
	w := next.Wear()
	if w.Writes != uint64(n.n) || w.PerDay() != uint32(n.n) || w.Years(DefaultEndurance) < 1 {
		t.Errorf("the new index was written %d time(s); Wear says %+v", n.n, w)
	}
	again, err := Restore(quiet(&blocktest.Mem{Data: d.Data}, &chip{value: [32]byte{8}}, budget), 3)
	if err != nil {
		t.Fatal(err)
	}
	if w := again.Wear(); w.Writes != uint64(n.n)+1 {
		t.Errorf("restored with the same index: %d writes after %d", w.Writes, n.n)
	}
}

// TestClockBack sets the clock forward and back: what it gave is not given again, a day's
// writes are not forgotten, and no commit waits for longer than it should.
func TestClockBack(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	for _, by := range []time.Duration{time.Second, time.Hour, day} {
		w, spent := wear{}, 0
		w.advance(now, testDaily)
		w.credit = 0
		for range 100 {
			w.advance(now.Add(by), testDaily)
			for w.credit >= oneWrite {
				w.spend(1, now)
				spent++
			}
			w.advance(now, testDaily)
		}
		if spent > testDaily {
			t.Errorf("%d writes by a clock that goes %v forward and back, and a day's are %d", spent, by, testDaily)
		}
	}
	for _, back := range []time.Duration{day, 3 * day} {
		w := wear{}
		w.advance(now, testDaily)
		for i := range 500 {
			w.spend(uint64(i), now)
		}
		w.advance(now.Add(-back), testDaily)
		if v := (&Wear{Today: w.today, Yesterday: w.yesterday}); v.PerDay() < 500 {
			t.Errorf("500 writes are forgotten once the clock is set back by %v", back)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s, d, c := budgeted(t)
		time.Sleep(time.Hour)
		commit(t, s, Change{id(1), body(1, 1)})
		// As if the clock had been a year ahead.
		for _, at := range []*int64{&s.wear.markTime, &s.wear.counted, &s.wear.since} {
			*at += 365 * day.Milliseconds()
		}
		s.wear.credit = fullCredit(testDaily) / 4
		if err := s.CommitAs(Class{Urgency: Idle}, Change{id(1), body(1, 2)}); err != nil {
			t.Fatal(err)
		}
		crash(s)
		s = open(t, quiet(d, c, budget))
		n, begin := c.n, time.Now()
		commit(t, s, Change{id(1), body(1, 3)})
		for c.n == n && time.Since(begin) < 30*day {
			time.Sleep(time.Minute)
		}
		if time.Since(begin) > window {
			t.Errorf("a commit waited for %v after the clock was a year ahead", time.Since(begin))
		}
	})
}
