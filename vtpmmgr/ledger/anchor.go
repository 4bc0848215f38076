package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// extend returns the value of an anchor after its extension by d.
func extend(value, d [32]byte) [32]byte {
	return sha256.Sum256(append(value[:], d[:]...))
}

// isCommitted reports whether value is the NV index's value after the checkpoint of the
// root.
func (r *root) isCommitted(encoded []byte, value [32]byte) bool {
	return extend(r.base, sha256.Sum256(encoded)) == value
}

// errRetry means that a commit was certainly not anchored, and may be in another way:
// commit chooses again.
var errRetry = errors.New("ledger: commit must be anchored in another way")

// extend anchors a root. If unknown is true its outcome is in doubt.
func (s *Store) extend(encoded []byte, how anchoring) (unknown bool, err error) {
	d := sha256.Sum256(encoded)
	if how == link {
		return s.extendChain(d)
	}
	next := extend(s.value, d)
	err = s.cfg.Anchor.Extend(d)
	if err != nil {
		v, why := s.cfg.Anchor.Value()
		switch {
		case why != nil:
			return true, s.recordUnresolved(err, why, checkpoint, next)
		case v == s.value:
			err = fmt.Errorf("ledger: hardware TPM: %w", err)
			s.setHealth(err)
			if s.root.mode.Daily != 0 && s.chainOpen {
				// The PCR anchors commits meanwhile: try the NV index later.
				s.nvRetry = time.Now().Add(checkpointDelay)
				err = fmt.Errorf("%w: %w", errRetry, err)
			}
			return false, err
		case v != next:
			return false, s.markDiverged(v)
		}
	}
	s.value, s.chainOpen = next, true
	s.setHealth(nil)
	return false, nil
}

// extendChain anchors a root, whose hash is d, by the PCR.
func (s *Store) extendChain(d [32]byte) (unknown bool, err error) {
	next := extend(s.pcr, d)
	for range 2 { // the first try may fail because the session was lost
		if err = s.cfg.Anchor.Link(d); err == nil {
			s.pcr = next
			return false, nil
		}
		v, boot, why := s.cfg.Anchor.Chain()
		switch {
		case why != nil:
			return true, s.recordUnresolved(err, why, link, next)
		case boot != s.boot:
			s.noteReset(v, boot)
			return false, fmt.Errorf("%w: %w", errRetry, err)
		case v == next:
			s.pcr = next
			return false, nil
		case v != s.pcr:
			return false, s.markDiverged(v)
		}
	}
	err = fmt.Errorf("ledger: hardware TPM: %w", err)
	s.setHealth(err)
	return false, err
}

// recordUnresolved notes that the outcome of an extension is unknown, and returns an
// ErrInDoubt.
func (s *Store) recordUnresolved(err, why error, how anchoring, next [32]byte) error {
	err = fmt.Errorf("%w: %w; %w", ErrInDoubt, err, why)
	s.setHealth(err)
	s.unresolved = &extension{how, next}
	return err
}

// noteReset records that the hardware TPM was reset: the next commit must be a checkpoint.
func (s *Store) noteReset(pcr [32]byte, boot uint64) {
	s.cfg.Log("ledger: the hardware TPM was reset; the next commit is a checkpoint")
	s.pcr, s.boot, s.chainOpen = pcr, boot, false
}

// readChain reads the PCR if mode m needs its value and no chain is open.
func (s *Store) readChain(m Mode) error {
	if m.Daily == 0 || s.root.mode.Daily != 0 && s.chainOpen {
		return nil
	}
	v, boot, err := s.cfg.Anchor.Chain()
	if err != nil {
		err = fmt.Errorf("ledger: hardware TPM: %w", err)
		s.setHealth(err)
		return err
	}
	s.pcr, s.boot = v, boot
	return nil
}

// markDiverged makes the store unusable: something else extended the anchor to v.
func (s *Store) markDiverged(v [32]byte) error {
	s.diverged = fmt.Errorf("%w: something else extended the anchor to %x..., this ledger is at commit %d", ErrRolledBack, v[:4], s.root.sequence)
	s.setHealth(s.diverged)
	return s.diverged
}

func (s *Store) setHealth(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health = err
}

func (s *Store) setWear(w wear) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wear = w
}

// resolve finds the outcome of an extension that was not answered.
func (s *Store) resolve() error {
	if s.diverged != nil {
		return s.diverged
	}
	if s.unresolved == nil {
		return nil
	}
	happened, err := s.readOutcome()
	if err != nil {
		return err
	}
	s.setHealth(nil)
	a, how := s.inDoubt, s.unresolved.how
	s.unresolved, s.inDoubt = nil, nil
	switch {
	case a == nil && happened: // a checkpoint of the current root
		s.countCheckpoint()
	case happened:
		s.apply(a)
		s.noteAnchoring(how)
		s.eraseStale()
		if how == link && s.wear.loose == looseNormal {
			s.scheduleCheckpoint([]*waiter{{}})
		}
		return ErrResolved
	case a != nil:
		s.abandon(a)
	}
	return nil
}

// readOutcome reads from the anchor whether it took the unresolved extension.
func (s *Store) readOutcome() (happened bool, err error) {
	u := s.unresolved
	var v [32]byte
	boot, last := s.boot, &s.value
	if u.how == link {
		last = &s.pcr
		v, boot, err = s.cfg.Anchor.Chain()
	} else {
		v, err = s.cfg.Anchor.Value()
	}
	switch {
	case err != nil:
		err = fmt.Errorf("ledger: hardware TPM: %w", err)
		s.setHealth(err)
		return false, err
	case boot != s.boot:
		// If it was taken, the reset undid it. No caller was told of success.
		s.noteReset(v, boot)
		return false, nil
	case v != u.next && v != *last:
		return false, s.markDiverged(v)
	}
	if v == u.next && u.how == checkpoint {
		s.chainOpen = true
	}
	*last = v
	return v == u.next, nil
}

// Resolve finds the outcome of a commit that failed with ErrInDoubt. It returns nil if
// none is in doubt or if the commit did not happen, ErrResolved if it did happen, and
// otherwise the anchor's error: the commit is still in doubt.
func (s *Store) Resolve() error { return s.exclusively(s.resolve) }
