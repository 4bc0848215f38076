package launch

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"

	"stubtpm/image/elfnote"
)

// A program is an ELF program as libxenguest loads it for a PVH guest.
type program struct {
	segments   []segment
	start, end uint64 // addresses of its memory, which libxenguest clears first
	entry      uint64 // address of its first instruction
	// modulesLast is set if modules lie behind the start info, not before it.
	modulesLast bool
}

// A segment is a part of memory with contents. Behind them, up to size, are zeros.
type segment struct {
	address, size uint64
	data          io.ReaderAt
	length        uint64 // of data
}

// linuxRSDPUnrestricted is the bit of XENFEAT_linux_rsdp_unrestricted in the
// features that a program states (public/features.h).
const linuxRSDPUnrestricted = 1 << 15

// loadProgram reads an ELF program. It returns ErrKernel for one that cannot start
// as a PVH guest, and for one whose memory before the start info libxl fills with
// more than the program.
func loadProgram(b []byte) (*program, error) {
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKernel, err)
	}
	notes, err := elfnote.Xen(f, int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKernel, err)
	}
	entry, ok := address(notes[elfnote.PHYS32Entry])
	if !ok {
		return nil, fmt.Errorf("%w: no Xen note PHYS32_ENTRY of 32 or 64 bits, so it cannot start as a PVH guest", ErrKernel)
	}
	if text(notes[elfnote.BSDSymtab]) == "yes" {
		return nil, fmt.Errorf("%w: Xen note BSD_SYMTAB: its symbols would be loaded too", ErrKernel)
	}
	if text(notes[elfnote.GuestOS]) == "linux" && number(notes[elfnote.SupportedFeatures])&linuxRSDPUnrestricted == 0 {
		return nil, fmt.Errorf("%w: a Linux before 4.17, for which ACPI's RSDP lies before the kernel", ErrKernel)
	}
	p := &program{entry: entry, modulesLast: number(notes[elfnote.ModStartPFN]) != 0}
	return p, p.load(f, uint64(len(b)))
}

// load takes the segments that libelf loads.
func (p *program) load(f *elf.File, size uint64) error {
	for _, g := range f.Progs {
		if g.Type != elf.PT_LOAD || g.Flags&(elf.PF_R|elf.PF_W|elf.PF_X) == 0 {
			continue
		}
		if g.Filesz > g.Memsz || g.Memsz > maxUnpacked || g.Paddr >= lowMemory || g.Off > size || g.Filesz > size-g.Off {
			return fmt.Errorf("%w: segment of %d bytes at %#x", ErrKernel, g.Memsz, g.Paddr)
		}
		if len(p.segments) == 0 || g.Paddr < p.start {
			p.start = g.Paddr
		}
		p.end = max(p.end, g.Paddr+g.Memsz)
		p.segments = append(p.segments, segment{g.Paddr, g.Memsz, g.ReaderAt, g.Filesz})
	}
	if p.start == p.end || p.start%pageSize != 0 || p.end-p.start > maxUnpacked || p.end > lowMemory {
		return fmt.Errorf("%w: loaded at %#x to %#x", ErrKernel, p.start, p.end)
	}
	if p.entry < p.start || p.entry >= p.end {
		return fmt.Errorf("%w: entry at %#x, loaded at %#x to %#x", ErrKernel, p.entry, p.start, p.end)
	}
	return nil
}

// text returns the string in a note.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// address returns the address in a note, which has 32 or 64 bits.
func address(b []byte) (a uint64, ok bool) {
	switch len(b) {
	case 4:
		return uint64(binary.LittleEndian.Uint32(b)), true
	case 8:
		return binary.LittleEndian.Uint64(b), true
	}
	return 0, false
}

// number returns the low 32 bits of the number in a note, or 0.
func number(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}
