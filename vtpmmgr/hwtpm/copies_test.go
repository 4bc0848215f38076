package hwtpm

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
)

// A fault is what a disk does at one of its writes of a sector, or at a flush.
type fault int

const (
	failed fault = iota // an error, and nothing is written
	torn                // an error, and the sector holds rubbish
	cut                 // power goes: the sector holds rubbish, and what was not flushed is there or not
	lost                // power goes: the sector cannot be read until it is written again
	faults
)

func (f fault) String() string { return [...]string{"failed", "torn", "cut", "lost"}[f] }

// A faultyDisk has a volatile cache, and faults at two of its steps. A step is a write
// of one sector, or a flush. A flush that fails writes some of what it should and
// forgets the rest, though that is still read until power goes or the manager starts
// again.
type faultyDisk struct {
	r        *rand.Rand
	data     []byte
	bad      map[int64]bool   // cannot be read
	cache    map[int64][]byte // to be flushed
	ghost    map[int64][]byte // read, and never flushed
	steps    int
	at       map[int]fault
	powerOff bool
}

var errDisk = errors.New("disk error")

func (d *faultyDisk) Size() int64 { return int64(len(d.data)) }

func (d *faultyDisk) step() (fault, bool) {
	f, ok := d.at[d.steps]
	d.steps++
	return f, ok
}

func (d *faultyDisk) WriteAt(p []byte, off int64) (int, error) {
	for i := 0; i < len(p); i += block.SectorSize {
		if d.powerOff {
			return i, errDisk
		}
		at := off + int64(i)
		f, ok := d.step()
		if !ok {
			d.cache[at] = bytes.Clone(p[i : i+block.SectorSize])
			delete(d.bad, at)
			continue
		}
		if f != failed {
			d.cache[at] = bytes.Repeat([]byte{0xA5}, block.SectorSize)
		}
		if f == lost {
			d.bad[at] = true
		}
		d.cutIf(f)
		return i, errDisk
	}
	return len(p), nil
}

func (d *faultyDisk) Flush() error {
	if d.powerOff {
		return errDisk
	}
	f, ok := d.step()
	if ok {
		d.cutIf(f)
		for at, b := range d.cache {
			if d.ghost[at] = b; d.r.IntN(2) == 0 {
				copy(d.data[at:], b)
			}
		}
		clear(d.cache)
		return errDisk
	}
	for at, b := range d.cache {
		copy(d.data[at:], b)
		delete(d.ghost, at)
	}
	clear(d.cache)
	return nil
}

// cutIf takes power away, if the fault is of that kind. Rubbish stays.
func (d *faultyDisk) cutIf(f fault) {
	if f != cut && f != lost {
		return
	}
	d.powerOff = true
	for at, b := range d.cache {
		if d.r.IntN(2) == 0 || b[0] == 0xA5 {
			copy(d.data[at:], b)
		}
	}
	clear(d.cache)
	clear(d.ghost)
}

func (d *faultyDisk) ReadAt(p []byte, off int64) (int, error) {
	for i := 0; i < len(p); i += block.SectorSize {
		at := off + int64(i)
		if d.powerOff || d.bad[at] {
			return i, errDisk
		}
		b := d.data[at : at+block.SectorSize]
		if c, ok := d.ghost[at]; ok {
			b = c
		}
		if c, ok := d.cache[at]; ok {
			b = c
		}
		copy(p[i:], b)
	}
	return len(p), nil
}

// numbered is a record of which nothing but its number is of interest.
func numbered(n byte) *Record {
	noise := bytes.Repeat([]byte{n}, 1200) // so that most sectors differ
	return &Record{id: [16]byte{n}, srkName: noise, ekName: noise, object: blob{noise, noise},
		seals: []seal{{object: blob{noise, noise}}}}
}

// writers are ways to write a record on a disk: that of the manager, which has
// one Copies from its start on, and such as lose it.
var writers = map[string]func(*faultyDisk) func(*Record) error{
	"": func(d *faultyDisk) func(*Record) error { return NewCopies(d).Write },
	"the first copy is always written first": func(d *faultyDisk) func(*Record) error {
		return func(r *Record) error {
			b, err := r.Encode()
			if err != nil {
				return err
			}
			return errors.Join(write(d, b, 0), write(d, b, secondCopy))
		}
	},
	"the first copy first, and not the second after an error": func(d *faultyDisk) func(*Record) error {
		return func(r *Record) error {
			b, err := r.Encode()
			if err != nil {
				return err
			}
			if err := write(d, b, 0); err != nil {
				return err
			}
			return write(d, b, secondCopy)
		}
	},
	"a failed write is forgotten": func(d *faultyDisk) func(*Record) error {
		return func(r *Record) error { return WriteRecord(d, r) }
	},
}

// life runs a manager that writes its record a few times and starts again, on a disk
// with faults. It returns an error if the record cannot be read at some start, or
// is older than the last one whose write was answered.
func life(writer func(*faultyDisk) func(*Record) error, d *faultyDisk) error {
	write := writer(d)
	root, answered, tried := numbered(1), byte(1), byte(1)
	start := func() error {
		d.powerOff = false
		clear(d.ghost)
		r, err := ReadRecord(d)
		if err != nil {
			return fmt.Errorf("after %d was written and %d was tried: %w", answered, tried, err)
		}
		if r.id[0] < answered || r.id[0] > tried {
			return fmt.Errorf("record %d is read, %d was written and %d was tried", r.id[0], answered, tried)
		}
		root, write = r, writer(d)
		if write(root) == nil {
			answered, tried = root.id[0], max(tried, root.id[0])
		}
		return nil
	}
	for n := byte(2); n < 8; n++ {
		if d.powerOff || n%3 == 0 {
			if err := start(); err != nil {
				return err
			}
		}
		tried = n
		if write(numbered(n)) == nil {
			answered = n
		}
	}
	return start()
}

// twoFaults runs lives with each two of the faults, or every strideth from a first step on, and returns
// how many there were and the first that lost the record.
func twoFaults(t *testing.T, writer func(*faultyDisk) func(*Record) error, from, stride int) (lives int, err error) {
	t.Helper()
	disk := blocktest.NewMem(Area)
	if err := WriteRecord(disk, numbered(1)); err != nil {
		t.Fatal(err)
	}
	run := func(at map[int]fault, seed uint64) (*faultyDisk, error) {
		lives++
		d := &faultyDisk{r: rand.New(rand.NewPCG(seed, 1)), data: bytes.Clone(disk.Data), bad: map[int64]bool{},
			cache: map[int64][]byte{}, ghost: map[int64][]byte{}, at: at}
		return d, life(writer, d)
	}
	whole, err := run(nil, 0)
	if err != nil {
		return lives, err
	}
	for first := from; first < whole.steps; first++ {
		for second := first + 1; second < min(first+110, whole.steps+40); second++ {
			n := first*1000 + second
			if n%stride != 0 {
				continue
			}
			r := rand.New(rand.NewPCG(uint64(n), 2))
			f, g := fault(r.IntN(int(faults))), fault(r.IntN(int(faults)))
			if _, err := run(map[int]fault{first: f, second: g}, uint64(n)); err != nil {
				return lives, fmt.Errorf("%v at step %d, %v at step %d: %w", f, first, g, second, err)
			}
		}
	}
	return lives, nil
}

// TestTwoFaults: a manager that writes its root record again and again, and starts
// again, with any two errors or losses of power at its writes, always has the record at
// its next start: the last one that was written or one that was tried since. Ways of
// writing that are wrong are found.
func TestTwoFaults(t *testing.T) {
	t.Parallel()
	stride := 11
	if testing.Short() {
		stride = 47
	}
	for name, writer := range writers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, stride := 0, stride
			if name != "" {
				from, stride = 60, 1 // until it is found, not far from there
			}
			lives, err := twoFaults(t, writer, from, stride)
			if name == "" && err != nil {
				t.Errorf("after %d lives: %v", lives, err)
			}
			if name != "" && err == nil {
				t.Errorf("not found by %d lives", lives)
			}
			t.Logf("%d lives: %v", lives, err)
		})
	}
}
