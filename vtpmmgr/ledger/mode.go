package ledger

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Mode selects how commits are tied to the hardware TPM, and so how much
// somebody who puts back an old disk can take back. The zero Mode is strict:
// each commit is a checkpoint, a write of the NV index, before it is answered;
// nothing can be taken back, and the chip wears.
// docs/ledger-format.md compares the modes.
type Mode struct {
	// Bounded, if set, has a commit answered once it is on the disk, and
	// anchored at most so much later: what was answered in that time can be
	// taken back. It is at most MaxBounded.
	Bounded time.Duration

	// Daily, if set, is the budget: how many times a day the NV index may be
	// written. A commit is answered once a PCR was extended by it. Nothing can be
	// taken back before the platform is reset; after that what came after
	// the last checkpoint. It is at most MaxDaily.
	Daily int
}

// Limits of a Mode.
const (
	MaxBounded = time.Hour
	MaxDaily   = 100_000
)

// What a chip bears, and how long it should live, where the operator does not
// say.
const (
	DefaultEndurance = 100_000 // writes of an NV index
	DefaultYears     = 5
)

const daysPerYear = 365.25

// Budget returns the budget mode of a chip whose NV memory bears so many
// writes and which should last so many years.
func Budget(endurance int, years float64) Mode {
	n := float64(endurance) / (years * daysPerYear)
	return Mode{Daily: int(min(MaxDaily, max(minDaily, n)))}
}

// minDaily is the least budget: with less, orders would wait for days.
const minDaily = 4

func (m Mode) String() string {
	switch {
	case m.Daily != 0:
		return fmt.Sprintf("budget=%d", m.Daily)
	case m.Bounded != 0:
		return "bounded=" + m.Bounded.String()
	}
	return "strict"
}

// ParseMode reads a mode as words name it: strict, budget for that of the usual
// endurance and years, budget=N for N writes a day, or how much later commits are
// anchored at most, such as 5s.
func ParseMode(s string) (m Mode, err error) {
	daily, isBudget := strings.CutPrefix(s, "budget=")
	switch {
	case s == "strict":
	case s == "budget":
		m = Budget(DefaultEndurance, DefaultYears)
	case isBudget:
		m.Daily, err = strconv.Atoi(daily)
	default:
		m.Bounded, err = time.ParseDuration(s)
	}
	if err != nil || s != "strict" && m == (Mode{}) || m.Check() != nil {
		return Mode{}, fmt.Errorf("mode %q: want strict, budget, budget=N with N from %d to %d, or a time such as 5s, at most %v", s, minDaily, MaxDaily, MaxBounded)
	}
	return m, nil
}

// Check returns an error for a mode that cannot be set.
func (m Mode) Check() error {
	if m.Bounded < 0 || m.Bounded > MaxBounded || m.Daily < 0 || m.Daily > MaxDaily || m.Daily != 0 && m.Daily < minDaily || m.Bounded != 0 && m.Daily != 0 {
		return fmt.Errorf("ledger: mode %v: want strict, bounded by at most %v, or a budget of %d to %d a day", m, MaxBounded, minDaily, MaxDaily)
	}
	return nil
}

// WeakerThan reports whether more can be taken back in mode m than in n.
func (m Mode) WeakerThan(n Mode) bool {
	if a, b := m.strength(), n.strength(); a != b {
		return a < b
	}
	return m.Bounded > n.Bounded || m.Daily < n.Daily
}

func (m Mode) strength() int {
	switch {
	case m.Bounded != 0:
		return 0
	case m.Daily != 0:
		return 1
	}
	return 2
}

// Numbers returns the mode as a root has it: 0 and 0 for strict, 1 and
// nanoseconds for bounded, 2 and writes a day for a budget.
func (m Mode) Numbers() (kind uint32, parameter uint64) {
	switch {
	case m.Daily != 0:
		return modeBudget, uint64(m.Daily)
	case m.Bounded != 0:
		return modeBounded, uint64(m.Bounded)
	}
	return modeStrict, 0
}

// ModeOf returns the mode of numbers that Numbers returned; ok is false for others.
func ModeOf(kind uint32, parameter uint64) (m Mode, ok bool) {
	switch kind {
	case modeStrict:
		return m, parameter == 0
	case modeBounded:
		m.Bounded = time.Duration(parameter)
		return m, parameter != 0 && parameter <= math.MaxInt64
	case modeBudget:
		m.Daily = int(parameter)
		return m, parameter != 0 && parameter <= MaxDaily
	}
	return m, false
}
