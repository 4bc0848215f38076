package ledger

import (
	"errors"
	"slices"
	"time"
)

// commit makes one commit of the changes of several callers.
func (s *Store) commit(batch []*waiter) {
	if err := s.resolve(); err != nil {
		finishAll(batch, err)
		return
	}
	if err := s.checkpointOverdue(); err != nil {
		finishAll(batch, err)
		return
	}
	for try := 1; ; try++ {
		if err := s.readChain(s.root.mode); err != nil {
			finishAll(batch, err)
			return
		}
		how := s.chooseAnchoring(batch)
		a := s.newAttempt(how, s.root.mode)
		taken := batch[:0]
		for _, w := range batch {
			if err := s.stage(a, w.changes); err != nil {
				w.done <- verdict{err: err}
				continue
			}
			taken = append(taken, w)
		}
		if batch = taken; len(a.places) == 0 {
			finishAll(batch, nil)
			return
		}
		if how != checkpoint {
			for _, w := range batch {
				a.root.wear.add(w.class, time.Now())
			}
		}
		err := s.finish(a, how)
		if errors.Is(err, errRetry) && try < commitTries {
			if batch = finishRequired(batch, err); len(batch) == 0 {
				return
			}
			continue
		}
		if err == nil && how == link {
			s.scheduleCheckpoint(batch)
		}
		finishAll(batch, err)
		return
	}
}

// finishRequired ends those that need a checkpoint, which cannot be made now, and returns
// the others.
func finishRequired(batch []*waiter, err error) (others []*waiter) {
	for _, w := range batch {
		if w.class.Urgency == Required {
			w.done <- verdict{err: err}
			continue
		}
		others = append(others, w)
	}
	return others
}

// commitTries limits how often a commit is written again because it must be anchored in
// another way.
const commitTries = 3

// chooseAnchoring returns how a commit is anchored.
func (s *Store) chooseAnchoring(batch []*waiter) anchoring {
	if slices.ContainsFunc(batch, func(w *waiter) bool { return w.class.Urgency == Required }) {
		return checkpoint
	}
	switch m := s.root.mode; {
	case m == Mode{}, m.Daily != 0 && !s.chainOpen:
		return checkpoint
	case m.Bounded != 0:
		return deferred
	}
	now := s.wear
	now.advance(time.Now(), s.root.mode.Daily)
	s.setWear(now)
	for _, w := range batch {
		if s.grant(w.class, s.root.mode.Daily) {
			return checkpoint
		}
	}
	return link
}

// finish writes an attempt, anchors it and applies it. On error the store is unchanged.
func (s *Store) finish(a *attempt, how anchoring) error {
	err := s.write(a)
	if err == nil && how != deferred {
		var unknown bool
		if unknown, err = s.extend(a.encoded, how); unknown {
			s.inDoubt = a // its sectors are kept until the outcome is known
			return err
		}
	}
	if err != nil {
		s.abandon(a)
		return err
	}
	s.apply(a)
	s.noteAnchoring(how)
	s.eraseStale()
	return nil
}
