package block

import (
	"fmt"
	"io"
	"os"
)

// check refuses what a disk cannot do.
func check(off int64, n int, size int64) error {
	if off%SectorSize != 0 || n%SectorSize != 0 {
		return fmt.Errorf("block: %d bytes at %d: not whole sectors", n, off)
	}
	if off < 0 || off > size || int64(n) > size-off {
		return fmt.Errorf("block: %d bytes at %d: beyond the end at %d", n, off, size)
	}
	return nil
}

// A Mem is a disk in memory, for tests. Hook, if set, is called before each
// sector is written, and a write that it refuses stops there: so a test can
// cut the power at any sector.
type Mem struct {
	Data []byte
	Hook func() error
}

// NewMem returns a disk of so many zero bytes.
func NewMem(size int) *Mem { return &Mem{Data: make([]byte, size)} }

// Size returns the capacity in bytes.
func (m *Mem) Size() int64 { return int64(len(m.Data)) }

// ReadAt reads whole sectors.
func (m *Mem) ReadAt(p []byte, off int64) (int, error) {
	if err := check(off, len(p), m.Size()); err != nil {
		return 0, err
	}
	return copy(p, m.Data[off:]), nil
}

// WriteAt writes whole sectors, one after the other.
func (m *Mem) WriteAt(p []byte, off int64) (int, error) {
	if err := check(off, len(p), m.Size()); err != nil {
		return 0, err
	}
	for n := 0; n < len(p); n += SectorSize {
		if m.Hook != nil {
			if err := m.Hook(); err != nil {
				return n, err
			}
		}
		copy(m.Data[off+int64(n):], p[n:n+SectorSize])
	}
	return len(p), nil
}

// Flush does nothing.
func (m *Mem) Flush() error { return nil }

// A File is a disk in a file, or a block device, of a Linux system.
type File struct {
	f    *os.File
	size int64
}

// OpenFile opens a file as a disk. Its size is cut down to whole sectors.
func OpenFile(name string) (*File, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{f, size &^ (SectorSize - 1)}, nil
}

// Size returns the capacity in bytes.
func (d *File) Size() int64 { return d.size }

// ReadAt reads whole sectors.
func (d *File) ReadAt(p []byte, off int64) (int, error) {
	if err := check(off, len(p), d.size); err != nil {
		return 0, err
	}
	return d.f.ReadAt(p, off)
}

// WriteAt writes whole sectors.
func (d *File) WriteAt(p []byte, off int64) (int, error) {
	if err := check(off, len(p), d.size); err != nil {
		return 0, err
	}
	return d.f.WriteAt(p, off)
}

// Flush makes writes durable.
func (d *File) Flush() error { return d.f.Sync() }

// Close closes the file.
func (d *File) Close() error { return d.f.Close() }
