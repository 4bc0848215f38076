package ledger

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// A waiter is a call that needs the disk: a commit, or something else that
// runs alone.
type waiter struct {
	changes []Change
	class   Class
	alone   func() error
	done    chan verdict
}

// A verdict ends a waiter's wait, or makes it lead.
type verdict struct {
	lead bool
	err  error
}

// Commit makes changes, all or none, and returns when they are durable (and,
// in strict mode, anchored). Commits that wait for the disk at the same time
// go into one, in the order in which they came.
//
// After an error nothing is changed in memory; after a cut of power following
// an error the changes may be there, until a later commit succeeds. Errors:
// ErrFull, ErrTooLarge, ErrDoubt, ErrSettled, ErrClosed, those of the disk and
// those of the anchor.
func (s *Store) Commit(changes ...Change) error { return s.CommitAs(Class{}, changes...) }

// CommitAs is Commit of a class.
func (s *Store) CommitAs(c Class, changes ...Change) error {
	own := make([]Change, len(changes))
	for i, c := range changes {
		if c.ID == (ID{}) || len(c.Body) > MaxBody {
			return fmt.Errorf("%w: %v with %d bytes", ErrTooLarge, c.ID, len(c.Body))
		}
		own[i] = Change{c.ID, bytes.Clone(c.Body)}
	}
	return s.wait(&waiter{changes: own, class: c})
}

// alone runs something while no commit does.
func (s *Store) alone(f func() error) error { return s.wait(&waiter{alone: f}) }

func (s *Store) wait(w *waiter) error {
	w.done = make(chan verdict, 1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.queue = append(s.queue, w)
	lead := !s.leading
	s.leading = true
	s.mu.Unlock()
	if !lead {
		v := <-w.done
		if !v.lead {
			return v.err
		}
	}
	s.lead()
	return (<-w.done).err
}

// lead serves what waits now, its own call among it, and hands over to the
// next that came meanwhile, so that nobody serves others for ever.
func (s *Store) lead() {
	for first := true; ; first = false {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.leading = false
			s.mu.Unlock()
			return
		}
		if !first {
			s.queue[0].done <- verdict{lead: true}
			s.mu.Unlock()
			return
		}
		n := 1
		if s.queue[0].alone == nil {
			for n < len(s.queue) && s.queue[n].alone == nil {
				n++
			}
		}
		batch := s.queue[:n:n]
		s.queue = s.queue[n:]
		closed := s.closed
		s.mu.Unlock()
		switch {
		case closed:
			answer(batch, ErrClosed)
		case batch[0].alone != nil:
			answer(batch, batch[0].alone())
		default:
			s.commit(batch)
		}
	}
}

func answer(batch []*waiter, err error) {
	for _, w := range batch {
		w.done <- verdict{err: err}
	}
}

// commit makes one commit of several callers' changes.
func (s *Store) commit(batch []*waiter) {
	if err := s.settle(); err != nil {
		answer(batch, err)
		return
	}
	if err := s.inTime(); err != nil {
		answer(batch, err)
		return
	}
	for try := 1; ; try++ {
		if err := s.chain(s.root.mode); err != nil {
			answer(batch, err)
			return
		}
		how := s.choose(batch)
		a := s.begin(how, s.root.mode)
		taken := batch[:0]
		for _, w := range batch {
			if err := s.stage(a, w.changes); err != nil {
				w.done <- verdict{err: err}
				continue
			}
			taken = append(taken, w)
		}
		if batch = taken; len(a.places) == 0 {
			answer(batch, nil)
			return
		}
		err := s.finish(a, how)
		if errors.Is(err, errAgain) && try < commitTries {
			continue
		}
		if err == nil && how == link {
			s.soon(batch)
		}
		answer(batch, err)
		return
	}
}

// commitTries bounds how often a commit is written again because its way to be
// anchored turned out to be closed.
const commitTries = 3

// choose says how a commit is anchored.
func (s *Store) choose(batch []*waiter) anchoring {
	switch m := s.root.mode; {
	case m == Mode{}, m.Daily != 0 && !s.fresh:
		return checkpoint
	case m.Bounded != 0:
		return later
	}
	now := s.wear
	now.advance(time.Now(), s.root.mode.Daily)
	s.setWear(now)
	for _, w := range batch {
		if s.grant(w.class, s.root.mode.Daily) {
			return checkpoint
		}
	}
	return link
}

// An attempt is a commit on its way to the disk.
type attempt struct {
	root     root
	encoded  []byte
	places   map[int]place // what becomes of an index
	index    map[ID]int    // what becomes of an ID: -1 if deleted
	taken    []int         // indices that were free before
	leafSlot map[int]int
}

// begin starts an attempt with a sequence of its own.
func (s *Store) begin(how anchoring, m Mode) *attempt {
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
		a.root.mode, a.root.wear.credit = m, filled(m.Daily)
	}
	a.root.wear.advance(time.Now(), m.Daily)
	if how == checkpoint {
		a.root.wear.spend(a.root.sequence, time.Now())
	}
	s.next++
	return a
}

// spare is the slot of a place that its last commit does not need.
func (p *place) spare() int {
	if p.sequence == 0 {
		return 0
	}
	return 1 - p.slot
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
			a.taken = append(a.taken, i)
		}
		p := place{entry: entry{id: c.ID, sequence: a.root.sequence, slot: s.places[i].spare(), deleted: c.Body == nil}, body: c.Body}
		a.places[i] = p
		a.index[c.ID] = i
		if c.Body == nil {
			a.index[c.ID] = -1
		}
	}
	return nil
}

// finish writes an attempt, anchors it, and makes it what the store has. On
// error the store has what it had.
func (s *Store) finish(a *attempt, how anchoring) error {
	err := s.write(a)
	if err == nil && how != later {
		var unknown bool
		if unknown, err = s.extend(a.encoded, how); unknown {
			s.doubt = a // its sectors stay until it is settled
			return err
		}
	}
	if err != nil {
		s.drop(a)
		return err
	}
	s.apply(a)
	s.settled(how)
	s.eraseNow()
	return nil
}

// drop gives up an attempt. What it wrote must not be mistaken for an older
// commit's when a leaf has to be made again.
func (s *Store) drop(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, a.taken...)
	for i := range a.places {
		s.erase = append(s.erase, i)
	}
	s.ghost = s.ghost || a.encoded != nil
}

// layGhost overwrites the root of an attempt that failed: it may be on the disk,
// and be taken after a cut of power, so that its items must not be touched
// before it is gone.
func (s *Store) layGhost() error {
	if !s.ghost {
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
	s.ghost = false
	return nil
}

// write writes items and leaves into slots that the store's root does not
// need, and then the root into the slot that is not the store's.
func (s *Store) write(a *attempt) error {
	if err := s.layGhost(); err != nil {
		return err
	}
	for _, i := range s.erase {
		if _, again := a.places[i]; !again {
			if err := s.writeAt(make([]byte, itemSize), itemAt(i, s.places[i].spare())); err != nil {
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
	s.erase = nil
	a.encoded = a.root.encode(s.keys, s.cfg.Manager)
	for copy := range 2 {
		if err := s.writeAt(a.encoded, rootAt(1-s.rootSlot, copy)); err != nil {
			return err
		}
	}
	return s.flush()
}

// entries returns the entries of a leaf as an attempt has them.
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

// apply makes an attempt what the store has.
func (s *Store) apply(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range a.places {
		s.places[i] = p
		if p.deleted {
			s.free = append(s.free, i)
			s.erase = append(s.erase, i)
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

// eraseNow overwrites what deleted items left. If that fails it is done at the
// next commit, or the next Open.
func (s *Store) eraseNow() {
	if len(s.erase) == 0 {
		return
	}
	for _, i := range s.erase {
		if err := s.writeAt(make([]byte, itemSize), itemAt(i, s.places[i].spare())); err != nil {
			s.cfg.Log("ledger: deleted item is not yet overwritten: %v", err)
			return
		}
	}
	if err := s.flush(); err != nil {
		s.cfg.Log("ledger: deleted item is not yet overwritten: %v", err)
		return
	}
	s.erase = nil
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
