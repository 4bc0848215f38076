package ledger

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"stubtpm/drivers/block/blocktest"
)

// A slowChip takes a chip's time, by the clock of a bubble.
type slowChip struct{ *chip }

func (c *slowChip) Extend(d [32]byte) error {
	time.Sleep(40 * time.Millisecond)
	return c.chip.Extend(d)
}

func (c *slowChip) Link(d [32]byte) error {
	time.Sleep(20 * time.Millisecond)
	return c.chip.Link(d)
}

// TestYears plays a host's years by a clock of its own, in steps of ten minutes:
// 1,000 vTPMs with idle guests, which save Clock every 70 minutes; ten that write in
// each step; two that fail authorizations as often as they may; some orders; a
// crash of the manager each day, a restart each week, a reset of the host each
// month, a loss of power each quarter, and a manager that crashes 1,000 times in a row
// each year. What is written into the chip stays within the budget, and the disk is the right
// one after all of it. STUBTPM_YEARS says how many years; without it, it is a tenth of one.
func TestYears(t *testing.T) {
	t.Parallel()
	years := 0.1
	if s := os.Getenv("STUBTPM_YEARS"); s != "" {
		var err error
		if years, err = strconv.ParseFloat(s, 64); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		years = 0.01
	}
	synctest.Test(t, func(t *testing.T) {
		const step = 10 * time.Minute
		mode := Budget(DefaultEndurance, DefaultYears)
		d, c := blocktest.NewMem(2<<20), &chip{}
		cfg := quiet(d, &slowChip{c}, mode)
		s, err := Format(cfg)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 1))
		put := func(class Class, changes ...Change) {
			if err := s.CommitAs(class, changes...); err != nil {
				t.Fatal(err)
			}
		}
		crash := func() {
			if s.timer != nil {
				s.timer.Stop()
			}
		}
		start := func() {
			if s, err = Open(cfg); err != nil {
				t.Fatal(err)
			}
			put(Class{Urgency: Idle}, Change{id(5000), body(1, 1)})
		}
		steps := int(years * daysPerYear * float64(day/step))
		every := func(i int, d time.Duration) bool { return i > 0 && i%int(d/step) == 0 }
		idle, commits := 0, 0
		var longest time.Duration
		for i := range steps {
			var changes []Change
			for range 1000 * step / (70 * time.Minute) {
				changes = append(changes, Change{id(idle % 1000), body(idle, i)})
				idle++
			}
			put(Class{Urgency: Idle}, changes...)
			for w := range 10 {
				put(Class{Source: id(1000 + w)}, Change{id(1000 + w), body(w, i)})
			}
			for a := range 2 {
				for range 5 {
					put(Class{Urgency: Urgent, Source: id(2000 + a)}, Change{id(2000 + a), body(a, i)})
				}
			}
			if r.IntN(144) == 0 {
				put(Class{Urgency: Urgent}, Change{id(3000), body(0, i)})
			}
			commits += len(changes) + 20
			if w := s.Wear(); w.Loose > 0 {
				longest = max(longest, time.Since(w.Since))
			}
			switch {
			case every(i, 365*day):
				for range 1000 {
					crash()
					start()
				}
			case every(i, 91*day):
				crash()
				c.reset()
				start()
			case every(i, 30*day):
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				c.reset()
				start()
			case every(i, 7*day):
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				start()
			case every(i, day):
				crash()
				start()
			}
			time.Sleep(step - time.Duration(time.Now().UnixNano())%step)
		}
		want := len(contents(s))
		crash()
		start()
		if n := len(contents(s)); n < want || len(s.Damaged()) > 0 {
			t.Errorf("%d items, were %d; %d damaged", n, want, len(s.Damaged()))
		}
		perYear := float64(c.n) / years
		t.Logf("%.2f years: %d commits, %d NV writes (%.0f in 5 years), %d links; the longest time without a checkpoint was %v",
			years, commits, c.n, 5*perYear, c.links, longest.Round(time.Second))
		if longest > 3*day/time.Duration(mode.Daily)+step {
			t.Errorf("%v without a checkpoint", longest)
		}
		allowed := float64(mode.Daily) * (years*daysPerYear + 2) // what was there at the beginning, too
		if float64(c.n) > allowed {
			t.Errorf("%d NV writes, and the budget is %.0f", c.n, allowed)
		}
		if years >= 5 && c.n >= DefaultEndurance {
			t.Errorf("%d NV writes in %.1f years", c.n, years)
		}
		if uint64(c.n) != s.Wear().Writes {
			t.Errorf("the ledger counted %d writes of %d", s.Wear().Writes, c.n)
		}
	})
}
