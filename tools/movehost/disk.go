package movehost

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxPacked is the largest packed disk in bytes: with the managers' message it has to fit into
// one frame of xenmove, in base 64.
const maxPacked = 1400 << 10

// maxDisk is the largest disk of a vTPM in bytes.
const maxDisk = 64 << 20

// block is what a disk is read and written by, in bytes: a multiple of all sizes of sectors.
const block = 1 << 20

// ErrDisk means that a vTPM's disk cannot be moved.
var ErrDisk = errors.New("movehost: disk of a vTPM")

// openDisk opens a disk past the host's cache, since a domain that has the disk does not use
// that; where there is no such cache, as in a file in memory, without.
func openDisk(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|unix.O_DIRECT|unix.O_SYNC, 0)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.OpenFile(path, flags|unix.O_SYNC, 0)
	}
	return f, err
}

// aligned returns a block of memory that begins at a page.
func aligned() ([]byte, func(), error) {
	b, err := unix.Mmap(-1, 0, block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	return b, func() { unix.Munmap(b) }, err
}

// packDisk returns the contents of a disk, compressed.
func packDisk(path string) ([]byte, error) {
	f, err := openDisk(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, free, err := aligned()
	if err != nil {
		return nil, err
	}
	defer free()
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if n, err := io.CopyBuffer(struct{ io.Writer }{z}, io.LimitReader(f, maxDisk+1), b); err != nil {
		return nil, err
	} else if n > maxDisk {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrDisk, path, maxDisk)
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if packed.Len() > maxPacked {
		return nil, fmt.Errorf("%w: what is on %s takes %d bytes, want at most %d", ErrDisk, path, packed.Len(), maxPacked)
	}
	return packed.Bytes(), nil
}

// unpackDisk writes the contents of a disk, and zeros behind them.
func unpackDisk(path string, packed []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	f, err := openDisk(path, os.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size > maxDisk {
		return fmt.Errorf("%w: %s has %d bytes, want at most %d", ErrDisk, path, size, maxDisk)
	}
	b, free, err := aligned()
	if err != nil {
		return err
	}
	defer free()
	for at := int64(0); at < size; {
		part := b[:min(block, size-at)]
		n, err := io.ReadFull(z, part)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return fmt.Errorf("%w: %w", ErrDisk, err)
		}
		clear(part[n:])
		if _, err := f.WriteAt(part, at); err != nil {
			return err
		}
		at += int64(len(part))
	}
	if n, err := z.Read(b[:1]); n != 0 || err != io.EOF {
		return fmt.Errorf("%w: %s has %d bytes, the other host's disk more: %w", ErrDisk, path, size, err)
	}
	return errors.Join(f.Sync(), f.Close())
}
