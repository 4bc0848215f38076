package slot

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Claim makes the disk ready for the first state of a new TPM, whose first Save
// then has sequence 1. It returns an error that wraps ErrInUse, and writes
// nothing, unless both slots are zeros or hold only what an earlier Claim for the
// same ID, and a Save after it that was not confirmed, have left. So whatever
// cannot be opened for want of its key, such as the state of a TPM whose manager
// was lost, is not overwritten.
func (s *Store) Claim() error {
	for slot := range 2 {
		h, zero, err := s.scan(slot)
		if err != nil {
			return err
		}
		if zero || slot == 0 && s.claimed(h) {
			continue
		}
		return fmt.Errorf("%w: %w", ErrInUse, s.holds(slot, h))
	}
	return s.claim()
}

// Replace is Claim for a disk whose contents may be lost. It returns what the
// disk held, or nil for zeros.
func (s *Store) Replace() (held error, err error) {
	held = s.Claim()
	if !errors.Is(held, ErrInUse) {
		return nil, held
	}
	return held, s.claim()
}

// claim writes a header of sequence 0 without a state into slot 0, and none
// into slot 1.
func (s *Store) claim() error {
	if err := s.writeHeader(1, make([]byte, headerSize)); err != nil {
		return err
	}
	return s.writeHeader(0, s.header(0, 0))
}

// claimed reports whether a header is one that claim, or the first Save after
// it, has written.
func (s *Store) claimed(h []byte) bool {
	return s.ours(h) == nil && binary.BigEndian.Uint64(h[offSequence:]) <= 1
}

// holds returns an error that says what a slot holds.
func (s *Store) holds(slot int, h []byte) error {
	switch err := s.ours(h); {
	case errors.Is(err, ErrBlank):
		return fmt.Errorf("%w in slot %d, behind a header of zeros", ErrFormat, slot)
	case err != nil:
		return err
	}
	return fmt.Errorf("slot %d holds state %d of this TPM", slot, binary.BigEndian.Uint64(h[offSequence:]))
}

// scan reads a whole slot, and returns its header and whether all of it is zero.
func (s *Store) scan(slot int) (header []byte, zero bool, err error) {
	b := make([]byte, min(s.size, 64<<10))
	zero = true
	for at := int64(0); at < s.size; at += int64(len(b)) {
		b = b[:min(int64(len(b)), s.size-at)]
		if _, err := s.dev.ReadAt(b, s.offset(slot)+at); err != nil {
			return nil, false, fmt.Errorf("slot: %w", err)
		}
		if at == 0 {
			header = append(header, b[:headerSize]...)
		}
		for _, c := range b {
			zero = zero && c == 0
		}
	}
	return header, zero, nil
}
