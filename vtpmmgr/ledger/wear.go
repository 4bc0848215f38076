package ledger

import (
	"encoding/binary"
	"time"
)

const (
	day = 24 * time.Hour

	// checkpointDelay is how long a checkpoint waits for further commits, if none is
	// urgent, so that one serves many.
	checkpointDelay = 5 * time.Minute

	// oneWrite is one write, in the unit of credit.
	oneWrite = 1000
)

// A wear counts the writes of the NV index. Times are in milliseconds since 1970.
type wear struct {
	mark      uint64 // sequence of the last checkpoint
	markTime  int64
	writes    uint64 // total
	credit    int64  // writes that may be spent at time counted, in thousandths
	counted   int64
	day       uint32 // number of the day of the last write
	today     uint32 // writes on that day
	yesterday uint32 // writes on the day before
	loose     loose
	since     int64 // time of the first of the commits for which loose is looseNormal
}

// A loose says what the commits since the last checkpoint are, so that another start knows
// what they need.
type loose uint32

const (
	looseUnknown loose = iota // a root of before this was kept
	looseOwn                  // none, or only the manager's own idle ones: its starts
	looseIdle                 // idle ones of vTPMs, too
	looseNormal               // others, too
)

// add counts a commit of class c that is not a checkpoint.
func (w *wear) add(c Class, now time.Time) {
	switch {
	case w.loose == looseUnknown:
	case c.Urgency != Idle:
		if w.loose != looseNormal {
			w.loose, w.since = looseNormal, now.UnixMilli()
		}
	case c.Source != (ID{}):
		w.loose = max(w.loose, looseIdle)
	}
}

func (w *wear) encode(b []byte) {
	put32, put64 := binary.BigEndian.PutUint32, binary.BigEndian.PutUint64
	put64(b[rootMark:], w.mark)
	put64(b[rootMarkTime:], uint64(w.markTime))
	put64(b[rootWrites:], w.writes)
	put64(b[rootCredit:], uint64(w.credit))
	put64(b[rootCounted:], uint64(w.counted))
	put32(b[rootDay:], w.day)
	put32(b[rootToday:], w.today)
	put32(b[rootYesterday:], w.yesterday)
	put32(b[rootLoose:], uint32(w.loose))
	put64(b[rootSince:], uint64(w.since))
}

func (w *wear) decode(b []byte) {
	get32, get64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	w.mark, w.markTime, w.writes = get64(b[rootMark:]), int64(get64(b[rootMarkTime:])), get64(b[rootWrites:])
	w.credit, w.counted = int64(get64(b[rootCredit:])), int64(get64(b[rootCounted:]))
	w.day, w.today, w.yesterday = get32(b[rootDay:]), get32(b[rootToday:]), get32(b[rootYesterday:])
	w.loose, w.since = loose(get32(b[rootLoose:])), int64(get64(b[rootSince:]))
}

// fullCredit is the largest credit, that of one day.
func fullCredit(daily int) int64 { return int64(daily) * oneWrite }

// advance updates the credit to now. A clock that was set forward adds at most a day's
// credit. One that was set back by up to a day adds none before it is where it was; by
// more, it was wrong before, and adds from now on.
func (w *wear) advance(now time.Time, daily int) {
	ms, all := now.UnixMilli(), day.Milliseconds()
	switch elapsed := ms - w.counted; {
	case daily == 0 || elapsed < -all:
		w.counted = ms
	case elapsed < 0:
	case elapsed >= all:
		w.credit, w.counted = w.credit+fullCredit(daily), ms
	default:
		// Only whole thousandths are counted; the rest of the time is left
		// for the next call.
		gain := elapsed * fullCredit(daily) / all
		w.credit += gain
		w.counted += gain * all / fullCredit(daily)
	}
	w.credit = max(-fullCredit(daily), min(w.credit, fullCredit(daily)))
	w.since = min(w.since, ms)
	w.startDay(ms)
}

// startDay starts the count of a new day.
func (w *wear) startDay(ms int64) {
	d := uint32(max(0, ms) / day.Milliseconds())
	switch {
	case d == w.day+1:
		w.yesterday, w.today = w.today, 0
	case d > w.day:
		w.yesterday, w.today = 0, 0
	case d < w.day: // the clock was set back
		w.yesterday, w.today = max(w.yesterday, w.today), 0
	}
	w.day = d
}

// spend counts a checkpoint of the commit with the given sequence.
func (w *wear) spend(sequence uint64, now time.Time) {
	w.mark, w.markTime = sequence, now.UnixMilli()
	w.loose, w.since = looseOwn, 0
	w.writes++
	w.today++
	w.credit -= oneWrite
}

// timeUntil returns how long it takes until there is so much credit.
func (w *wear) timeUntil(credit int64, daily int) time.Duration {
	if w.credit >= credit || daily == 0 {
		return 0
	}
	ms := (credit-w.credit)*day.Milliseconds()/fullCredit(daily) + 1
	return time.Duration(ms) * time.Millisecond
}

// Wear describes the wear of the NV index, and what a loss of power could roll back.
type Wear struct {
	Writes    uint64 // of the NV index, total
	Today     uint32 // since midnight (UTC)
	Yesterday uint32
	Daily     int     // the budget; 0 without one
	Credit    float64 // writes that may be spent now

	// Loose is the number of commits since the last checkpoint, at time Since.
	// A loss of power and an old disk could roll them back; in bounded mode
	// an old disk alone.
	Loose uint64
	Since time.Time
}

// PerDay returns the rate of writes: that of yesterday, or of today if it is higher
// already.
func (w *Wear) PerDay() uint32 { return max(w.Today, w.Yesterday) }

// Years returns how many years a chip that endures so many writes lasts at this rate.
func (w *Wear) Years(endurance int) float64 {
	left := float64(endurance) - float64(w.Writes)
	return max(0, left) / float64(max(1, w.PerDay())) / daysPerYear
}
