package ledger

import (
	"bytes"
	"errors"
	"fmt"
)

// Commit applies changes, all or none, and returns when they are durable and, unless the
// mode is bounded, anchored in the hardware TPM. Concurrent calls are merged into one
// commit, in the order of arrival.
//
// After an error the items are unchanged. The changes may still be found on disk after a
// loss of power that follows the error, until a later commit succeeds. Errors are ErrFull,
// ErrTooLarge, ErrInDoubt, ErrResolved, ErrClosed, and errors of the disk and the anchor.
func (s *Store) Commit(changes ...Change) error { return s.CommitAs(Class{}, changes...) }

// CommitAs is Commit with a Class, which decides when the changes are covered by a
// checkpoint.
func (s *Store) CommitAs(c Class, changes ...Change) error {
	own := make([]Change, len(changes))
	for i, c := range changes {
		if c.ID == (ID{}) || len(c.Body) > MaxBody {
			return fmt.Errorf("%w: %v with %d bytes", ErrTooLarge, c.ID, len(c.Body))
		}
		own[i] = Change{c.ID, bytes.Clone(c.Body)}
	}
	return s.wait(&waiter{changes: own, class: c})
}

// exclusively runs f while no commit runs.
func (s *Store) exclusively(f func() error) error { return s.wait(&waiter{run: f}) }

// wait queues w and returns its result. The first waiter in the queue leads: it serves the
// others.
func (s *Store) wait(w *waiter) error {
	w.done = make(chan verdict, 1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.queue = append(s.queue, w)
	lead := !s.leading
	s.leading = true
	s.mu.Unlock()
	if !lead {
		v := <-w.done
		if !v.lead {
			return v.err
		}
	}
	s.lead()
	return (<-w.done).err
}

// lead serves one batch of waiters, its own call among them, and then makes the next
// waiter the leader, so that no caller serves others indefinitely.
func (s *Store) lead() {
	for first := true; ; first = false {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.leading = false
			s.mu.Unlock()
			return
		}
		if !first {
			s.queue[0].done <- verdict{lead: true}
			s.mu.Unlock()
			return
		}
		n := 1
		if s.queue[0].run == nil {
			for n < len(s.queue) && s.queue[n].run == nil {
				n++
			}
		}
		batch := s.queue[:n:n]
		s.queue = s.queue[n:]
		closed := s.closed
		s.mu.Unlock()
		switch {
		case closed:
			finishAll(batch, ErrClosed)
		case batch[0].run != nil:
			finishAll(batch, batch[0].run())
		default:
			s.commit(batch)
		}
	}
}

// finishAll ends the wait of all waiters of a batch.
func finishAll(batch []*waiter, err error) {
	for _, w := range batch {
		w.done <- verdict{err: err}
	}
}

// Close makes a checkpoint of the commits that are not covered by one, and closes the
// store even if that fails. In budget mode the manager's own idle commits alone need none, so
// that starts and ends wear nothing.
func (s *Store) Close() error {
	return s.exclusively(func() error {
		err := s.resolve()
		switch {
		case err != nil && !errors.Is(err, ErrResolved):
		case s.root.mode.Daily != 0 && s.wear.loose == looseOwn:
			err = nil
		default:
			err = s.checkpoint()
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
