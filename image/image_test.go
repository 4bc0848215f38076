package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stubtpm/image/elfnote"
)

const testUUID = "5f1c0a52-6d0f-4c0e-9a1b-0d9b7a3c1e01"

// examples are the configurations shipped in configs/.
func examples() map[string]Domain {
	m := Manager(ManagerImage)
	m.Disks = []string{"/dev/vg0/vtpmmgr"}
	v := VTPM(VTPMImage, testUUID, m.Name)
	v.Name = "vtpm-guest1"
	v.Disks = []string{"/dev/vg0/vtpm-guest1"}
	g := Guest("/boot/vmlinuz", "/boot/initrd.img", "console=hvc0 root=/dev/xvda", v.Name, 512)
	g.Name = "guest1"
	g.Disks = []string{"/dev/vg0/guest1"}
	return map[string]Domain{"vtpmmgr.cfg": m, "vtpm-guest1.cfg": v, "guest1.cfg": g}
}

// TestConfigs compares the shipped examples with Config; UPDATE=1 writes them.
func TestConfigs(t *testing.T) {
	t.Parallel()
	for name, d := range examples() {
		text, err := d.Config()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("configs", name)
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s differs from the builder's text:\n%s", file, text)
		}
	}
}

// TestConfigRefuses tries values that would change the meaning of the text.
func TestConfigRefuses(t *testing.T) {
	t.Parallel()
	good := Manager("/k")
	good.Disks = []string{"/dev/d"}
	if _, err := good.Config(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Domain){
		"name quote":    func(d *Domain) { d.Name = "a\"b" },
		"name empty":    func(d *Domain) { d.Name = "" },
		"kernel":        func(d *Domain) { d.Kernel = "/k\"\niomem=[\"0,1\"]" },
		"relative path": func(d *Domain) { d.Kernel = "k" },
		"ramdisk":       func(d *Domain) { d.Ramdisk = "/r\"" },
		"extra quote":   func(d *Domain) { d.Extra = "x\" y" },
		"extra line":    func(d *Domain) { d.Extra = "x\ny" },
		"memory":        func(d *Domain) { d.Memory = 0 },
		"disk options":  func(d *Domain) { d.Disks = []string{"/dev/d,script=x"} },
		"iomem":         func(d *Domain) { d.IOMem = "fed40" },
		"backend":       func(d *Domain) { d.VTPM = &VTPMDevice{Backend: "a,uuid=b"} },
		"uuid":          func(d *Domain) { d.VTPM = &VTPMDevice{Backend: "a", UUID: "5F1C0A52"} },
	} {
		d := good
		change(&d)
		if text, err := d.Config(); !errors.Is(err, ErrDomain) {
			t.Errorf("%s: error %v, text:\n%s", name, err, text)
		}
	}
}

// testELF returns a small PVH image.
func testELF(text []byte, entry uint32, note bool) []byte {
	var b bytes.Buffer
	const notes, code, load = 0x1000, 0x2000, 0x200000
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: load,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	binary.Write(&b, binary.LittleEndian, h)
	noteSize := uint64(20)
	binary.Write(&b, binary.LittleEndian, []elf.Prog64{
		{Type: uint32(elf.PT_NOTE), Off: notes, Filesz: noteSize, Memsz: noteSize},
		{Type: uint32(elf.PT_LOAD), Off: code, Paddr: load, Vaddr: load, Filesz: uint64(len(text)), Memsz: uint64(len(text)) + 100},
	})
	b.Write(make([]byte, notes-b.Len()))
	typ := uint32(elfnote.PHYS32Entry)
	if !note {
		typ = 3
	}
	binary.Write(&b, binary.LittleEndian, []uint32{4, 4, typ})
	b.WriteString("Xen\x00")
	binary.Write(&b, binary.LittleEndian, entry)
	b.Write(make([]byte, code-b.Len()))
	b.Write(text)
	return b.Bytes()
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return f
	}
	img := testELF([]byte("code and data"), 0x200004, true)
	m, err := Measure(write("a.elf", img))
	if err != nil {
		t.Fatal(err)
	}
	if m.Entry != 0x200004 || m.Low != 0x200000 || m.High != 0x200000+13+100 || m.Size != int64(len(img)) {
		t.Errorf("measured %+v", m)
	}

	// Bytes that are not loaded must change the file's hash only.
	tail, err := Measure(write("tail.elf", append(bytes.Clone(img), 1, 2, 3)))
	if err != nil {
		t.Fatal(err)
	}
	if tail.SHA256 == m.SHA256 || tail.Loaded != m.Loaded {
		t.Errorf("a tail: %+v, without: %+v", tail, m)
	}
	for name, b := range map[string][]byte{
		"code.elf":  testELF([]byte("code and date"), 0x200004, true),
		"entry.elf": testELF([]byte("code and data"), 0x200005, true),
	} {
		o, err := Measure(write(name, b))
		if err != nil {
			t.Fatal(err)
		}
		if o.Loaded == m.Loaded {
			t.Errorf("%s: what is loaded differs, its hash does not", name)
		}
	}
	for name, b := range map[string][]byte{
		"empty": nil, "text": []byte("#!/bin/sh\n"), "no note": testELF([]byte("x"), 0x200000, false),
		"entry outside": testELF([]byte("x"), 0x100000, true), "cut": img[:len(img)-3],
	} {
		if _, err := Measure(write("bad.elf", b)); !errors.Is(err, ErrImage) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestMeasureMemory lays an image into memory as Xen's builder does.
func TestMeasureMemory(t *testing.T) {
	t.Parallel()
	text := []byte("code and data")
	file := filepath.Join(t.TempDir(), "a.elf")
	if err := os.WriteFile(file, testELF(text, 0x200004, true), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Measure(file)
	if err != nil {
		t.Fatal(err)
	}
	memory := make([]byte, 0x201000)
	copy(memory[0x200000:], text)
	got, err := MeasureMemory(file, bytes.NewReader(memory))
	if err != nil || got != m.Loaded {
		t.Errorf("%s, %v; the file says %s", got, err, m.Loaded)
	}
	memory[0x200003] ^= 1
	if got, err := MeasureMemory(file, bytes.NewReader(memory)); err != nil || got == m.Loaded {
		t.Errorf("a changed byte of the code: %s, %v", got, err)
	}
	memory[0x200003] ^= 1
	memory[m.High-1] = 1
	if _, err := MeasureMemory(file, bytes.NewReader(memory)); !errors.Is(err, ErrMemory) {
		t.Errorf("a byte behind the data: %v", err)
	}
	if _, err := MeasureMemory(file, bytes.NewReader(memory[:0x200005])); err == nil {
		t.Error("memory that is not there was measured")
	}
}

func TestManifest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.elf"), filepath.Join(dir, "b.elf")
	os.WriteFile(a, testELF([]byte("a"), 0x200000, true), 0o644)
	os.WriteFile(b, testELF([]byte("b"), 0x200000, true), 0o644)
	m, err := NewManifest(b, a)
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Verify(dir); err != nil {
		t.Errorf("unchanged images: %v", err)
	}
	os.WriteFile(a, testELF([]byte("c"), 0x200000, true), 0o644)
	os.Remove(b)
	err = back.Verify(dir)
	if err == nil || !strings.Contains(err.Error(), "a.elf has") || !strings.Contains(err.Error(), "b.elf is missing") {
		t.Errorf("one changed, one missing: %v", err)
	}
	for name, change := range map[string][2]string{
		"version": {`"version": 1`, `"version": 2`},
		"path":    {`"a.elf"`, `"../a.elf"`},
		"unknown": {`"version"`, `"more": 1, "version"`},
	} {
		if _, err := DecodeManifest([]byte(strings.Replace(string(text), change[0], change[1], 1))); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func FuzzMeasure(f *testing.F) {
	f.Add(testELF([]byte("code"), 0x200000, true))
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		measure(bytes.NewReader(b), int64(len(b)))
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"version":1,"images":[{"name":"a.elf","sha256":"","loaded":"","size":1,"entry":1,"low":1,"high":2}]}`))
	f.Fuzz(func(t *testing.T, b []byte) { DecodeManifest(b) })
}
