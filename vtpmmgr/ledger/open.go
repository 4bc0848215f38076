package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"stubtpm/drivers/block"
)

// newStore checks a configuration.
func newStore(cfg Config) (*Store, error) {
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	if cfg.Anchor == nil {
		return nil, errors.New("ledger: no anchor")
	}
	if err := cfg.Mode.Check(); err != nil {
		return nil, err
	}
	if size := cfg.Disk.Size() - cfg.Offset; size < MinArea {
		return nil, fmt.Errorf("ledger: %d bytes of disk, need at least %d", size, MinArea)
	}
	k, err := newKeys(cfg.Key)
	if err != nil {
		return nil, err
	}
	cfg.Key = nil
	return &Store{cfg: cfg, keys: k, capacity: capacity(cfg.Disk.Size() - cfg.Offset), index: map[ID]int{},
		shares: map[ID]*share{}, rootSlot: 1, next: 1}, nil
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
	if err := s.chain(cfg.Mode); err != nil {
		return nil, err
	}
	a := s.begin(checkpoint, cfg.Mode)
	a.root.epoch = 1
	if err := s.finish(a, checkpoint); err != nil {
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

// Open opens a ledger. Only a root that the anchor names is taken
// (docs/ledger-format.md, "Anchor"). Damage is repaired where that can be done.
func Open(cfg Config) (*Store, error) {
	s, err := newStore(cfg)
	if err != nil {
		return nil, err
	}
	all, err := s.readRoots()
	if err != nil {
		return nil, err
	}
	if err := s.readAnchor(all); err != nil {
		return nil, err
	}
	best, err := s.choice(all)
	if err != nil {
		return nil, err
	}
	if err := s.load(best); err != nil {
		return nil, err
	}
	s.resume(best)
	if s.root.mode.Bounded != 0 {
		if err := s.anchor(); err != nil {
			s.cfg.Log("%v", err)
		}
	}
	switch {
	case cfg.Keep || cfg.Mode == s.root.mode:
	case cfg.Mode.WeakerThan(s.root.mode):
		s.cfg.Log("ledger: mode stays %v: %v is weaker, and needs an order", s.root.mode, cfg.Mode)
	default:
		if err := s.SetMode(cfg.Mode); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readAnchor reads the NV index and, if a root may need it, the PCR.
func (s *Store) readAnchor(all []*found) (err error) {
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

// taken reports whether a root is one that the anchor lets be the last one.
func (s *Store) taken(f *found) bool {
	r := f.root
	committed := r.committed(f.encoded, s.value)
	switch {
	case r.mode == Mode{}:
		return committed
	case r.mode.Bounded != 0:
		return committed || r.base == s.value
	case r.boot != s.boot:
		// The PCR was cleared since its chain began. What is on it is a
		// later boot's, or nothing.
		return committed || r.base == s.value
	case r.pcr != s.cfg.PCR:
		return false
	}
	linked := extended(r.pcrBase, sha256.Sum256(f.encoded)) == s.pcr
	return committed && r.pcrBase == s.pcr || linked && (committed || r.base == s.value)
}

// choice returns the newest root that is taken.
func (s *Store) choice(all []*found) (*found, error) {
	var best *found
	var newest uint64
	for _, f := range all {
		newest = max(newest, f.root.sequence)
		if s.taken(f) && (best == nil || f.root.sequence > best.root.sequence) {
			best = f
		}
	}
	if best == nil {
		return nil, s.refusal(all, newest)
	}
	for _, f := range all {
		if f.root.sequence > best.root.sequence {
			s.cfg.Log("ledger: commit %d was never answered, and is dropped; the last is %d", f.root.sequence, best.root.sequence)
		}
	}
	return best, nil
}

// refusal says why no root is taken.
func (s *Store) refusal(all []*found, newest uint64) error {
	for _, f := range all {
		if r := f.root; r.mode.Daily != 0 && r.boot == s.boot && (r.base == s.value || r.committed(f.encoded, s.value)) {
			return fmt.Errorf("%w: commit %d is not the last one since the hardware TPM was reset, or something else extended PCR %d (if so, a reset of the platform helps)",
				ErrRolledBack, r.sequence, r.pcr)
		}
	}
	return fmt.Errorf("%w: the newest commit on the disk is %d, and not that which the hardware TPM has (%x...)", ErrRolledBack, newest, s.value[:4])
}

// resume goes on from the root that was taken.
func (s *Store) resume(f *found) {
	s.fresh = s.root.mode.Daily != 0 && s.root.boot == s.boot
	if s.root.committed(f.encoded, s.value) {
		if s.wear.mark != s.root.sequence {
			s.checkpointed() // its own checkpoint came later than it
		}
		return
	}
	// When it was written is not known: its time is over.
	s.pending = time.Now().Add(-s.root.mode.Bounded)
	if s.root.mode.Daily != 0 {
		s.soon([]*waiter{{}})
	}
}

// Restore opens an old copy of a ledger, whatever the anchor says, and makes it
// the last one by a commit in a new epoch, which has to be higher than any
// before. Whoever calls it has made sure that the owner wants it. It fails with
// ErrLast where the disk has the last one.
func Restore(cfg Config, epoch uint32) (*Store, error) {
	s, err := newStore(cfg)
	if err != nil {
		return nil, err
	}
	all, err := s.readRoots()
	if err != nil {
		return nil, err
	}
	if err := s.readAnchor(all); err != nil {
		return nil, err
	}
	for _, f := range all {
		if s.taken(f) {
			return nil, fmt.Errorf("%w: commit %d", ErrLast, f.root.sequence)
		}
	}
	best := newestOf(all)
	mode := best.root.mode
	if !cfg.Keep && !cfg.Mode.WeakerThan(mode) {
		mode = cfg.Mode
	}
	if epoch <= best.root.epoch {
		return nil, fmt.Errorf("ledger: epoch %d, the old one is %d", epoch, best.root.epoch)
	}
	if err := s.load(best); err != nil {
		return nil, err
	}
	if err := s.chain(mode); err != nil {
		return nil, err
	}
	a := s.begin(checkpoint, mode)
	a.root.epoch, a.root.restored = epoch, best.root.sequence
	if err := s.finish(a, checkpoint); err != nil {
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

// NewestRoot returns the hash of the newest root that authenticates, whatever the
// anchor says.
func NewestRoot(cfg Config) (h [32]byte, err error) {
	s, err := newStore(cfg)
	if err != nil {
		return h, err
	}
	all, err := s.readRoots()
	if err != nil {
		return h, err
	}
	return sha256.Sum256(newestOf(all).encoded), nil
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
	s.seq, s.epoch, s.mode, s.wear = f.root.sequence, f.root.epoch, f.root.mode, f.root.wear
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
	if s.root.leaves[n] == (hash{}) {
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
