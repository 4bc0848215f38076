package image

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"

	"stubtpm/image/elfnote"
)

// maxImage is the largest size in bytes of an image file and of a segment in
// memory. A unikernel has a few megabytes.
const maxImage = 1 << 28

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

// entry returns the address of the PVH entry point.
func entry(f *elf.File, size int64) (uint32, error) {
	notes, err := elfnote.Xen(f, size)
	if err != nil {
		return 0, fmt.Errorf("%w: %v", ErrImage, err)
	}
	if b := notes[elfnote.PHYS32Entry]; len(b) == 4 || len(b) == 8 {
		return binary.LittleEndian.Uint32(b), nil
	}
	return 0, fmt.Errorf("%w: no Xen note PHYS32_ENTRY", ErrImage)
}
