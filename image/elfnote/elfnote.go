// Package elfnote reads the notes with which an ELF program describes itself to
// Xen's toolstack (public/elfnote.h).
package elfnote

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Types of notes (public/elfnote.h, XEN_ELFNOTE_*).
const (
	GuestOS           = 6
	BSDSymtab         = 11
	ModStartPFN       = 16
	SupportedFeatures = 17
	PHYS32Entry       = 18
)

// ErrNotes is returned for notes that do not lie in the file.
var ErrNotes = errors.New("elfnote: invalid notes")

// Xen returns the descriptors of the notes whose name is Xen, by type; of two with
// the same type it returns the last. As the toolstack does, it reads the segments of
// type PT_NOTE and, if those have no note of Xen, the sections of type SHT_NOTE. size
// is that of the file in bytes.
func Xen(f *elf.File, size int64) (map[uint32][]byte, error) {
	notes := map[uint32][]byte{}
	for _, p := range f.Progs {
		if p.Type == elf.PT_NOTE {
			if err := read(notes, p, p.Filesz, size); err != nil {
				return nil, err
			}
		}
	}
	if len(notes) > 0 {
		return notes, nil
	}
	for _, s := range f.Sections {
		if s.Type == elf.SHT_NOTE {
			if err := read(notes, s, s.Size, size); err != nil {
				return nil, err
			}
		}
	}
	return notes, nil
}

func read(notes map[uint32][]byte, r io.ReaderAt, n uint64, size int64) error {
	if n > uint64(size) {
		return fmt.Errorf("%w: %d bytes", ErrNotes, n)
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
		return fmt.Errorf("%w: %v", ErrNotes, err)
	}
	collect(notes, b)
	return nil
}

// collect adds the notes of Xen in b, up to one that is cut off. A note is: name
// size, descriptor size, type, name, descriptor, with the last two padded to four
// bytes.
func collect(notes map[uint32][]byte, b []byte) {
	align := func(n uint64) uint64 { return (n + 3) &^ 3 }
	for len(b) >= 12 {
		nameSize := uint64(binary.LittleEndian.Uint32(b))
		descSize := uint64(binary.LittleEndian.Uint32(b[4:]))
		desc := 12 + align(nameSize)
		if desc+descSize > uint64(len(b)) {
			return
		}
		if string(b[12:12+nameSize]) == "Xen\x00" {
			notes[binary.LittleEndian.Uint32(b[8:])] = b[desc : desc+descSize]
		}
		b = b[min(desc+align(descSize), uint64(len(b))):]
	}
}
