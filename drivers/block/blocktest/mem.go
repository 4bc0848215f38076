package blocktest

import "stubtpm/drivers/block"

// A Mem is a disk in memory. Its methods are not safe for concurrent use.
type Mem struct {
	Data []byte

	// Hook, if set, is called before each sector is written. If it returns an
	// error the write stops there: a test can cut the power at any sector.
	Hook func() error
}

// NewMem returns a disk of size zero bytes.
func NewMem(size int) *Mem { return &Mem{Data: make([]byte, size)} }

// Size returns the capacity in bytes.
func (m *Mem) Size() int64 { return int64(len(m.Data)) }

// ReadAt reads whole sectors.
func (m *Mem) ReadAt(p []byte, off int64) (int, error) {
	if err := block.CheckRange(off, len(p), m.Size()); err != nil {
		return 0, err
	}
	return copy(p, m.Data[off:]), nil
}

// WriteAt writes whole sectors, one after the other.
func (m *Mem) WriteAt(p []byte, off int64) (int, error) {
	if err := block.CheckRange(off, len(p), m.Size()); err != nil {
		return 0, err
	}
	for n := 0; n < len(p); n += block.SectorSize {
		if m.Hook != nil {
			if err := m.Hook(); err != nil {
				return n, err
			}
		}
		copy(m.Data[off+int64(n):], p[n:n+block.SectorSize])
	}
	return len(p), nil
}

// Flush does nothing.
func (m *Mem) Flush() error { return nil }
