package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
)

// A diskRoot is a root on the disk that authenticates.
type diskRoot struct {
	root    *root
	encoded []byte
	slot    int
	copies  [2]bool // true for a copy that is intact
}

// readRoots returns all roots that authenticate. Without any it returns the most
// informative error.
func (s *Store) readRoots() ([]*diskRoot, error) {
	var all []*diskRoot
	why := ErrBlank
	for slot := range 2 {
		for copy := range 2 {
			b := make([]byte, rootSize)
			if _, err := s.cfg.Disk.ReadAt(b, s.cfg.Offset+rootAt(slot, copy)); err != nil {
				s.cfg.Log("ledger: root %d, copy %d: %v", slot, copy, err)
				why = fmt.Errorf("%w: %w", ErrDamaged, err)
				continue
			}
			r, err := parseRoot(b, s.keys, s.cfg.Manager)
			if err != nil {
				if detail(err) > detail(why) {
					why = err
				}
				continue
			}
			s.next = max(s.next, r.sequence+1)
			if n := len(all); n > 0 && all[n-1].slot == slot && bytes.Equal(all[n-1].encoded, b) {
				all[n-1].copies[copy] = true
				continue
			}
			f := &diskRoot{root: r, encoded: b, slot: slot}
			f.copies[copy] = true
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		return nil, why
	}
	return all, nil
}

// detail ranks errors by how informative they are.
func detail(err error) int {
	for i, e := range []error{ErrBlank, ErrDamaged, ErrForeign, ErrVersion} {
		if errors.Is(err, e) {
			return i
		}
	}
	return 0
}

// readAnchor reads the NV index and, if a root is of budget mode, the PCR.
func (s *Store) readAnchor(all []*diskRoot) (err error) {
	if s.value, err = s.cfg.Anchor.Value(); err != nil {
		return fmt.Errorf("ledger: hardware TPM: %w", err)
	}
	for _, f := range all {
		if f.root.mode.Daily != 0 {
			if s.pcr, s.boot, err = s.cfg.Anchor.Chain(); err != nil {
				return fmt.Errorf("ledger: hardware TPM: %w", err)
			}
			return nil
		}
	}
	return nil
}

// accepts reports whether the anchor allows a root to be the current one.
func (s *Store) accepts(f *diskRoot) bool {
	r := f.root
	committed := r.isCommitted(f.encoded, s.value)
	switch {
	case r.mode == Mode{}:
		return committed
	case r.mode.Bounded != 0:
		return committed || r.base == s.value
	case r.boot != s.boot:
		// The PCR was cleared since the root's chain began, so it cannot
		// name the root.
		return committed || r.base == s.value
	case r.pcr != s.cfg.PCR:
		return false
	}
	linked := extend(r.pcrBase, sha256.Sum256(f.encoded)) == s.pcr
	return committed && r.pcrBase == s.pcr || linked && (committed || r.base == s.value)
}

// newestAccepted returns the newest root that the anchor accepts.
func (s *Store) newestAccepted(all []*diskRoot) (*diskRoot, error) {
	var best *diskRoot
	var newest uint64
	for _, f := range all {
		newest = max(newest, f.root.sequence)
		if s.accepts(f) && (best == nil || f.root.sequence > best.root.sequence) {
			best = f
		}
	}
	if best == nil {
		return nil, s.rollbackError(all, newest)
	}
	for _, f := range all {
		if f.root.sequence > best.root.sequence {
			s.cfg.Log("ledger: commit %d was never acknowledged and is dropped; current is %d", f.root.sequence, best.root.sequence)
		}
	}
	return best, nil
}

// rollbackError returns why no root is accepted.
func (s *Store) rollbackError(all []*diskRoot, newest uint64) error {
	for _, f := range all {
		if r := f.root; r.mode.Daily != 0 && r.boot == s.boot && (r.base == s.value || r.isCommitted(f.encoded, s.value)) {
			return fmt.Errorf("%w: commit %d is not the newest since the hardware TPM was reset, or something else extended PCR %d (then reset the platform)",
				ErrRolledBack, r.sequence, r.pcr)
		}
	}
	return fmt.Errorf("%w: newest commit on disk is %d, the NV index (%x...) names another", ErrRolledBack, newest, s.value[:4])
}

// newestRoot returns the root with the highest sequence.
func newestRoot(all []*diskRoot) (best *diskRoot) {
	for _, f := range all {
		if best == nil || f.root.sequence > best.root.sequence {
			best = f
		}
	}
	return best
}
