package image

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// A Measurement is what Measure finds out about an image.
type Measurement struct {
	// SHA256 is the hash of the file's bytes.
	SHA256 string `json:"sha256"`
	// Loaded is the hash of what Xen's domain builder loads into memory: the
	// address of the entry point, then for each loadable segment its physical
	// address, size in the file and size in memory, and its bytes. The numbers
	// are big-endian, of 64 bits. Symbols and section headers are not included.
	Loaded string `json:"loaded"`
	// Size is the length of the file in bytes.
	Size int64 `json:"size"`
	// Entry is the address of the PVH entry point, from the note PHYS32_ENTRY.
	Entry uint32 `json:"entry"`
	// Low and High are the physical addresses of the first byte of the loaded
	// memory and of the first byte after it.
	Low  uint64 `json:"low"`
	High uint64 `json:"high"`
}

// ErrImage is returned for a file that is not a bootable image.
var ErrImage = errors.New("image: not a PVH image")

// Measure measures an image file.
func Measure(file string) (Measurement, error) {
	f, err := os.Open(file)
	if err != nil {
		return Measurement{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Measurement{}, err
	}
	m, err := measure(f, info.Size())
	if err != nil {
		return m, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

// measure measures an image of size bytes.
func measure(r io.ReaderAt, size int64) (Measurement, error) {
	m := Measurement{Size: size}
	entry, segments, err := layout(r, size)
	if err != nil {
		return m, err
	}
	m.Entry = entry
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(r, 0, size)); err != nil {
		return m, err
	}
	m.SHA256 = hex.EncodeToString(h.Sum(nil))
	h.Reset()
	binary.Write(h, binary.BigEndian, uint64(m.Entry))
	for _, s := range segments {
		h.Write(s.header())
		if _, err := io.Copy(h, io.NewSectionReader(r, int64(s.offset), int64(s.fileSize))); err != nil {
			return m, err
		}
		if m.High == 0 || s.address < m.Low {
			m.Low = s.address
		}
		m.High = max(m.High, s.address+s.size)
	}
	if m.High == 0 {
		return m, fmt.Errorf("%w: no loadable segments", ErrImage)
	}
	if uint64(m.Entry) < m.Low || uint64(m.Entry) >= m.High {
		return m, fmt.Errorf("%w: entry point %#x is outside its memory, %#x to %#x", ErrImage, m.Entry, m.Low, m.High)
	}
	m.Loaded = hex.EncodeToString(h.Sum(nil))
	return m, nil
}
