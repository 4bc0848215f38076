package image

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
)

// maxImage is the largest size in bytes of an image file and of a segment in
// memory. A unikernel has a few megabytes.
const maxImage = 1 << 28

// notePHYS32Entry is the type of the ELF note that makes an image bootable as a
// PVH domain (public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY).
const notePHYS32Entry = 18

// A segment is loaded at a physical address: FileSize bytes of the file, then zeros
// up to Size.
type segment struct {
	address, fileSize, size uint64
	offset                  uint64 // in the file
}

// header returns the segment's part of the hash of what is loaded, without its
// bytes.
func (s segment) header() []byte {
	var b []byte
	for _, v := range []uint64{s.address, s.fileSize, s.size} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

// layout returns the entry point and the loadable segments of an image of size
// bytes.
func layout(r io.ReaderAt, size int64) (uint32, []segment, error) {
	if size > maxImage {
		return 0, nil, fmt.Errorf("%w: %d bytes", ErrImage, size)
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %v", ErrImage, err)
	}
	if f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 || f.Type != elf.ET_EXEC {
		return 0, nil, fmt.Errorf("%w: want an executable for x86-64", ErrImage)
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
		if p.Filesz > p.Memsz || p.Memsz > maxImage || p.Paddr > 1<<32 || p.Off > uint64(size) || p.Filesz > uint64(size)-p.Off {
			return 0, nil, fmt.Errorf("%w: segment at %#x of %d bytes", ErrImage, p.Paddr, p.Memsz)
		}
		list = append(list, segment{p.Paddr, p.Filesz, p.Memsz, p.Off})
	}
	return e, list, nil
}

// entry returns the address of the PVH entry point. Xen reads notes from PT_NOTE
// segments or, if there are none, from sections.
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

// findEntry looks for the note PHYS32_ENTRY. A note is: name size, descriptor size,
// type, name, descriptor, with the last two padded to four bytes.
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
