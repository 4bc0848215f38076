package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"stubtpm/drivers/block"
)

func leafHash(b []byte) [32]byte { return sha256.Sum256(b) }

// newStore checks a configuration.
func newStore(cfg Config) (*Store, error) {
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	if cfg.Anchor == nil || cfg.Mode.Bounded < 0 {
		return nil, errors.New("ledger: no anchor, or a mode that is none")
	}
	if size := cfg.Disk.Size() - cfg.Offset; size < MinArea {
		return nil, fmt.Errorf("ledger: %d bytes of disk, need at least %d", size, MinArea)
	}
	k, err := newKeys(cfg.Key)
	if err != nil {
		return nil, err
	}
	cfg.Key = nil
	return &Store{cfg: cfg, keys: k, capacity: capacity(cfg.Disk.Size() - cfg.Offset), index: map[ID]int{}, rootSlot: 1, next: 1}, nil
}

// Format makes a new, empty ledger and overwrites the roots of any that was
// there. Its Offset must be a multiple of the sector size.
func Format(cfg Config) (*Store, error) {
	s, err := newStore(cfg)
	if err != nil {
		return nil, err
	}
	// No root of an earlier ledger stays behind.
	for slot := range 2 {
		for copy := range 2 {
			if err := s.writeAt(make([]byte, rootSize), rootAt(slot, copy)); err != nil {
				return nil, err
			}
		}
	}
	if s.value, err = cfg.Anchor.Value(); err != nil {
		return nil, fmt.Errorf("ledger: hardware TPM: %w", err)
	}
	a := s.begin()
	a.root.epoch, a.root.bounded = 1, cfg.Mode.Bounded
	if err := s.finish(a, true); err != nil {
		return nil, err
	}
	return s, nil
}

// A found is a root that authenticates.
type found struct {
	root    *root
	encoded []byte
	slot    int
	copies  [2]bool // which are whole
}

// readRoots reads all copies of all roots. If none authenticates it says the
// most that is known of why.
func (s *Store) readRoots() ([]*found, error) {
	var all []*found
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
				if rank(err) > rank(why) {
					why = err
				}
				continue
			}
			s.next = max(s.next, r.sequence+1)
			if n := len(all); n > 0 && all[n-1].slot == slot && bytes.Equal(all[n-1].encoded, b) {
				all[n-1].copies[copy] = true
				continue
			}
			f := &found{root: r, encoded: b, slot: slot}
			f.copies[copy] = true
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		return nil, why
	}
	return all, nil
}

// rank orders errors by how much they tell.
func rank(err error) int {
	for i, e := range []error{ErrBlank, ErrDamaged, ErrForeign, ErrVersion} {
		if errors.Is(err, e) {
			return i
		}
	}
	return 0
}

// Open opens a ledger. Only a root that is the anchor's is taken; in a bounded
// mode also the newest written since. Damage is mended where that can be done.
func Open(cfg Config) (*Store, error) {
	s, err := newStore(cfg)
	if err != nil {
		return nil, err
	}
	all, err := s.readRoots()
	if err != nil {
		return nil, err
	}
	if s.value, err = cfg.Anchor.Value(); err != nil {
		return nil, fmt.Errorf("ledger: hardware TPM: %w", err)
	}
	best, err := s.choose(all)
	if err != nil {
		return nil, err
	}
	if err := s.load(best); err != nil {
		return nil, err
	}
	if !best.root.committed(best.encoded, s.value) {
		// When it was written is not known: its time is over.
		s.pending = time.Now().Add(-best.root.bounded)
		if err := s.anchor(); err != nil {
			s.cfg.Log("%v", err)
		}
	}
	if err := s.SetMode(cfg.Mode); err != nil {
		return nil, err
	}
	return s, nil
}

// choose returns the root that the anchor knows.
func (s *Store) choose(all []*found) (*found, error) {
	var best *found
	var newest uint64
	for _, f := range all {
		newest = max(newest, f.root.sequence)
		ok := f.root.committed(f.encoded, s.value)
		if f.root.bounded != 0 && f.root.isPending(s.value) {
			ok = true
		}
		if ok && (best == nil || f.root.sequence > best.root.sequence) {
			best = f
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w: the newest commit on the disk is %d, and not that which the hardware TPM has (%x...)", ErrRolledBack, newest, s.value[:4])
	}
	for _, f := range all {
		if f.root.sequence > best.root.sequence {
			s.cfg.Log("ledger: commit %d was never answered, and is dropped; the last is %d", f.root.sequence, best.root.sequence)
		}
	}
	return best, nil
}

// Restore opens an old copy of a ledger, whatever the anchor says, and makes it
// the last one by a commit in a new epoch, which has to be higher than any
// before. Whoever calls it has made sure that the owner wants it.
func Restore(cfg Config, epoch uint32) (*Store, error) {
	s, err := newStore(cfg)
	if err != nil {
		return nil, err
	}
	all, err := s.readRoots()
	if err != nil {
		return nil, err
	}
	if s.value, err = cfg.Anchor.Value(); err != nil {
		return nil, fmt.Errorf("ledger: hardware TPM: %w", err)
	}
	best := newestOf(all)
	if epoch <= best.root.epoch {
		return nil, fmt.Errorf("ledger: epoch %d, the old one is %d", epoch, best.root.epoch)
	}
	if err := s.load(best); err != nil {
		return nil, err
	}
	a := s.begin()
	a.root.epoch, a.root.bounded, a.root.restored = epoch, cfg.Mode.Bounded, best.root.sequence
	if err := s.finish(a, true); err != nil {
		return nil, err
	}
	s.cfg.Log("ledger: commit %d of epoch %d restored as commit %d of epoch %d", best.root.sequence, best.root.epoch, a.root.sequence, epoch)
	return s, nil
}

func newestOf(all []*found) (best *found) {
	for _, f := range all {
		if best == nil || f.root.sequence > best.root.sequence {
			best = f
		}
	}
	return best
}

// Peek returns an item of the ledger that Restore would take, and changes
// nothing. It asks no anchor: what it returns may be old.
func Peek(cfg Config, id ID) ([]byte, error) {
	cfg.Disk = readOnly{cfg.Disk}
	s, err := newStore(cfg)
	if err != nil {
		return nil, err
	}
	all, err := s.readRoots()
	if err != nil {
		return nil, err
	}
	if err := s.load(newestOf(all)); err != nil {
		return nil, err
	}
	return s.Get(id)
}

// readOnly is a disk on which nothing is mended.
type readOnly struct{ block.Device }

func (readOnly) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (readOnly) Flush() error                           { return nil }

// load reads what a root names, and mends the disk.
func (s *Store) load(f *found) error {
	s.root, s.encoded, s.rootSlot = *f.root, f.encoded, f.slot
	s.seq, s.epoch = f.root.sequence, f.root.epoch
	if n := len(f.root.leaves); n > 0 && s.capacity <= (n-1)*perLeaf {
		return fmt.Errorf("%w: the disk is smaller than it was", ErrDamaged)
	}
	dirty := false
	for copy, whole := range f.copies {
		if !whole {
			s.cfg.Log("ledger: a copy of the root was damaged, and is mended")
			if err := s.writeAt(f.encoded, rootAt(f.slot, copy)); err != nil {
				return err
			}
			dirty = true
		}
	}
	group := make([]byte, groupSize)
	for n := range f.root.leaves {
		mended, err := s.loadGroup(n, group)
		if err != nil {
			return err
		}
		dirty = dirty || mended
	}
	for i := range s.places {
		switch p := &s.places[i]; {
		case p.used():
			s.index[p.id] = i
		default:
			s.free = append(s.free, i)
		}
	}
	if len(s.erase) > 0 {
		s.eraseNow()
	} else if dirty {
		return s.flush()
	}
	return nil
}

// items is how many places of a leaf the disk has room for.
func (s *Store) items(n int) int { return min(perLeaf, s.capacity-n*perLeaf) }

// loadGroup reads a leaf and its items.
func (s *Store) loadGroup(n int, group []byte) (mended bool, err error) {
	items := s.items(n)
	group = group[:2*leafSize+items*2*itemSize]
	s.leafSlot = append(s.leafSlot, 1)
	if s.root.leaves[n] == [32]byte{} {
		s.places = append(s.places, make([]place, items)...)
		return false, nil
	}
	if _, err := s.cfg.Disk.ReadAt(group, s.cfg.Offset+leafAt(n, 0)); err != nil {
		return false, fmt.Errorf("ledger: %w", err)
	}
	sectors := group[2*leafSize:]
	sector := func(i, slot int) []byte { return sectors[(2*i+slot)*itemSize:][:itemSize] }
	read := make([][2]*item, items)
	why := make([][2]error, items)
	for i := range read {
		for slot := range 2 {
			if b := sector(i, slot); !blank(b) {
				read[i][slot], why[i][slot] = s.keys.open(b, s.cfg.Manager, n*perLeaf+i, slot)
			} else {
				why[i][slot] = errors.New("overwritten with zeros")
			}
			if it := read[i][slot]; it != nil {
				s.next = max(s.next, it.sequence+1)
			}
		}
	}
	entries := s.findLeaf(n, group)
	if entries == nil {
		entries = rebuild(read, sector, s.root.sequence)
		b := encodeLeaf(n, s.cfg.Manager, entries)
		whole := leafHash(b) == s.root.leaves[n]
		s.cfg.Log("ledger: leaf %d was damaged; made again from its items: %v", n, whole)
		if !whole {
			s.unknown(n, read, sector)
			return false, nil
		}
		if err := s.writeAt(b, leafAt(n, 0)); err != nil {
			return false, err
		}
		s.leafSlot[n], mended = 0, true
	}
	for i, e := range entries[:items] {
		index := n*perLeaf + i
		p := place{entry: e}
		if e.sequence != 0 {
			it := read[i][e.slot]
			switch {
			case e.deleted:
			case it == nil:
				p.damage = s.damage(e.id, index, e.slot, why[i][e.slot])
			case itemHash(sector(i, e.slot)) != e.hash || it.sequence != e.sequence || it.id != e.id || it.body == nil:
				p.damage = s.damage(e.id, index, e.slot, fmt.Errorf("whole, but of commit %d, and %d is the last", it.sequence, e.sequence))
			default:
				p.body = it.body
			}
		}
		if p.damage != nil {
			s.cfg.Log("%v", p.damage)
		}
		s.places = append(s.places, p)
		// A slot not in use must have nothing newer, nor what was deleted.
		if it := read[i][p.spare()]; it != nil && (it.sequence > s.root.sequence || e.deleted) {
			s.erase = append(s.erase, index)
		}
	}
	for i := items; i < perLeaf; i++ {
		if e := entries[i]; e.sequence != 0 {
			return false, fmt.Errorf("%w: the disk is smaller than it was", ErrDamaged)
		}
	}
	return mended, nil
}

// findLeaf returns the entries of the slot that the root names, nil if it is
// in neither.
func (s *Store) findLeaf(n int, group []byte) []entry {
	for slot := range 2 {
		b := group[slot*leafSize:][:leafSize]
		if leafHash(b) != s.root.leaves[n] {
			continue
		}
		if entries, err := parseLeaf(b, n, s.cfg.Manager); err == nil {
			s.leafSlot[n] = slot
			return entries
		}
	}
	return nil
}

// rebuild makes a leaf from its items: of each the newest up to a sequence.
func rebuild(read [][2]*item, sector func(i, slot int) []byte, last uint64) []entry {
	entries := make([]entry, perLeaf)
	for i := range read {
		for slot, it := range read[i] {
			if it == nil || it.sequence > last || it.sequence <= entries[i].sequence {
				continue
			}
			entries[i] = entry{id: it.id, sequence: it.sequence, slot: slot, deleted: it.body == nil, hash: itemHash(sector(i, slot))}
		}
	}
	return entries
}

// unknown notes that a leaf is lost together with one of its items, so that of
// none can be said whether it is the last version.
func (s *Store) unknown(n int, read [][2]*item, sector func(i, slot int) []byte) {
	why := errors.New("the leaf above it is damaged, and cannot be made again")
	for i := range read {
		p := place{}
		for slot, it := range read[i] {
			if it != nil && it.sequence > p.sequence {
				p.entry = entry{id: it.id, sequence: it.sequence, slot: slot, deleted: it.body == nil}
			}
		}
		if p.sequence == 0 && !(blank(sector(i, 0)) && blank(sector(i, 1))) {
			p.sequence = 1 // of somebody whose name is lost
		}
		if p.sequence != 0 && !p.deleted {
			p.damage = s.damage(p.id, n*perLeaf+i, p.slot, why)
			s.cfg.Log("%v", p.damage)
		}
		s.places = append(s.places, p)
	}
}

func (s *Store) damage(id ID, index, slot int, why error) *Damage {
	return &Damage{ID: id, Index: index, Offset: s.cfg.Offset + itemAt(index, slot), Why: why}
}
