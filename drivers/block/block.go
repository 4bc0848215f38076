package block

import (
	"fmt"
	"io"
)

// SectorSize is the size of a sector in bytes.
const SectorSize = 512

// A Device is a disk. Offsets and lengths are multiples of SectorSize. A write
// is durable only once a later Flush has returned nil.
type Device interface {
	io.ReaderAt
	io.WriterAt

	// Size returns the capacity in bytes.
	Size() int64

	// Flush makes all completed writes durable.
	Flush() error
}

// CheckRange returns an error unless n bytes at offset off are whole sectors
// of a disk of size bytes.
func CheckRange(off int64, n int, size int64) error {
	if off%SectorSize != 0 || n%SectorSize != 0 {
		return fmt.Errorf("block: %d bytes at offset %d: not whole sectors", n, off)
	}
	if off < 0 || off > size || int64(n) > size-off {
		return fmt.Errorf("block: %d bytes at offset %d: beyond the end of a disk of %d bytes", n, off, size)
	}
	return nil
}
