package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrMemory is returned if memory cannot be what Xen loads from the image.
var ErrMemory = errors.New("image: memory is not as loaded from the image")

// MeasureMemory returns the hash of an image in the memory of a domain that was
// built from it and has not run yet. The hash equals Measurement.Loaded if the
// memory holds the whole image. Only the layout of the segments is read from file,
// not their bytes.
//
// The hash does not cover other memory, the command line, or the address at which
// the domain's virtual CPU starts.
func MeasureMemory(file string, memory io.ReaderAt) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	entry, segments, err := layout(f, info.Size())
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	h := sha256.New()
	binary.Write(h, binary.BigEndian, uint64(entry))
	zeros := make([]byte, 1<<16)
	for _, s := range segments {
		h.Write(s.header())
		if _, err := io.Copy(h, io.NewSectionReader(memory, int64(s.address), int64(s.fileSize))); err != nil {
			return "", err
		}
		b := make([]byte, len(zeros))
		for at := s.address + s.fileSize; at < s.address+s.size; at += uint64(len(b)) {
			b = b[:min(uint64(len(b)), s.address+s.size-at)]
			if _, err := memory.ReadAt(b, int64(at)); err != nil {
				return "", err
			}
			if !bytes.Equal(b, zeros[:len(b)]) {
				return "", fmt.Errorf("%w: nonzero bytes at %#x", ErrMemory, at)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
