package main

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
)

// Xen's note that makes an ELF file a PVH kernel: type and owner (Xen,
// xen/include/public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY). The descriptor is
// the 32-bit physical entry address.
const (
	notePhys32Entry = 18
	noteOwner       = "Xen\x00"
	noteSize        = 12 + 4 + 4
	noteAlign       = 4
)

// addPVHNote writes the note into the free space before the Go build ID note and
// lets the PT_NOTE program header begin there. The linker's data stay in
// place. The entry is taken from the ELF header.
func addPVHNote(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	e, err := elf.NewFile(f)
	if err != nil {
		return err
	}
	if e.Entry == 0 || e.Entry >= 1<<32 {
		return fmt.Errorf("%s: entry %#x is not a 32-bit address", name, e.Entry)
	}
	for i, p := range e.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		if err := checkFree(e, p.Off); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		le := binary.LittleEndian
		note := le.AppendUint32(nil, uint32(len(noteOwner)))
		note = le.AppendUint32(note, 4)
		note = le.AppendUint32(note, notePhys32Entry)
		note = append(note, noteOwner...)
		note = le.AppendUint32(note, uint32(e.Entry))
		if _, err := f.WriteAt(note, int64(p.Off-noteSize)); err != nil {
			return err
		}
		// p_offset, p_vaddr, p_paddr, p_filesz, p_memsz of Elf64_Phdr, from 8.
		var fields []byte
		for _, v := range []uint64{p.Off - noteSize, p.Vaddr - noteSize, p.Paddr - noteSize, p.Filesz + noteSize, p.Memsz + noteSize} {
			fields = le.AppendUint64(fields, v)
		}
		if _, err := f.WriteAt(fields, int64(elfHeaderSize+elfProgSize*i+8)); err != nil {
			return err
		}
		return f.Close()
	}
	return fmt.Errorf("%s: no PT_NOTE program header", name)
}

// Sizes of Elf64_Ehdr and Elf64_Phdr; the linker puts the program headers
// right behind the ELF header.
const (
	elfHeaderSize = 64
	elfProgSize   = 56
)

// checkFree makes sure that nothing uses the noteSize bytes before off.
func checkFree(e *elf.File, off uint64) error {
	if phdrs := uint64(elfHeaderSize + elfProgSize*len(e.Progs)); off < phdrs+noteSize || off%noteAlign != 0 {
		return fmt.Errorf("no room for the PVH note before %#x", off)
	}
	for _, s := range e.Sections {
		if s.Type == elf.SHT_NOBITS || s.Type == elf.SHT_NULL || s.FileSize == 0 {
			continue
		}
		if s.Offset < off && off-noteSize < s.Offset+s.FileSize {
			return fmt.Errorf("no room for the PVH note: section %s is at %#x", s.Name, s.Offset)
		}
	}
	return nil
}
