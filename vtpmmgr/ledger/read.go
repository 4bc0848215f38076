package ledger

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Get returns a copy of an item's body. Its error is ErrNotFound or a *Damage.
func (s *Store) Get(id ID) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[id]
	if !ok {
		return nil, fmt.Errorf("%w: %v", ErrNotFound, id)
	}
	p := &s.places[i]
	if p.damage != nil {
		return nil, p.damage
	}
	return bytes.Clone(p.body), nil
}

// All returns all undamaged items as of the call, in no particular order.
func (s *Store) All() iter.Seq2[ID, []byte] {
	type pair struct {
		id   ID
		body []byte
	}
	s.mu.Lock()
	all := make([]pair, 0, len(s.index))
	for i := range s.places {
		if p := &s.places[i]; p.body != nil {
			all = append(all, pair{p.id, p.body}) // bodies are never changed in place
		}
	}
	s.mu.Unlock()
	return func(yield func(ID, []byte) bool) {
		for _, p := range all {
			if !yield(p.id, slices.Clip(bytes.Clone(p.body))) {
				return
			}
		}
	}
}

// Damaged returns the damaged items in the order of the disk.
func (s *Store) Damaged() []Damage {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Damage
	for i := range s.places {
		if d := s.places[i].damage; d != nil {
			all = append(all, *d)
		}
	}
	return all
}

// Sequence returns the sequence of the last commit. Each commit raises it by one or more.
func (s *Store) Sequence() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// Epoch returns the ledger's epoch: 1, and higher after each Restore.
func (s *Store) Epoch() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// NewBoot reports whether the next commit will be a checkpoint: always, except in budget
// mode once there was a checkpoint since the hardware TPM was reset.
func (s *Store) NewBoot() (is bool) {
	s.exclusively(func() error { is = s.root.mode.Daily == 0 || !s.chainOpen; return nil })
	return is
}

// Room returns how many items can be added.
func (s *Store) Room() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.capacity - len(s.index)
}

// Health returns why commits fail now, the last error of the anchor, or nil.
func (s *Store) Health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health
}

// Wear returns the current figures. It does not wait for commits.
func (s *Store) Wear() Wear {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wear
	w.advance(time.Now(), s.mode.Daily)
	out := Wear{Writes: w.writes, Today: w.today, Yesterday: w.yesterday, Daily: s.mode.Daily, Credit: float64(w.credit) / oneWrite}
	if s.seq > w.mark && s.mode != (Mode{}) {
		out.Loose, out.Since = s.seq-w.mark, time.UnixMilli(w.markTime)
	}
	return out
}
