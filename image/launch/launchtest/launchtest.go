// Package launchtest makes small programs that Xen's toolstack could start as PVH
// guests, for tests.
package launchtest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"slices"
	"strings"

	"stubtpm/image/elfnote"
)

// A Note is a note of Xen.
type Note struct {
	Type uint32
	Desc string
}

// A Segment is a PT_LOAD segment.
type Segment struct {
	Address, Size uint64 // in memory
	Data          string
}

// LinuxNotes returns those notes of Linux that matter to the layout of its memory.
func LinuxNotes() []Note {
	return []Note{{elfnote.PHYS32Entry, "\x00\x00\x10\x00"}, {elfnote.GuestOS, "linux\x00"}, {elfnote.SupportedFeatures, "\x01\x88\x00\x00"}, {elfnote.ModStartPFN, "\x01\x00\x00\x00"}}
}

// Segments returns two segments.
func Segments() []Segment {
	return []Segment{{0x100000, 0x2000, "text"}, {0x103000, 0x1801, "data"}}
}

// ELF returns a program with notes and segments.
func ELF(notes []Note, segments ...Segment) []byte {
	var desc, data bytes.Buffer
	for _, n := range notes {
		binary.Write(&desc, binary.LittleEndian, []uint32{4, uint32(len(n.Desc)), n.Type})
		desc.WriteString("Xen\x00" + n.Desc + strings.Repeat("\x00", -len(n.Desc)&3))
	}
	at := uint64(64 + 56*(1+len(segments)))
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(1 + len(segments))}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	binary.Write(&b, binary.LittleEndian, h)
	binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_NOTE), Off: at, Filesz: uint64(desc.Len()), Memsz: uint64(desc.Len())})
	at += uint64(desc.Len())
	for _, s := range segments {
		binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R), Off: at, Paddr: s.Address, Filesz: uint64(len(s.Data)), Memsz: s.Size})
		at += uint64(len(s.Data))
		data.WriteString(s.Data)
	}
	return slices.Concat(b.Bytes(), desc.Bytes(), data.Bytes())
}
