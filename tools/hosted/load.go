package hosted

import (
	"fmt"
)

// loadPermanent reads the newest slot.
func (s *StateDir) loadPermanent() ([]byte, error) {
	s.seq, s.current, s.head = 0, -1, nil
	if s.slots == nil || s.slots.size == 0 {
		s.known = true
		return nil, nil
	}
	state, seq, found, skipped, err := s.slots.newest(s.opt.key)
	if err == nil && found < 0 && !s.own {
		// A file that this program made is never without a state.
		err = fmt.Errorf("%w: %s holds no state", errDamaged, s.slots.path)
	}
	if err != nil {
		return nil, err
	}
	if skipped != nil && !s.known {
		if err := s.complain(fmt.Errorf("%s: the slot with sequence %s cannot be read (%w); the state with sequence %d is in use, which may be an older one",
			s.slots.path, skipped.seq, skipped.err, seq)); err != nil {
			return nil, err
		}
	}
	s.seq, s.current, s.known = seq, found, true
	if found >= 0 {
		s.head, err = s.readHead()
	}
	return state, err
}

func (s *StateDir) readHead() ([]byte, error) {
	b := make([]byte, fileHeader)
	_, err := s.slots.f.ReadAt(b, int64(s.current)*s.slots.size)
	return b, err
}

// Load returns a part of the state, or nil if it was never saved.
func (s *StateDir) Load(t BlobType) ([]byte, error) {
	if !s.held {
		// Another process may have written the file, or a new one.
		if err := s.openFile(); err != nil {
			return nil, err
		}
	}
	if t == BlobPermanent {
		return s.loadPermanent()
	}
	if s.slots == nil || s.slots.size == 0 {
		return nil, nil
	}
	b, err := s.slots.read(regionVolatile)
	if err != nil || isErased(b) {
		return nil, err
	}
	state, err := openFile(t, b, s.opt.key)
	if err != nil {
		return nil, fmt.Errorf("%s, volatile state: %w", s.slots.path, err)
	}
	return state, nil
}

// Size returns the length in bytes of a part of the state, and whether it
// exists.
func (s *StateDir) Size(t BlobType) (int, bool) {
	b, err := s.Load(t)
	return len(b), err == nil && b != nil
}
