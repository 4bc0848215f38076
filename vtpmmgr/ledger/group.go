package ledger

import (
	"errors"
	"fmt"
)

// A group is what the disk has of one leaf and its items.
type group struct {
	number int
	area   []byte     // both slots of the leaf and of each item
	items  [][2]*item // by item and slot; nil if the sector has no valid item
	why    [][2]error // why it is nil
}

// readGroup reads the group of leaf n into area.
func (s *Store) readGroup(n int, area []byte) (*group, error) {
	if _, err := s.cfg.Disk.ReadAt(area, s.cfg.Offset+leafAt(n, 0)); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	items := (len(area) - 2*leafSize) / (2 * itemSize)
	g := &group{number: n, area: area, items: make([][2]*item, items), why: make([][2]error, items)}
	for i := range g.items {
		for slot := range 2 {
			if b := g.sector(i, slot); !isZero(b) {
				g.items[i][slot], g.why[i][slot] = s.keys.open(b, s.cfg.Manager, g.index(i), slot)
			} else {
				g.why[i][slot] = errors.New("overwritten with zeros")
			}
			if it := g.items[i][slot]; it != nil {
				s.next = max(s.next, it.sequence+1)
			}
		}
	}
	return g, nil
}

// index returns the index of the group's item i.
func (g *group) index(i int) int { return g.number*perLeaf + i }

// sector returns a slot of the group's item i.
func (g *group) sector(i, slot int) []byte {
	return g.area[2*leafSize+(2*i+slot)*itemSize:][:itemSize]
}

// findLeaf returns the entries of the leaf slot that the root names, or nil if neither
// is intact.
func (s *Store) findLeaf(g *group) []entry {
	for slot := range 2 {
		b := g.area[slot*leafSize:][:leafSize]
		if leafHash(b) != s.root.leaves[g.number] {
			continue
		}
		if entries, err := parseLeaf(b, g.number, s.cfg.Manager); err == nil {
			s.leafSlot[g.number] = slot
			return entries
		}
	}
	return nil
}

// repairLeaf rebuilds a damaged leaf from its items and writes it. It returns nil if
// what it rebuilt is not the leaf that the root names.
func (s *Store) repairLeaf(g *group) ([]entry, error) {
	entries := g.rebuild(s.root.sequence)
	b := encodeLeaf(g.number, s.cfg.Manager, entries)
	if leafHash(b) != s.root.leaves[g.number] {
		s.cfg.Log("ledger: leaf %d is damaged and cannot be rebuilt from its items", g.number)
		return nil, nil
	}
	s.cfg.Log("ledger: leaf %d was damaged; rebuilt from its items", g.number)
	if err := s.writeAt(b, leafAt(g.number, 0)); err != nil {
		return nil, err
	}
	s.leafSlot[g.number] = 0
	return entries, nil
}

// rebuild returns a leaf's entries made from its items: the newest version of each up
// to sequence last.
func (g *group) rebuild(last uint64) []entry {
	entries := make([]entry, perLeaf)
	for i := range g.items {
		for slot, it := range g.items[i] {
			if it == nil || it.sequence > last || it.sequence <= entries[i].sequence {
				continue
			}
			entries[i] = entry{id: it.id, sequence: it.sequence, slot: slot, deleted: it.body == nil, hash: itemHash(g.sector(i, slot))}
		}
	}
	return entries
}

// loseLeaf marks all items of a group as damaged: the leaf and at least one of its items
// are lost, so no item is known to be its last version.
func (s *Store) loseLeaf(g *group) {
	why := errors.New("its leaf is damaged and cannot be rebuilt")
	for i := range g.items {
		p := place{}
		for slot, it := range g.items[i] {
			if it != nil && it.sequence > p.sequence {
				p.entry = entry{id: it.id, sequence: it.sequence, slot: slot, deleted: it.body == nil}
			}
		}
		if p.sequence == 0 && !(isZero(g.sector(i, 0)) && isZero(g.sector(i, 1))) {
			p.sequence = 1 // an item whose ID is lost
		}
		if p.sequence != 0 && !p.deleted {
			p.damage = s.newDamage(p.id, g.index(i), p.slot, why)
			s.cfg.Log("%v", p.damage)
		}
		s.places = append(s.places, p)
	}
}
