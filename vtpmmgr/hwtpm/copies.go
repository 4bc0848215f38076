package hwtpm

import (
	"bytes"
	"errors"
	"fmt"

	"stubtpm/drivers/block"
)

// Area is how many bytes at the start of the manager's disk belong to the root
// record.
const Area = 64 << 10

const (
	secondCopy = 32 << 10

	// While a disk's first record is written a sector between the copies says
	// so: one that is cut off leaves nothing that anybody would miss.
	markAt = 16 << 10
	mark   = "stubtpm: the first root record is being written\x00"
)

// copyAt is where the record is: twice, so that no one place holds all of it.
var copyAt = [2]int64{0, secondCopy}

// CheckBlank returns nil if nothing was ever written where the record goes:
// file systems, partition tables and images of vTPMs have something there.
func CheckBlank(d block.Device) error {
	b := make([]byte, Area)
	if _, err := d.ReadAt(b, 0); err != nil {
		return fmt.Errorf("hwtpm: %w", err)
	}
	if isZero(b) {
		return nil
	}
	if _, err := ReadRecord(d); err == nil {
		return ErrInitialized
	}
	if string(b[markAt:markAt+len(mark)]) == mark {
		return nil
	}
	return ErrNotBlank
}

// ReadRecord reads the first whole copy.
func ReadRecord(d block.Device) (*Record, error) {
	var errs [2]error
	for i, at := range copyAt {
		b := make([]byte, recordSize)
		if _, errs[i] = d.ReadAt(b, at); errs[i] != nil {
			continue
		}
		var r *Record
		if r, errs[i] = DecodeRecord(b); errs[i] == nil {
			return r, nil
		}
	}
	// A blank copy says less than one that is damaged.
	if errors.Is(errs[0], ErrUninitialized) {
		return nil, errs[1]
	}
	return nil, errs[0]
}

// Copies are the two copies of the root record on a disk. It is not safe for
// concurrent use.
type Copies struct {
	disk block.Device

	// failed is set for a copy while the last write of it failed. What is read of it
	// may be in the disk's cache only.
	failed [2]bool
}

// NewCopies returns those of a disk. All writes of a program must go through the same.
func NewCopies(d block.Device) *Copies { return &Copies{disk: d} }

// WriteRecord writes both copies of a record on a disk that nobody else writes.
func WriteRecord(d block.Device, r *Record) error { return NewCopies(d).Write(r) }

// Write makes both copies the record, and thereby repairs one that is damaged. A whole
// copy is written over only once the other one is known to be whole: whatever fails, one
// of them stays. After an error the record may be on the disk; the next Write begins
// with the copy that failed.
func (c *Copies) Write(r *Record) error {
	want, err := r.Encode()
	if err != nil {
		return err
	}
	if err := c.beginFirst(); err != nil {
		return err
	}
	order, err := c.order()
	if err != nil {
		return err
	}
	for _, i := range order {
		if err := c.writeCopy(i, want); err != nil {
			return err
		}
	}
	return c.endFirst()
}

// order returns in which order the copies are written: one that is not whole first. It
// refuses a disk on which the only copy that may be whole cannot be read.
func (c *Copies) order() ([2]int, error) {
	var whole [2]bool
	var unreadable error
	b := make([]byte, recordSize)
	for i, at := range copyAt {
		if _, err := c.disk.ReadAt(b, at); err != nil {
			unreadable = fmt.Errorf("hwtpm: %w", err)
			continue
		}
		_, err := DecodeRecord(b)
		whole[i] = err == nil && !c.failed[i]
	}
	switch {
	case unreadable != nil && whole == [2]bool{}:
		return [2]int{}, unreadable
	case whole[0] && !whole[1]:
		return [2]int{1, 0}, nil
	}
	return [2]int{0, 1}, nil
}

// writeCopy makes one copy want, if it is not, and reads it back.
func (c *Copies) writeCopy(i int, want []byte) error {
	have := make([]byte, recordSize)
	same := func() bool {
		_, err := c.disk.ReadAt(have, copyAt[i])
		return err == nil && bytes.Equal(have, want)
	}
	if !c.failed[i] && same() {
		return nil
	}
	c.failed[i] = true
	if err := write(c.disk, want, copyAt[i]); err != nil {
		return err
	}
	if !same() {
		return fmt.Errorf("hwtpm: copy %d of the root record is not what was written", i+1)
	}
	c.failed[i] = false
	return nil
}

// beginFirst marks a blank disk. A mark that is there stays: it may say which
// indices are being made.
func (c *Copies) beginFirst() error {
	if c.marked() || CheckBlank(c.disk) != nil {
		return nil
	}
	sector := make([]byte, block.SectorSize)
	copy(sector, mark)
	return write(c.disk, sector, markAt)
}

// endFirst takes the mark away, if there is one: with it, a disk on which both copies
// were damaged later would pass for one that was never in use.
func (c *Copies) endFirst() error {
	if !c.marked() {
		return nil
	}
	return write(c.disk, make([]byte, block.SectorSize), markAt)
}

// marked reports whether there is a mark. One that cannot be read is of no use to an
// initialization either.
func (c *Copies) marked() bool {
	b := make([]byte, block.SectorSize)
	_, err := c.disk.ReadAt(b, markAt)
	return err == nil && string(b[:len(mark)]) == mark
}

func write(d block.Device, b []byte, at int64) error {
	if _, err := d.WriteAt(b, at); err != nil {
		return fmt.Errorf("hwtpm: %w", err)
	}
	if err := d.Flush(); err != nil {
		return fmt.Errorf("hwtpm: %w", err)
	}
	return nil
}
