package ledger

import (
	"fmt"
)

// load reads what a root names, and repairs the disk.
func (s *Store) load(f *diskRoot) error {
	s.root, s.encoded, s.rootSlot = *f.root, f.encoded, f.slot
	s.seq, s.epoch, s.mode, s.wear = f.root.sequence, f.root.epoch, f.root.mode, f.root.wear
	if n := len(f.root.leaves); n > 0 && s.capacity <= (n-1)*perLeaf {
		return ErrSmaller
	}
	dirty := false
	for copy, intact := range f.copies {
		if !intact {
			s.cfg.Log("ledger: repairing a damaged copy of the root")
			if err := s.writeAt(f.encoded, rootAt(f.slot, copy)); err != nil {
				return err
			}
			dirty = true
		}
	}
	area := make([]byte, groupSize)
	for n := range f.root.leaves {
		repaired, err := s.loadGroup(n, area)
		if err != nil {
			return err
		}
		dirty = dirty || repaired
	}
	for i := range s.places {
		switch p := &s.places[i]; {
		case p.inUse():
			s.index[p.id] = i
		default:
			s.free = append(s.free, i)
		}
	}
	if len(s.stale) > 0 {
		s.eraseStale()
	} else if dirty {
		return s.flush()
	}
	return nil
}

// itemsOf returns how many items of leaf n the disk has room for.
func (s *Store) itemsOf(n int) int { return min(perLeaf, s.capacity-n*perLeaf) }

// loadGroup loads leaf n and its items, and reports whether it repaired the leaf. It
// reads into area, of groupSize bytes.
func (s *Store) loadGroup(n int, area []byte) (repaired bool, err error) {
	items := s.itemsOf(n)
	s.leafSlot = append(s.leafSlot, 1)
	if s.root.leaves[n] == (hash{}) {
		s.places = append(s.places, make([]place, items)...)
		return false, nil
	}
	g, err := s.readGroup(n, area[:2*leafSize+items*2*itemSize])
	if err != nil {
		return false, err
	}
	entries := s.findLeaf(g)
	if entries == nil {
		if entries, err = s.repairLeaf(g); err != nil {
			return false, err
		}
		if entries == nil {
			s.loseLeaf(g)
			return false, nil
		}
		repaired = true
	}
	for i, e := range entries[:items] {
		s.loadItem(g, i, e)
	}
	for _, e := range entries[items:] {
		if e.sequence != 0 {
			return false, ErrSmaller
		}
	}
	return repaired, nil
}

// loadItem adds the place of item i of a group, which entry e names.
func (s *Store) loadItem(g *group, i int, e entry) {
	index := g.index(i)
	p := place{entry: e}
	if e.sequence != 0 && !e.deleted {
		it := g.items[i][e.slot]
		switch {
		case it == nil:
			p.damage = s.newDamage(e.id, index, e.slot, g.why[i][e.slot])
		case itemHash(g.sector(i, e.slot)) != e.hash || it.sequence != e.sequence || it.id != e.id || it.body == nil:
			p.damage = s.newDamage(e.id, index, e.slot, fmt.Errorf("intact but of commit %d, want %d", it.sequence, e.sequence))
		default:
			p.body = it.body
		}
	}
	if p.damage != nil {
		s.cfg.Log("%v", p.damage)
	}
	s.places = append(s.places, p)
	// The free slot must hold neither a later version nor a deleted body.
	if it := g.items[i][p.freeSlot()]; it != nil && (it.sequence > s.root.sequence || e.deleted) {
		s.stale = append(s.stale, index)
	}
}

func (s *Store) newDamage(id ID, index, slot int, why error) *Damage {
	return &Damage{ID: id, Index: index, Offset: s.cfg.Offset + itemAt(index, slot), Why: why}
}
