package block

import (
	"io"
	"os"
)

// A File is a disk in a file or on a block device of a Linux system.
type File struct {
	f    *os.File
	size int64
}

// OpenFile opens the named file, for reading and writing, as a disk. Its size is
// rounded down to whole sectors.
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
	if err := CheckRange(off, len(p), d.size); err != nil {
		return 0, err
	}
	return d.f.ReadAt(p, off)
}

// WriteAt writes whole sectors.
func (d *File) WriteAt(p []byte, off int64) (int, error) {
	if err := CheckRange(off, len(p), d.size); err != nil {
		return 0, err
	}
	return d.f.WriteAt(p, off)
}

// Flush makes completed writes durable.
func (d *File) Flush() error { return d.f.Sync() }

// Close closes the file.
func (d *File) Close() error { return d.f.Close() }
