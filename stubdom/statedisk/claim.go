package statedisk

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Claim makes the disk ready for the first state of a new TPM, whose first Save
// must have sequence 1. It returns an error that wraps ErrInUse, and writes
// nothing, unless both slots are zeros or hold only what an earlier Claim for the
// same UUID, and one unconfirmed Save after it, have left. So a state whose key
// is missing, such as that of a TPM whose manager was lost, is not overwritten.
func (d *Disk) Claim() error {
	for slot := range 2 {
		h, zero, err := d.scan(slot)
		if err != nil {
			return err
		}
		if zero || slot == 0 && d.isClaim(h) {
			continue
		}
		return fmt.Errorf("%w: %w", ErrInUse, d.describe(slot, h))
	}
	return d.writeClaim()
}

// Replace is Claim for a disk whose contents may be lost. held describes what
// the disk held; it is nil for zeros.
func (d *Disk) Replace() (held error, err error) {
	held = d.Claim()
	if !errors.Is(held, ErrInUse) {
		return nil, held
	}
	return held, d.writeClaim()
}

// writeClaim writes a header of sequence 0 without a state into slot 0, and
// zeros over the header of slot 1.
func (d *Disk) writeClaim() error {
	if err := d.writeHeader(1, make([]byte, headerSize)); err != nil {
		return err
	}
	return d.writeHeader(0, d.header(0, 0))
}

// isClaim reports whether a header was written by writeClaim or the first Save
// after it.
func (d *Disk) isClaim(h []byte) bool {
	return d.checkHeader(h) == nil && binary.BigEndian.Uint64(h[offSequence:]) <= 1
}

// describe returns an error that describes what a slot holds.
func (d *Disk) describe(slot int, h []byte) error {
	switch err := d.checkHeader(h); {
	case errors.Is(err, ErrBlank):
		return fmt.Errorf("%w: data in slot %d, after a header of zeros", ErrFormat, slot)
	case err != nil:
		return err
	}
	return fmt.Errorf("slot %d holds state %d of this TPM", slot, binary.BigEndian.Uint64(h[offSequence:]))
}

// scan reads a whole slot. It returns its header, and whether all of it is zero.
func (d *Disk) scan(slot int) (header []byte, zero bool, err error) {
	b := make([]byte, min(d.size, 64<<10))
	zero = true
	for at := int64(0); at < d.size; at += int64(len(b)) {
		b = b[:min(int64(len(b)), d.size-at)]
		if _, err := d.dev.ReadAt(b, d.offset(slot)+at); err != nil {
			return nil, false, fmt.Errorf("state disk: %w", err)
		}
		if at == 0 {
			header = append(header, b[:headerSize]...)
		}
		zero = zero && isZero(b)
	}
	return header, zero, nil
}
