package service

import (
	"crypto/rand"
	"errors"
	"fmt"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr/proto"
)

// A ledgerStore is the vtpm.Store of a vTPM's domain. Save is a two-phase commit: it
// writes the sealed state to the slot of the disk that is not in use, and then has the
// manager commit its sequence, hash and key in the ledger. The state is valid from then
// on.
type ledgerStore struct {
	disk     *statedisk.Disk
	manager  *proto.Client
	sequence uint64

	// inDoubt is a version whose commit the manager did not answer. Whether it
	// is in the ledger must be known before the next commit.
	inDoubt *statedisk.Version
}

// errOtherState means that the ledger names a state that is neither the last one nor the
// one in doubt.
var errOtherState = errors.New("the manager's ledger names another state than this vTPM's")

// resolveCommit finds out whether a commit that was not answered is in the ledger.
func (s *ledgerStore) resolveCommit() error {
	if s.inDoubt == nil {
		return nil
	}
	g, err := s.manager.Load()
	if err != nil {
		return err
	}
	switch {
	case g.State.Sequence == s.inDoubt.Sequence && g.State.Hash == s.inDoubt.Hash:
		s.disk.Confirm()
		s.sequence = s.inDoubt.Sequence
	case g.State.Sequence != s.sequence:
		return fmt.Errorf("%w: sequence %d, want %d", errOtherState, g.State.Sequence, s.sequence)
	}
	s.inDoubt = nil
	return nil
}

// commitTries limits how often a commit is repeated while managers end before they answer.
const commitTries = 4

// Save seals the state with a new key. An older copy of the disk is then useless, even to
// an attacker who learns the new key.
func (s *ledgerStore) Save(state []byte) error { return s.save(state, s.manager.Commit) }

// SaveIdle is Save of a state that may be rolled back by a loss of power without harm.
func (s *ledgerStore) SaveIdle(state []byte) error { return s.save(state, s.manager.CommitIdle) }

// save seals a state and commits it with commit.
func (s *ledgerStore) save(state []byte, commit func(*proto.State) error) error {
	if err := s.resolveCommit(); err != nil {
		return err
	}
	floors, err := vtpm.ReadFloors(state)
	if err != nil {
		return err
	}
	next := proto.State{Floors: proto.Floors(floors)}
	rand.Read(next.Key[:])
	defer clear(next.Key[:])
	v, err := s.disk.Save(next.Key[:], s.sequence+1, state)
	if err != nil {
		return err
	}
	next.Sequence, next.Hash = v.Sequence, v.Hash
	for range commitTries {
		if err = commit(&next); err == nil {
			s.disk.Confirm()
			s.sequence++
			return nil
		}
		if errors.Is(err, proto.Rate) {
			return fmt.Errorf("%w: %w", vtpm.ErrRate, err) // the manager did not process it
		}
		s.inDoubt = &v
		// An order, such as one that names another image, may have revoked the
		// admission of this domain: resolveCommit loads again if that is allowed.
		if !errors.Is(err, errLink) && !errors.Is(err, proto.NotConnected) {
			return err
		}
		// The next manager knows whether this one had committed it.
		if err = s.resolveCommit(); err != nil && !errors.Is(err, errLink) {
			return err
		}
		if s.inDoubt == nil && s.sequence == v.Sequence {
			return nil
		}
	}
	return err
}
