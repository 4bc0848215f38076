package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// extended is the value of an anchor after an extension.
func extended(value, d [32]byte) [32]byte {
	return sha256.Sum256(append(value[:], d[:]...))
}

// committed says whether the anchor's value is that of a root's commit; pending,
// whether the root was written since and not anchored.
func (r *root) committed(encoded []byte, value [32]byte) bool {
	return extended(r.base, sha256.Sum256(encoded)) == value
}

func (r *root) isPending(value [32]byte) bool { return r.base == value }

// extend anchors a root. Unknown says that it may have happened or not.
func (s *Store) extend(encoded []byte) (unknown bool, err error) {
	d := sha256.Sum256(encoded)
	next := extended(s.value, d)
	err = s.cfg.Anchor.Extend(d)
	if err != nil {
		v, why := s.cfg.Anchor.Value()
		switch {
		case why != nil:
			err = fmt.Errorf("%w: %w; %w", ErrDoubt, err, why)
			s.setHealth(err)
			s.unsure = &next
			return true, err
		case v == s.value:
			err = fmt.Errorf("ledger: hardware TPM: %w", err)
			s.setHealth(err)
			return false, err
		case v != next:
			return false, s.lost(v)
		}
	}
	s.value = next
	s.setHealth(nil)
	return false, nil
}

// lost says that somebody else extends the anchor.
func (s *Store) lost(v [32]byte) error {
	s.broken = fmt.Errorf("%w: it went on to %x without this ledger, which is at commit %d", ErrRolledBack, v[:4], s.root.sequence)
	s.setHealth(s.broken)
	return s.broken
}

func (s *Store) setHealth(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = err
}

// settle finds out what became of an extension that was not answered.
func (s *Store) settle() error {
	if s.broken != nil {
		return s.broken
	}
	if s.unsure == nil {
		return nil
	}
	v, err := s.cfg.Anchor.Value()
	if err != nil {
		err = fmt.Errorf("ledger: hardware TPM: %w", err)
		s.setHealth(err)
		return err
	}
	happened := v == *s.unsure
	if !happened && v != s.value {
		return s.lost(v)
	}
	s.setHealth(nil)
	a := s.doubt
	s.unsure, s.doubt, s.value = nil, nil, v
	switch {
	case a == nil && happened: // only an anchor of what is served anyway
		s.anchored()
	case happened:
		s.apply(a)
		s.anchored()
		s.eraseNow()
		return ErrSettled
	case a != nil:
		s.drop(a)
	}
	return nil
}

// Settle finds out what became of a commit that failed with ErrDoubt: nil if
// nothing is in doubt or it did not happen, ErrSettled once if it did, and
// what the anchor says if nobody knows still.
func (s *Store) Settle() error { return s.alone(s.settle) }

// anchored notes that all that the store has is anchored.
func (s *Store) anchored() {
	s.pending = time.Time{}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// anchor extends the anchor by the root as it is, if it was not yet.
func (s *Store) anchor() error {
	if s.pending.IsZero() {
		return nil
	}
	_, err := s.extend(s.encoded)
	if err == nil {
		s.anchored()
	}
	return err
}

// schedule anchors later.
func (s *Store) schedule(after time.Duration) {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(after, func() {
		err := s.Sync()
		if err != nil && !errors.Is(err, ErrClosed) {
			s.cfg.Log("%v", err)
		}
	})
}

// inTime makes sure that no commit is added to one that should be anchored
// already.
func (s *Store) inTime() error {
	if s.pending.IsZero() || time.Since(s.pending) < s.root.bounded {
		return nil
	}
	if err := s.anchor(); err != nil {
		// Not %w: what is in doubt is not the commit that waits.
		return fmt.Errorf("ledger: earlier commits could not be anchored in time: %v", err)
	}
	return nil
}

// Sync anchors at once what a bounded mode would anchor later.
func (s *Store) Sync() error {
	return s.alone(func() error {
		err := s.settle()
		if errors.Is(err, ErrSettled) {
			err = nil
		}
		if err == nil {
			err = s.anchor()
		}
		if err != nil && s.broken == nil && !s.pending.IsZero() {
			s.schedule(max(s.root.bounded, time.Second))
		}
		return err
	})
}

// SetMode changes the mode, which is a commit of its own, and anchored.
func (s *Store) SetMode(m Mode) error {
	if m.Bounded < 0 {
		return fmt.Errorf("ledger: mode %v", m)
	}
	return s.alone(func() error { return s.setMode(m) })
}

func (s *Store) setMode(m Mode) error {
	if err := s.settle(); err != nil {
		return err
	}
	if s.root.bounded == m.Bounded {
		return nil
	}
	a := s.begin()
	a.root.bounded = m.Bounded
	if err := s.finish(a, true); err != nil {
		return err
	}
	s.cfg.Log("ledger: mode is %v from commit %d on", m, a.root.sequence)
	return nil
}

// Mode returns the mode that is in force. It does not wait for commits.
func (s *Store) Mode() Mode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Mode{Bounded: s.root.bounded}
}

// Close anchors what is not anchored and ends the store, also on error.
func (s *Store) Close() error {
	return s.alone(func() error {
		err := s.settle()
		if err == nil || errors.Is(err, ErrSettled) {
			err = s.anchor()
		}
		if s.timer != nil {
			s.timer.Stop()
		}
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		return err
	})
}
