package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"stubtpm/drivers/block"
)

// newStore checks a configuration and returns an empty store.
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
		return nil, fmt.Errorf("ledger: disk has %d bytes for the ledger, want at least %d", size, MinArea)
	}
	k, err := newKeys(cfg.Key)
	if err != nil {
		return nil, err
	}
	cfg.Key = nil
	return &Store{cfg: cfg, keys: k, capacity: capacity(cfg.Disk.Size() - cfg.Offset), index: map[ID]int{},
		shares: map[shareKey]*share{}, rootSlot: 1, next: 1}, nil
}

// Format makes a new, empty ledger and overwrites the roots of any earlier one. cfg.Offset
// must be a multiple of the sector size.
func Format(cfg Config) (*Store, error) {
	s, err := newStore(cfg)
	if err != nil {
		return nil, err
	}

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
	if err := s.readChain(cfg.Mode); err != nil {
		return nil, err
	}
	a := s.newAttempt(checkpoint, cfg.Mode)
	a.root.epoch = 1
	if err := s.finish(a, checkpoint); err != nil {
		return nil, err
	}
	return s, nil
}

// Open opens a ledger. It accepts only a root that the anchor names
// (docs/ledger-format.md, "Anchor"), and repairs damage of the disk where that is
// possible.
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
	best, err := s.newestAccepted(all)
	if err != nil {
		return nil, err
	}
	if err := s.load(best); err != nil {
		return nil, err
	}
	s.continueFrom(best)
	if s.root.mode.Bounded != 0 {
		if err := s.checkpoint(); err != nil {
			s.cfg.Log("%v", err)
		}
	}
	switch {
	case cfg.Keep || cfg.Mode == s.root.mode:
	case cfg.Mode.WeakerThan(s.root.mode):
		s.cfg.Log("ledger: mode stays %v: %v is weaker and needs an order", s.root.mode, cfg.Mode)
	default:
		if err := s.SetMode(cfg.Mode); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// continueFrom sets up the anchoring of the root that was accepted.
func (s *Store) continueFrom(f *diskRoot) {
	s.chainOpen = s.root.mode.Daily != 0 && s.root.boot == s.boot
	if s.root.isCommitted(f.encoded, s.value) {
		if s.wear.mark != s.root.sequence {
			s.countCheckpoint() // its checkpoint was made after it was written
		}
		return
	}
	// The time of writing is unknown: treat it as overdue.
	s.unanchoredSince = time.Now().Add(-s.root.mode.Bounded)
	if s.root.mode.Daily == 0 {
		return
	}
	w := s.wear
	if w.loose == looseUnknown || w.mark == s.root.sequence { // its checkpoint was not made
		w.loose, w.since = looseNormal, w.markTime
	}
	w.advance(time.Now(), s.root.mode.Daily)
	s.setWear(w)
	if w.loose == looseNormal {
		s.scheduleCheckpoint([]*waiter{{}})
	}
}

// Restore opens an old copy of a ledger, regardless of the anchor, and makes it the
// current one by a commit in a new epoch, which must be higher than all earlier ones. The
// caller must have verified that the owner of the ledger wants it. Restore returns ErrLast
// if the disk has the current ledger.
func Restore(cfg Config, epoch uint32) (*Store, error) { return restore(cfg, epoch, false) }

// Move is Restore for a ledger whose NV index is gone or worn out, with a new one in its
// place, whose writes are counted from zero.
func Move(cfg Config, epoch uint32) (*Store, error) { return restore(cfg, epoch, true) }

func restore(cfg Config, epoch uint32, newIndex bool) (*Store, error) {
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
		if s.accepts(f) {
			return nil, fmt.Errorf("%w: commit %d", ErrLast, f.root.sequence)
		}
	}
	best := newestRoot(all)
	mode := best.root.mode
	if !cfg.Keep && !cfg.Mode.WeakerThan(mode) {
		mode = cfg.Mode
	}
	if epoch <= best.root.epoch {
		return nil, fmt.Errorf("ledger: new epoch %d is not above the old one, %d", epoch, best.root.epoch)
	}
	if err := s.load(best); err != nil {
		return nil, err
	}
	if err := s.readChain(mode); err != nil {
		return nil, err
	}
	if newIndex {
		w := s.wear
		w.writes, w.today, w.yesterday = 0, 0, 0
		s.setWear(w)
	}
	a := s.newAttempt(checkpoint, mode)
	a.root.epoch, a.root.restored = epoch, best.root.sequence
	if err := s.finish(a, checkpoint); err != nil {
		return nil, err
	}
	s.cfg.Log("ledger: commit %d of epoch %d restored as commit %d of epoch %d", best.root.sequence, best.root.epoch, a.root.sequence, epoch)
	return s, nil
}

// NewestRoot returns the SHA-256 of the newest root that authenticates, whatever the
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
	return sha256.Sum256(newestRoot(all).encoded), nil
}

// Peek returns an item of the ledger that Restore would open. It writes nothing and does
// not use the anchor: the item may be old.
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
	if err := s.load(newestRoot(all)); err != nil {
		return nil, err
	}
	return s.Get(id)
}

// readOnly is a disk that drops all writes, so that opening it repairs nothing.
type readOnly struct{ block.Device }

func (readOnly) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (readOnly) Flush() error                           { return nil }
