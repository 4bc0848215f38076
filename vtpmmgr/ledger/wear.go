package ledger

import (
	"encoding/binary"
	"time"
)

const (
	day = 24 * time.Hour

	// A checkpoint for commits that are not urgent comes so much after the
	// first of them, so that one serves many.
	checkpointDelay = 5 * time.Minute

	// credit is counted in thousandths of a write.
	oneWrite = 1000
)

// A wear is what the ledger knows of the writes of its NV index. Times are in
// milliseconds since 1970.
type wear struct {
	mark      uint64 // sequence of the last checkpoint
	markTime  int64
	writes    uint64 // in all
	credit    int64  // what may be spent, as of counted
	counted   int64
	day       uint32 // number of the day of the last write
	today     uint32 // writes on it
	yesterday uint32 // and on the day before
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
}

func (w *wear) decode(b []byte) {
	get32, get64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	w.mark, w.markTime, w.writes = get64(b[rootMark:]), int64(get64(b[rootMarkTime:])), get64(b[rootWrites:])
	w.credit, w.counted = int64(get64(b[rootCredit:])), int64(get64(b[rootCounted:]))
	w.day, w.today, w.yesterday = get32(b[rootDay:]), get32(b[rootToday:]), get32(b[rootYesterday:])
}

// filled is the credit of a full purse: a day's.
func filled(daily int) int64 { return int64(daily) * oneWrite }

// advance counts the credit as of now. A clock that was set forward gives a
// day's at most, and one that was set back nothing.
func (w *wear) advance(now time.Time, daily int) {
	ms, all := now.UnixMilli(), day.Milliseconds()
	switch elapsed := ms - w.counted; {
	case daily == 0 || elapsed < 0:
		w.counted = ms
	case elapsed >= all:
		w.credit, w.counted = w.credit+filled(daily), ms
	default:
		// Only as far as whole thousandths go: the rest of the time counts
		// the next time.
		gain := elapsed * filled(daily) / all
		w.credit += gain
		w.counted += gain * all / filled(daily)
	}
	w.credit = max(-filled(daily), min(w.credit, filled(daily)))
	w.turn(ms)
}

// turn begins a new day's count.
func (w *wear) turn(ms int64) {
	d := uint32(max(0, ms) / day.Milliseconds())
	switch {
	case d == w.day+1:
		w.yesterday, w.today = w.today, 0
	case d != w.day:
		w.yesterday, w.today = 0, 0
	}
	w.day = d
}

// spend counts a checkpoint, which is that of a sequence.
func (w *wear) spend(sequence uint64, now time.Time) {
	w.mark, w.markTime = sequence, now.UnixMilli()
	w.writes++
	w.today++
	w.credit -= oneWrite
}

// until returns how long it takes until there is so much credit.
func (w *wear) until(credit int64, daily int) time.Duration {
	if w.credit >= credit || daily == 0 {
		return 0
	}
	ms := (credit-w.credit)*day.Milliseconds()/filled(daily) + 1
	return time.Duration(ms) * time.Millisecond
}

// Wear says how the NV index is used up, and what a loss of power could take
// back.
type Wear struct {
	Writes    uint64 // of the NV index in all
	Today     uint32 // since midnight (UTC)
	Yesterday uint32
	Daily     int     // the budget; 0 without one
	Credit    float64 // writes that may be spent now

	// Loose is how many commits could be taken back by a loss of power and an
	// old disk, Since when; in bounded mode by an old disk alone.
	Loose uint64
	Since time.Time
}

// Wear returns the present figures. It waits for nothing.
func (s *Store) Wear() Wear {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wear
	w.advance(time.Now(), s.mode.Daily)
	out := Wear{Writes: w.writes, Today: w.today, Yesterday: w.yesterday, Daily: s.mode.Daily, Credit: float64(w.credit) / oneWrite}
	if s.seq > w.mark && s.mode != (Mode{}) {
		out.Loose, out.Since = s.seq-w.mark, time.UnixMilli(w.markTime)
	}
	return out
}

// PerDay is the rate of writes: that of the day before, or of this one if it is
// higher already.
func (w *Wear) PerDay() uint32 { return max(w.Today, w.Yesterday) }

// Years returns how long a chip that bears so many writes lasts at this rate.
func (w *Wear) Years(endurance int) float64 {
	left := float64(endurance) - float64(w.Writes)
	return max(0, left) / float64(max(1, w.PerDay())) / daysPerYear
}

// An Urgency says how soon a commit should be out of the reach of a loss of
// power. It matters in budget mode only.
type Urgency int

const (
	Normal Urgency = iota
	Urgent         // what an attacker would like to take back: orders, failed authorizations
	Idle           // what nobody would: it never causes a checkpoint by itself
)

// A Class is what a commit is. Source is the item of the vTPM that asks for
// it, whose share of urgent checkpoints is limited; zeros for the manager's own.
type Class struct {
	Urgency Urgency
	Source  ID
}

// Shares of the credit: what has to be there for a checkpoint.
func (c Class) need(daily int) int64 {
	switch {
	case c.Urgency == Normal:
		return max(oneWrite, filled(daily)/2)
	case c.Source != (ID{}):
		return sourced(daily)
	}
	return oneWrite
}

// sourced is what has to be there for a checkpoint that a vTPM asks for: besides
// its own write a quarter, which is kept for orders.
func sourced(daily int) int64 { return oneWrite + max(oneWrite, filled(daily)/4) }

// A share is one vTPM's, in thousandths of a write.
type share struct {
	left    int64
	counted time.Time
}

const (
	shareFull  = 2 * oneWrite
	shareParts = 16 // of the daily budget
)

// grant reports whether a commit is to be a checkpoint at once, and takes that
// from its source's share.
func (s *Store) grant(c Class, daily int) bool {
	if c.Urgency != Urgent || s.wear.credit < c.need(daily) || time.Now().Before(s.nvRetry) {
		return false
	}
	if c.Source == (ID{}) {
		return true
	}
	h, now := s.shares[c.Source], time.Now()
	if h == nil {
		h = &share{left: shareFull, counted: now}
		s.shares[c.Source] = h
	}
	rate := max(1, filled(daily)/shareParts)
	gained := int64(min(now.Sub(h.counted), 400*day).Milliseconds()) * rate / day.Milliseconds()
	if h.left+gained >= shareFull {
		h.left, h.counted = shareFull, now
	} else if gained > 0 {
		h.left += gained
		h.counted = now
	}
	if h.left < oneWrite {
		return false
	}
	h.left -= oneWrite
	return true
}
