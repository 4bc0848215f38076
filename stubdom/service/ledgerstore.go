package service

import (
	"bytes"
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
	restores uint32 // proto.Grant.Epoch

	// permanent is the permanent part of a suspended state that may be the valid one; nil
	// if none is.
	permanent []byte

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

// saveUrgent is Save of a state that takes the place of a suspended one: nobody may take
// that back.
func (s *ledgerStore) saveUrgent(state []byte) error { return s.save(state, s.manager.CommitUrgent) }

// suspend saves a permanent state with what is volatile besides. Before any command runs on
// it, or after it, saveUrgent has to follow. It returns what was committed.
func (s *ledgerStore) suspend(permanent, volatile []byte, t token) (statedisk.Version, error) {
	p := suspended{restores: s.restores, permanent: permanent, volatile: volatile, token: t}
	b := p.encode()
	defer clear(b)
	before := s.permanent
	s.permanent = bytes.Clone(permanent)
	v, err := s.commit(b, permanent, s.manager.CommitFrozen)
	if err != nil && s.inDoubt == nil {
		s.permanent = before // it never came to the manager, but one before it may have
	}
	return v, err
}

// replaceSuspended commits the permanent state alone if a suspended one may be valid.
func (s *ledgerStore) replaceSuspended() error {
	if s.permanent == nil {
		return nil
	}
	if err := s.saveUrgent(s.permanent); err != nil {
		return err
	}
	s.permanent = nil
	return nil
}

// save seals a permanent state and commits it with commit.
func (s *ledgerStore) save(state []byte, commit func(*proto.State) error) error {
	_, err := s.commit(state, state, commit)
	return err
}

// commit seals a state and commits it with commit. permanent is the permanent part of it.
func (s *ledgerStore) commit(state, permanent []byte, commit func(*proto.State) error) (v statedisk.Version, err error) {
	if err := s.resolveCommit(); err != nil {
		return v, err
	}
	floors, err := vtpm.ReadFloors(permanent)
	if err != nil {
		return v, err
	}
	next := proto.State{Floors: proto.Floors(floors)}
	rand.Read(next.Key[:])
	defer clear(next.Key[:])
	if v, err = s.disk.Save(next.Key[:], s.sequence+1, state); err != nil {
		return v, err
	}
	next.Sequence, next.Hash = v.Sequence, v.Hash
	for range commitTries {
		if err = commit(&next); err == nil {
			s.disk.Confirm()
			s.sequence++
			return v, nil
		}
		if errors.Is(err, proto.Rate) {
			return v, fmt.Errorf("%w: %w", vtpm.ErrRate, err) // the manager did not process it
		}
		s.inDoubt = &v
		// An order, such as one that names another image, may have revoked the
		// admission of this domain: resolveCommit loads again if that is allowed.
		if !errors.Is(err, errLink) && !errors.Is(err, proto.NotConnected) {
			return v, err
		}
		// The next manager knows whether this one had committed it.
		if err := s.resolveCommit(); err != nil && !errors.Is(err, errLink) {
			return v, err
		}
		if s.inDoubt == nil && s.sequence == v.Sequence {
			return v, nil
		}
	}
	return v, err
}
