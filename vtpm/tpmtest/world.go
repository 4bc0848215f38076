package tpmtest

import (
	"bytes"
	"sync"
	"time"
)

// A Store keeps the state in memory, and fails when the test says so. The zero
// value is empty.
type Store struct {
	mu    sync.Mutex
	state []byte
	saves int
	err   error
	in    int // saves until one fails; 0 for never
	once  error
}

// Save is of vtpm.Store.
func (s *Store) Save(state []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in > 0 {
		if s.in--; s.in == 0 {
			return s.once
		}
	}
	if s.err != nil {
		return s.err
	}
	s.saves++
	s.state = bytes.Clone(state)
	return nil
}

// Fail makes each save fail with err from now on; nil lets them succeed again.
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.in = err, 0
}

// FailAt makes the n-th save from now fail with err, the next one being the
// first, and no other.
func (s *Store) FailAt(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in, s.once = n, err
}

// Saves returns how many saves succeeded.
func (s *Store) Saves() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saves
}

// State returns what was saved last.
func (s *Store) State() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.state)
}

// A Clock stands still until it is advanced.
type Clock struct {
	mu  sync.Mutex
	now time.Duration
}

// Now is what vtpm.Config asks for.
func (c *Clock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance turns the clock forward by d.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += d
}
