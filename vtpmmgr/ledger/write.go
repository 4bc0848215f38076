package ledger

import "fmt"

// eraseFailedRoot overwrites the root of a failed attempt. The root may be on the disk,
// and would become current after a loss of power; so it must be gone before the items that
// it names are overwritten.
func (s *Store) eraseFailedRoot() error {
	if !s.failedRoot {
		return nil
	}
	for copy := range 2 {
		if err := s.writeAt(make([]byte, rootSize), rootAt(1-s.rootSlot, copy)); err != nil {
			return err
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.failedRoot = false
	return nil
}

// write writes items and leaves into slots that the current root does not need, flushes,
// and writes the root into the other root slot.
func (s *Store) write(a *attempt) error {
	if err := s.eraseFailedRoot(); err != nil {
		return err
	}
	for _, i := range s.stale {
		if _, again := a.places[i]; !again {
			if err := s.writeAt(make([]byte, itemSize), itemAt(i, s.places[i].freeSlot())); err != nil {
				return err
			}
		}
	}
	leaves := map[int]bool{}
	for i, p := range a.places {
		sector := s.keys.seal(&item{p.id, p.sequence, p.body}, s.cfg.Manager, i, p.slot)
		p.hash = itemHash(sector)
		a.places[i] = p
		if err := s.writeAt(sector, itemAt(i, p.slot)); err != nil {
			return err
		}
		leaves[i/perLeaf] = true
	}
	for n := range leaves {
		if err := s.writeLeaf(a, n); err != nil {
			return err
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.stale = nil
	a.encoded = a.root.encode(s.keys, s.cfg.Manager)
	for copy := range 2 {
		if err := s.writeAt(a.encoded, rootAt(1-s.rootSlot, copy)); err != nil {
			return err
		}
	}
	return s.flush()
}

// entries returns the entries of leaf n as the attempt has them.
func (s *Store) entries(a *attempt, n int) []entry {
	entries := make([]entry, perLeaf)
	for i := range entries {
		index := n*perLeaf + i
		if p, ok := a.places[index]; ok {
			entries[i] = p.entry
		} else if index < len(s.places) {
			entries[i] = s.places[index].entry
		}
	}
	return entries
}

// writeLeaf writes leaf n as the attempt has it, and its hash into the attempt's root.
func (s *Store) writeLeaf(a *attempt, n int) error {
	for n >= len(a.root.leaves) {
		a.root.leaves = append(a.root.leaves, hash{})
	}
	slot := 0
	if n < len(s.leafSlot) {
		slot = 1 - s.leafSlot[n]
	}
	b := encodeLeaf(n, s.cfg.Manager, s.entries(a, n))
	a.root.leaves[n] = leafHash(b)
	a.leafSlot[n] = slot
	return s.writeAt(b, leafAt(n, slot))
}

// eraseStale overwrites the sectors that deleted items left. If that fails, the next
// commit or the next Open does it.
func (s *Store) eraseStale() {
	if len(s.stale) == 0 {
		return
	}
	for _, i := range s.stale {
		if err := s.writeAt(make([]byte, itemSize), itemAt(i, s.places[i].freeSlot())); err != nil {
			s.cfg.Log("ledger: a deleted item's sector is not overwritten yet, will retry: %v", err)
			return
		}
	}
	if err := s.flush(); err != nil {
		s.cfg.Log("ledger: a deleted item's sector is not overwritten yet, will retry: %v", err)
		return
	}
	s.stale = nil
}

func (s *Store) writeAt(b []byte, at int64) error {
	if _, err := s.cfg.Disk.WriteAt(b, s.cfg.Offset+at); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

func (s *Store) flush() error {
	if err := s.cfg.Disk.Flush(); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}
