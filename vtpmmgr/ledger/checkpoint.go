package ledger

import (
	"errors"
	"fmt"
	"time"
)

// noteAnchoring records how the current root was anchored.
func (s *Store) noteAnchoring(how anchoring) {
	switch {
	case how == checkpoint:
		s.markAnchored()
	case s.unanchoredSince.IsZero():
		s.unanchoredSince = time.Now()
		if how == deferred {
			s.schedule(s.root.mode.Bounded * 3 / 4)
		}
	}
}

// markAnchored records that a checkpoint covers the current root.
func (s *Store) markAnchored() {
	s.unanchoredSince, s.wantCredit = time.Time{}, 0
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// countCheckpoint counts a checkpoint of the current root.
func (s *Store) countCheckpoint() {
	w := s.wear
	w.advance(time.Now(), s.root.mode.Daily)
	w.spend(s.root.sequence, time.Now())
	s.setWear(w)
	s.markAnchored()
}

// checkpoint makes a checkpoint of the current root unless one covers it.
func (s *Store) checkpoint() error {
	if s.unanchoredSince.IsZero() {
		return nil
	}
	_, err := s.extend(s.encoded, checkpoint)
	if err == nil {
		s.countCheckpoint()
	}
	return err
}

// schedule runs runScheduled after some time.
func (s *Store) schedule(after time.Duration) {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(after, func() {
		err := s.exclusively(s.runScheduled)
		if err != nil && !errors.Is(err, ErrClosed) {
			s.cfg.Log("%v", err)
		}
	})
}

// scheduleCheckpoint schedules a checkpoint of commits that were linked, for when there is
// enough credit for the most urgent of them.
func (s *Store) scheduleCheckpoint(batch []*waiter) {
	want := int64(0)
	for _, w := range batch {
		c := s.later(w.class, s.root.mode.Daily)
		if n := c.need(s.root.mode.Daily); c.Urgency != Idle && (want == 0 || n < want) {
			want = n
		}
	}
	if want == 0 || s.wantCredit != 0 && s.wantCredit <= want {
		return
	}
	s.wantCredit = want
	delay := time.Until(time.UnixMilli(s.wear.since).Add(checkpointDelay))
	s.schedule(max(0, min(checkpointDelay, delay), s.checkpointWait(want)))
}

// checkpointWait returns how long a checkpoint that needs the credit want has to wait. An
// overdue one needs no more credit than vTPMs can ask for at once, so that they cannot
// delay it.
func (s *Store) checkpointWait(want int64) time.Duration {
	daily := s.root.mode.Daily
	overdue := time.UnixMilli(s.wear.since).Add(2 * day / time.Duration(daily))
	late := max(time.Until(overdue), s.wear.timeUntil(min(want, vtpmCredit(daily)), daily))
	return max(0, min(late, s.wear.timeUntil(want, daily)))
}

// runScheduled makes the scheduled checkpoint, or schedules it again.
func (s *Store) runScheduled() error {
	err := s.resolve()
	if errors.Is(err, ErrResolved) {
		err = nil
	}
	if daily := s.root.mode.Daily; err == nil && daily != 0 {
		w := s.wear
		w.advance(time.Now(), daily)
		s.setWear(w)
		if s.wantCredit == 0 {
			return nil
		}
		if wait := s.checkpointWait(s.wantCredit); wait > 0 {
			s.schedule(wait)
			return nil
		}
	}
	return s.checkpointOrRetry(err)
}

// checkpointOrRetry makes a checkpoint unless err is set, and on error schedules another
// try.
func (s *Store) checkpointOrRetry(err error) error {
	if err == nil {
		err = s.checkpoint()
	}
	if err != nil && s.diverged == nil && !s.unanchoredSince.IsZero() {
		again := max(s.root.mode.Bounded, time.Second)
		if s.root.mode.Daily != 0 {
			again = checkpointDelay
		}
		s.schedule(again)
	}
	return err
}

// checkpointOverdue makes a checkpoint if earlier commits were not anchored within the
// bound of the mode. If it fails, no commit may be added to them.
func (s *Store) checkpointOverdue() error {
	if s.root.mode.Bounded == 0 || s.unanchoredSince.IsZero() || time.Since(s.unanchoredSince) < s.root.mode.Bounded {
		return nil
	}
	if err := s.checkpoint(); err != nil {
		// Not %w: the commit that waits is not the one in doubt.
		return fmt.Errorf("ledger: earlier commits are not anchored and their time is over: %v", err)
	}
	return nil
}

// Sync makes a checkpoint now unless one covers all commits.
func (s *Store) Sync() error {
	return s.exclusively(func() error {
		err := s.resolve()
		if errors.Is(err, ErrResolved) {
			err = nil
		}
		return s.checkpointOrRetry(err)
	})
}
