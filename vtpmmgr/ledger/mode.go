package ledger

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Mode is a rollback protection mode: it selects how commits are tied to the hardware
// TPM, and so how much committed data an attacker can roll back by restoring an old disk.
// The zero Mode is strict: each commit is a checkpoint, a write of the NV index, before it
// is acknowledged; nothing can be rolled back, and the chip wears. docs/ledger-format.md
// compares the modes.
type Mode struct {
	// Bounded, if not 0, lets a commit be acknowledged as soon as it is on the
	// disk, and anchored at most so much later: commits of that time can be
	// rolled back. It is at most MaxBounded.
	Bounded time.Duration

	// Daily, if not 0, is the budget of NV index writes per day. A commit is
	// acknowledged once a PCR was extended by it. Nothing can be rolled back
	// before the platform is reset; after a reset, the commits since the last
	// checkpoint can be. It is at most MaxDaily.
	Daily int
}

// Limits of a Mode.
const (
	MaxBounded = time.Hour
	MaxDaily   = 100_000
)

// Defaults for a chip's NV endurance and its wanted lifetime.
const (
	DefaultEndurance = 100_000 // writes of an NV index
	DefaultYears     = 5
)

const daysPerYear = 365.25

// Budget returns the budget mode in which a chip whose NV memory endures the given number
// of writes lasts the given number of years.
func Budget(endurance int, years float64) Mode {
	n := float64(endurance) / (years * daysPerYear)
	return Mode{Daily: int(min(MaxDaily, max(minDaily, n)))}
}

// minDaily is the smallest budget: with less, orders would wait for days.
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

// ParseMode parses a mode: "strict", "budget" for the default endurance and years,
// "budget=N" for N writes a day, or the bound of bounded mode as a duration such as "5s".
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
		return Mode{}, fmt.Errorf("mode %q: want strict, budget, budget=N with N from %d to %d, or a duration of at most %v such as 5s", s, minDaily, MaxDaily, MaxBounded)
	}
	return m, nil
}

// Check returns an error if the mode is invalid.
func (m Mode) Check() error {
	if m.Bounded < 0 || m.Bounded > MaxBounded || m.Daily < 0 || m.Daily > MaxDaily || m.Daily != 0 && m.Daily < minDaily || m.Bounded != 0 && m.Daily != 0 {
		return fmt.Errorf("ledger: mode %v: want strict, bounded by at most %v, or a budget of %d to %d a day", m, MaxBounded, minDaily, MaxDaily)
	}
	return nil
}

// WeakerThan reports whether more can be rolled back in mode m than in n.
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

// Numbers returns the mode as a root encodes it: 0 and 0 for strict, 1 and nanoseconds for
// bounded, 2 and writes per day for budget.
func (m Mode) Numbers() (kind uint32, parameter uint64) {
	switch {
	case m.Daily != 0:
		return modeBudget, uint64(m.Daily)
	case m.Bounded != 0:
		return modeBounded, uint64(m.Bounded)
	}
	return modeStrict, 0
}

// ModeOf returns the mode that Numbers encoded; ok is false if they encode none.
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
