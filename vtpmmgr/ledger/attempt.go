package ledger

import (
	"crypto/rand"
	"time"
)

// newAttempt returns an empty attempt with a new sequence, based on the current root.
func (s *Store) newAttempt(how anchoring, m Mode) *attempt {
	a := &attempt{root: s.root, places: map[int]place{}, index: map[ID]int{}, leafSlot: map[int]int{}}
	a.root.version = version
	a.root.leaves = append([]hash(nil), s.root.leaves...)
	a.root.sequence = s.next
	a.root.base, a.root.pcrBase, a.root.boot, a.root.pcr = s.value, [32]byte{}, 0, 0
	if m.Daily != 0 {
		a.root.pcrBase, a.root.boot, a.root.pcr = s.pcr, s.boot, s.cfg.PCR
	}
	rand.Read(a.root.nonce[:])
	a.root.wear = s.wear
	if a.root.mode != m {
		a.root.mode, a.root.wear.credit = m, fullCredit(m.Daily)
	}
	a.root.wear.advance(time.Now(), m.Daily)
	if how == checkpoint {
		a.root.wear.spend(a.root.sequence, time.Now())
	}
	s.next++
	return a
}

// stage adds one caller's changes to an attempt, all or none.
func (s *Store) stage(a *attempt, changes []Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	find := func(id ID) int {
		if i, ok := a.index[id]; ok {
			return i
		}
		if i, ok := s.index[id]; ok {
			return i
		}
		return -1
	}
	fresh := map[ID]bool{}
	for _, c := range changes {
		if c.Body != nil && find(c.ID) < 0 {
			fresh[c.ID] = true
		}
	}
	if len(fresh) > len(s.free)+s.capacity-len(s.places) {
		return ErrFull
	}
	for _, c := range changes {
		i := find(c.ID)
		if i < 0 {
			if c.Body == nil {
				continue
			}
			if n := len(s.free); n > 0 {
				i, s.free = s.free[n-1], s.free[:n-1]
			} else {
				i = len(s.places)
				s.places = append(s.places, place{})
			}
			a.allocated = append(a.allocated, i)
		}
		p := place{entry: entry{id: c.ID, sequence: a.root.sequence, slot: s.places[i].freeSlot(), deleted: c.Body == nil}, body: c.Body}
		a.places[i] = p
		a.index[c.ID] = i
		if c.Body == nil {
			a.index[c.ID] = -1
		}
	}
	return nil
}

// abandon gives up an attempt. Its sectors must be erased: a rebuilt leaf could mistake
// them for those of an older commit.
func (s *Store) abandon(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, a.allocated...)
	for i := range a.places {
		s.stale = append(s.stale, i)
	}
	s.failedRoot = s.failedRoot || a.encoded != nil
}

// apply makes an attempt the current state of the store.
func (s *Store) apply(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range a.places {
		s.places[i] = p
		if p.deleted {
			s.free = append(s.free, i)
			s.stale = append(s.stale, i)
		}
	}
	for id, i := range a.index {
		if i < 0 {
			delete(s.index, id)
		} else {
			s.index[id] = i
		}
	}
	for len(s.leafSlot) < len(a.root.leaves) {
		s.leafSlot = append(s.leafSlot, 1)
	}
	for n, slot := range a.leafSlot {
		s.leafSlot[n] = slot
	}
	s.root, s.encoded, s.rootSlot = a.root, a.encoded, 1-s.rootSlot
	s.seq, s.epoch, s.mode, s.wear = a.root.sequence, a.root.epoch, a.root.mode, a.root.wear
}
