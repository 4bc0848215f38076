package image

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// A Measurement is what can be said of an image from its file alone.
type Measurement struct {
	// SHA256 is the hash of the file's bytes.
	SHA256 string `json:"sha256"`
	// Loaded is the hash of what Xen's domain builder puts into memory: for
	// each loadable segment its physical address, size in the file and size
	// in memory (three big-endian 64-bit numbers) and its bytes, after the
	// entry's address. Symbols and section headers do not count.
	Loaded string `json:"loaded"`
	// Size is the length of the file in bytes.
	Size int64 `json:"size"`
	// Entry is the address of the PVH entry, from the note PHYS32_ENTRY.
	Entry uint32 `json:"entry"`
	// Low and High bound the loaded memory, in bytes of physical address.
	Low  uint64 `json:"low"`
	High uint64 `json:"high"`
}

// notePHYS32Entry is the type of the ELF note that makes an image bootable as
// PVH domain (public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY).
const notePHYS32Entry = 18

// ErrImage is returned for a file that is no bootable image.
var ErrImage = errors.New("image: not a PVH image")

// maxImage bounds the size in bytes of an image and of what it loads: a
// unikernel is a few megabytes.
const maxImage = 1 << 28

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

// A segment is what is loaded at one place: the first FileSize bytes are the
// image's, the rest are zeros.
type segment struct {
	Address, FileSize, Size uint64
}

// ErrMemory says that what lies in memory is not what the image loads.
var ErrMemory = errors.New("image: memory is not as loaded from the image")

// MeasureMemory returns the hash of an image as it lies in the memory of a
// domain that was built from it and has not run yet: equal to
// Measurement.Loaded if all of it is there. file says where it lies, and
// nothing more: its own bytes do not count.
//
// It says nothing of other memory, of the command line, or of where the
// domain's processor starts.
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
		binary.Write(h, binary.BigEndian, s)
		if _, err := io.Copy(h, io.NewSectionReader(memory, int64(s.Address), int64(s.FileSize))); err != nil {
			return "", err
		}
		b := make([]byte, len(zeros))
		for at := s.Address + s.FileSize; at < s.Address+s.Size; at += uint64(len(b)) {
			b = b[:min(uint64(len(b)), s.Address+s.Size-at)]
			if _, err := memory.ReadAt(b, int64(at)); err != nil {
				return "", err
			}
			if !bytes.Equal(b, zeros[:len(b)]) {
				return "", fmt.Errorf("%w: at %#x there are no zeros", ErrMemory, at)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// layout returns the entry and the loadable segments of an image.
func layout(r io.ReaderAt, size int64) (uint32, []segment, error) {
	if size > maxImage {
		return 0, nil, fmt.Errorf("%w: %d bytes", ErrImage, size)
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %v", ErrImage, err)
	}
	e, err := entry(f, size)
	if err != nil {
		return 0, nil, err
	}
	var list []segment
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Memsz == 0 {
			continue
		}
		if p.Filesz > p.Memsz || p.Memsz > maxImage || p.Paddr > 1<<32 {
			return 0, nil, fmt.Errorf("%w: segment at %#x of %d bytes", ErrImage, p.Paddr, p.Memsz)
		}
		list = append(list, segment{p.Paddr, p.Filesz, p.Memsz})
	}
	return e, list, nil
}

func measure(r io.ReaderAt, size int64) (Measurement, error) {
	m := Measurement{Size: size}
	if size > maxImage {
		return m, fmt.Errorf("%w: %d bytes", ErrImage, size)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(r, 0, size)); err != nil {
		return m, err
	}
	m.SHA256 = hex.EncodeToString(h.Sum(nil))
	f, err := elf.NewFile(r)
	if err != nil {
		return m, fmt.Errorf("%w: %v", ErrImage, err)
	}
	if f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 || f.Type != elf.ET_EXEC {
		return m, fmt.Errorf("%w: want an executable for x86-64", ErrImage)
	}
	if m.Entry, err = entry(f, size); err != nil {
		return m, err
	}
	h.Reset()
	binary.Write(h, binary.BigEndian, uint64(m.Entry))
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Memsz == 0 {
			continue
		}
		if p.Filesz > p.Memsz || p.Memsz > maxImage || p.Paddr > 1<<32 || p.Off > uint64(size) || p.Filesz > uint64(size)-p.Off {
			return m, fmt.Errorf("%w: segment at %#x of %d bytes", ErrImage, p.Paddr, p.Memsz)
		}
		binary.Write(h, binary.BigEndian, []uint64{p.Paddr, p.Filesz, p.Memsz})
		if _, err := io.Copy(h, io.NewSectionReader(r, int64(p.Off), int64(p.Filesz))); err != nil {
			return m, err
		}
		if m.High == 0 || p.Paddr < m.Low {
			m.Low = p.Paddr
		}
		m.High = max(m.High, p.Paddr+p.Memsz)
	}
	if m.High == 0 {
		return m, fmt.Errorf("%w: it loads nothing", ErrImage)
	}
	if uint64(m.Entry) < m.Low || uint64(m.Entry) >= m.High {
		return m, fmt.Errorf("%w: entry %#x is not in what it loads, %#x to %#x", ErrImage, m.Entry, m.Low, m.High)
	}
	m.Loaded = hex.EncodeToString(h.Sum(nil))
	return m, nil
}

// entry finds the PVH entry in the notes. Xen takes notes from PT_NOTE
// segments and, if there are none, from sections.
func entry(f *elf.File, size int64) (uint32, error) {
	var notes [][]byte
	read := func(r io.ReaderAt, n uint64) error {
		if n > uint64(size) {
			return fmt.Errorf("%w: notes of %d bytes", ErrImage, n)
		}
		b := make([]byte, n)
		if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
			return fmt.Errorf("%w: notes: %v", ErrImage, err)
		}
		notes = append(notes, b)
		return nil
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_NOTE {
			if err := read(p, p.Filesz); err != nil {
				return 0, err
			}
		}
	}
	if len(notes) == 0 {
		for _, s := range f.Sections {
			if s.Type == elf.SHT_NOTE {
				if err := read(s, s.Size); err != nil {
					return 0, err
				}
			}
		}
	}
	for _, n := range notes {
		if e, ok := findEntry(n); ok {
			return e, nil
		}
	}
	return 0, fmt.Errorf("%w: no Xen note PHYS32_ENTRY", ErrImage)
}

// findEntry walks notes: name size, descriptor size, type, name, descriptor,
// each padded to four bytes.
func findEntry(b []byte) (uint32, bool) {
	align := func(n uint64) uint64 { return (n + 3) &^ 3 }
	for len(b) >= 12 {
		nameSize := uint64(binary.LittleEndian.Uint32(b))
		descSize := uint64(binary.LittleEndian.Uint32(b[4:]))
		typ := binary.LittleEndian.Uint32(b[8:])
		end := 12 + align(nameSize) + align(descSize)
		if 12+align(nameSize)+descSize > uint64(len(b)) {
			return 0, false
		}
		name := b[12 : 12+nameSize]
		desc := b[12+align(nameSize):][:descSize]
		if typ == notePHYS32Entry && string(name) == "Xen\x00" && (descSize == 4 || descSize == 8) {
			return binary.LittleEndian.Uint32(desc), true
		}
		if end >= uint64(len(b)) {
			return 0, false
		}
		b = b[end:]
	}
	return 0, false
}
