package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// sample is an ELF file with a PT_NOTE of one Go note, as the linker lays it out:
// headers, free space, the note, text.
func sample(t *testing.T, noteAt uint64) string {
	t.Helper()
	var b bytes.Buffer
	head := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: 0x201234,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(head.Ident[:], "\x7fELF\x02\x01\x01")
	binary.Write(&b, binary.LittleEndian, head)
	binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_NOTE), Flags: 4, Off: noteAt,
		Vaddr: 0x200000 + noteAt, Paddr: 0x200000 + noteAt, Filesz: 16, Memsz: 16, Align: 4})
	b.Write(make([]byte, int(noteAt)-b.Len()))
	b.WriteString(goNote)
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// goNote is a note of the owner Go without a descriptor.
const goNote = "\x04\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00Go\x00\x00"

func TestPVHNote(t *testing.T) {
	name := sample(t, 0x200)
	if err := addPVHNote(name); err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := f.Progs[0]
	got := make([]byte, p.Filesz)
	if _, err := p.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	want := "\x04\x00\x00\x00\x04\x00\x00\x00\x12\x00\x00\x00Xen\x00\x34\x12\x20\x00" + goNote
	if string(got) != want {
		t.Errorf("notes are\n%q, want\n%q", got, want)
	}
	if p.Vaddr != 0x200200-noteSize || p.Paddr != p.Vaddr || p.Memsz != p.Filesz {
		t.Errorf("program header: %+v", p.ProgHeader)
	}
}

func TestPVHNoteRefuses(t *testing.T) {
	// Headers end at 120: no room before 132.
	if err := addPVHNote(sample(t, 132)); err == nil {
		t.Error("a note without room was written")
	}
	name := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(name, []byte("no ELF"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := addPVHNote(name); err == nil {
		t.Error("a text file was taken")
	}
}

func TestCount(t *testing.T) {
	c, failed := count("--- PASS: A (0.00s)\n    --- FAIL: A/b (0.00s)\n--- SKIP: C\nx --- PASS: no\n")
	if c != (tally{1, 1, 1}) || len(failed) != 1 || failed[0] != "A/b" {
		t.Errorf("%+v %v", c, failed)
	}
}
