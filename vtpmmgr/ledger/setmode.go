package ledger

import (
	"errors"
	"fmt"
)

// ErrWeaker means that a mode is weaker than the ledger's: only Weaken sets it.
var ErrWeaker = errors.New("ledger: mode is weaker than the current one")

// SetMode sets the rollback protection mode, or returns ErrWeaker if it is weaker than the
// current one. The change is a commit of its own and a checkpoint.
func (s *Store) SetMode(m Mode) error { return s.changeMode(m, false) }

// Weaken sets any mode. The caller must have verified that the owner of the ledger wants
// it.
func (s *Store) Weaken(m Mode) error { return s.changeMode(m, true) }

func (s *Store) changeMode(m Mode, weaken bool) error {
	if err := m.Check(); err != nil {
		return err
	}
	return s.exclusively(func() error {
		if !weaken && m.WeakerThan(s.root.mode) {
			return fmt.Errorf("%w: %v, current is %v", ErrWeaker, m, s.root.mode)
		}
		return s.setMode(m)
	})
}

func (s *Store) setMode(m Mode) error {
	if err := s.resolve(); err != nil {
		return err
	}
	if s.root.mode == m {
		return nil
	}
	if err := s.readChain(m); err != nil {
		return err
	}
	if err := s.finish(s.newAttempt(checkpoint, m), checkpoint); err != nil {
		return err
	}
	s.cfg.Log("ledger: mode is %v from commit %d on", m, s.root.sequence)
	return nil
}

// Mode returns the current rollback protection mode. It does not wait for commits.
func (s *Store) Mode() Mode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode
}
