package uki

import (
	"bytes"
	"crypto/sha256"
	"debug/pe"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stubtpm/drivers/eventlog"
	"stubtpm/vtpm/tcg"
)

var algs = []tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512}

// A section is one of a test program.
type section struct{ name, data string }

const testHeader = 0x40 // where the PE header begins

// program returns an EFI program with sections.
func program(sections ...section) []byte {
	const align = 512
	var b, data bytes.Buffer
	b.WriteString("MZ" + strings.Repeat("\x00", atHeader-2))
	binary.Write(&b, binary.LittleEndian, uint32(testHeader))
	b.WriteString("PE\x00\x00")
	binary.Write(&b, binary.LittleEndian, pe.FileHeader{Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: uint16(len(sections)), SizeOfOptionalHeader: 240})
	headers := (testHeader + 24 + 240 + sectionHeaderSize*len(sections) + align - 1) &^ (align - 1)
	binary.Write(&b, binary.LittleEndian, pe.OptionalHeader64{Magic: 0x20B, SizeOfHeaders: uint32(headers), Subsystem: pe.IMAGE_SUBSYSTEM_EFI_APPLICATION, NumberOfRvaAndSizes: 16, CheckSum: 0x12345678})
	for n, s := range sections {
		h := pe.SectionHeader32{VirtualSize: uint32(len(s.data)), VirtualAddress: uint32(n+1) << 16, SizeOfRawData: uint32(len(s.data)+align-1) &^ (align - 1), PointerToRawData: uint32(headers + data.Len())}
		copy(h.Name[:], s.name)
		binary.Write(&b, binary.LittleEndian, h)
		data.WriteString(s.data + strings.Repeat("\x00", int(h.SizeOfRawData)-len(s.data)))
	}
	return append(append(b.Bytes(), make([]byte, headers-b.Len())...), data.Bytes()...)
}

func open(t testing.TB, b []byte) *Image {
	t.Helper()
	i, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestSections checks names, order, and what is left out.
func TestSections(t *testing.T) {
	t.Parallel()
	i := open(t, program(section{".text", "code"}, section{".sbat", "sbat"}, section{".initrd", "initrd"}, section{".pcrsig", "{}"}, section{".linux", "kernel"}, section{".dtb", ""}, section{".cmdline", "quiet\x00"}))
	events, err := i.Sections(algs)
	if err != nil {
		t.Fatal(err)
	}
	var want []eventlog.Event
	for _, s := range []section{{".linux", "kernel"}, {".cmdline", "quiet\x00"}, {".initrd", "initrd"}, {".sbat", "sbat"}} {
		var wide []byte
		for _, c := range s.name + "\x00" {
			wide = append(wide, byte(c), 0)
		}
		for _, text := range []string{s.name + "\x00", s.data} {
			want = append(want, eventlog.Event{PCR: 11, Type: eventlog.EVIPL, Digests: eventlog.Hash(algs, []byte(text)), Data: wide})
		}
	}
	if fmt.Sprint(events) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", events, want)
	}
}

// TestAuthenticode hashes a program by hand, and makes sure that each byte counts but
// for checksum, entry and table of the certificates.
func TestAuthenticode(t *testing.T) {
	t.Parallel()
	b := append(program(section{".text", "code"}, section{".linux", strings.Repeat("kernel", 200)}), "trailing data"...)
	sum := func(b []byte) string {
		d, err := open(t, b).Authenticode([]tcg.TPMAlgID{tcg.TPMAlgSHA256})
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(d[0].Sum)
	}
	checkSum, entry := testHeader+atCheckSum, testHeader+atDirectories+4*directorySize
	hashed := sha256.Sum256(slices.Concat(b[:checkSum], b[checkSum+4:entry], b[entry+8:], make([]byte, -len(b)&7)))
	want := hex.EncodeToString(hashed[:])
	if got := sum(b); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	signed := append(slices.Clone(b), make([]byte, -len(b)&7)...)
	binary.LittleEndian.PutUint32(signed[entry:], uint32(len(signed)))
	binary.LittleEndian.PutUint32(signed[entry+4:], 16)
	signed[checkSum]++
	signed = append(signed, "the certificates"...)
	if got := sum(signed); got != want {
		t.Errorf("signed: %s, want %s", got, want)
	}
	for n := range signed {
		other := slices.Clone(signed)
		other[n] ^= 1
		i, err := Open(bytes.NewReader(other), int64(len(other)))
		if err != nil {
			continue
		}
		d, err := i.Authenticode([]tcg.TPMAlgID{tcg.TPMAlgSHA256})
		if err != nil {
			t.Fatal(err)
		}
		free := n >= checkSum && n < checkSum+4 || n >= entry && n < entry+8 || n >= len(signed)-16
		if same := hex.EncodeToString(d[0].Sum) == want; same != free {
			t.Errorf("byte %#x: the same digest %v, want %v", n, same, free)
		}
	}
}

// TestFileEnds measures a file that became shorter after its size was taken.
func TestFileEnds(t *testing.T) {
	t.Parallel()
	b := append(program(section{".text", "code"}, section{".linux", strings.Repeat("kernel", 200)}), "trailing data"...)
	for n := range len(b) {
		i, err := Open(bytes.NewReader(b[:n]), int64(len(b)))
		if err != nil {
			continue
		}
		if d, err := i.Authenticode(algs); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of %d: %v, %v", n, len(b), d, err)
		}
	}
	i, err := Open(bytes.NewReader(b[:len(b)-1000]), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Sections(algs); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("sections: %v", err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	good := program(section{".text", "code"}, section{".linux", "kernel"})
	const table = testHeader + 24 + 240 // of sections
	le := binary.LittleEndian
	for name, change := range map[string]func(b []byte) []byte{
		"empty":                  func([]byte) []byte { return nil },
		"text":                   func([]byte) []byte { return []byte("#!/bin/sh\n") },
		"cut off":                func(b []byte) []byte { return b[:len(b)-1] },
		"other machine":          func(b []byte) []byte { b[testHeader+4]++; return b },
		"driver":                 func(b []byte) []byte { b[testHeader+24+68] = 11; return b },
		"headers too short":      func(b []byte) []byte { le.PutUint32(b[testHeader+24+60:], 100); return b },
		"sections not hashed":    func(b []byte) []byte { le.PutUint32(b[testHeader+24+60:], table+sectionHeaderSize); return b },
		"headers too long":       func(b []byte) []byte { le.PutUint32(b[testHeader+24+60:], 1<<31); return b },
		"headers over a section": func(b []byte) []byte { le.PutUint32(b[testHeader+24+60:], 1024); return b },
		"sections overlap":       func(b []byte) []byte { le.PutUint32(b[table+20:], 1024); return b },
		"section outside":        func(b []byte) []byte { le.PutUint32(b[table+16:], 1<<30); return b },
		"certificates in between": func(b []byte) []byte {
			le.PutUint32(b[testHeader+atDirectories+32:], 512)
			le.PutUint32(b[testHeader+atDirectories+36:], 16)
			return b
		},
		"certificates over a section": func(b []byte) []byte {
			le.PutUint32(b[testHeader+atDirectories+32:], uint32(len(b)-16))
			le.PutUint32(b[testHeader+atDirectories+36:], 16)
			return b
		},
		"certificates of 4 GiB": func(b []byte) []byte { le.PutUint32(b[testHeader+atDirectories+36:], 1<<32-1); return b },
	} {
		b := change(slices.Clone(good))
		if i, err := Open(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrImage) {
			t.Errorf("%s: %v, %v", name, i, err)
		}
	}
	long := slices.Clone(good)
	le.PutUint32(long[table+sectionHeaderSize+8:], 5000)
	for name, b := range map[string][]byte{
		"no kernel": program(section{".text", "code"}), "two kernels": program(section{".linux", "a"}, section{".linux", "b"}),
		"two initrds": program(section{".linux", "a"}, section{".initrd", "a"}, section{".initrd", "b"}),
		"profiles":    program(section{".linux", "a"}, section{".profile", "ID=a"}), "larger in memory": long,
	} {
		if _, err := open(t, b).Sections(algs); !errors.Is(err, ErrImage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// run returns what a program prints, and skips the test if it is not installed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (go run ./tools/deps)", name)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestSystemdMeasure makes a UKI from systemd's stub with objcopy, and compares PCR
// 11 with what systemd-measure calculates for the same files, with this system's
// systemd and with that of Debian 13 (go run ./tools/deps -for trixie).
func TestSystemdMeasure(t *testing.T) {
	t.Parallel()
	const stub, measure = "usr/lib/systemd/boot/efi/linuxx64.efi.stub", "usr/lib/systemd/systemd-measure"
	ran := false
	for _, root := range []string{"/", "../../build/sysroot-trixie"} {
		if _, err := os.Stat(filepath.Join(root, stub)); err != nil {
			continue
		}
		tool := []string{filepath.Join(root, measure)}
		if root != "/" {
			lib := filepath.Join(root, "usr/lib/x86_64-linux-gnu")
			tool = append([]string{filepath.Join(lib, "ld-linux-x86-64.so.2"), "--library-path", lib + ":" + filepath.Join(lib, "systemd")}, tool...)
		}
		compareSections(t, filepath.Join(root, stub), tool)
		ran = true
	}
	if !ran {
		t.Skip("systemd-boot-efi is not installed (go run ./tools/deps)")
	}
}

func compareSections(t *testing.T, stub string, measure []string) {
	t.Helper()
	dir := t.TempDir()
	version, err := open(t, read(t, stub)).stubVersion()
	if err != nil {
		t.Fatal(err)
	}
	sections := []section{{".osrel", "ID=test\n"}, {".cmdline", "root=/dev/xvda1\x00"}, {".initrd", strings.Repeat("initrd", 3000)}, {".splash", "BM"}, {".pcrpkey", "key"}, {".linux", strings.Repeat("kernel", 7001)}}
	if version >= 257 {
		sections = append(sections, section{".ucode", "microcode"}, section{".uname", "6.1"}, section{".hwids", "ids"}, section{".dtbauto", "dtb"}, section{".pcrsig", "{}"})
	}
	var objcopy, calculate []string
	for n, s := range sections {
		file := filepath.Join(dir, s.name)
		if err := os.WriteFile(file, []byte(s.data), 0o600); err != nil {
			t.Fatal(err)
		}
		objcopy = append(objcopy, "--add-section", s.name+"="+file, "--change-section-vma", fmt.Sprintf("%s=%#x", s.name, (n+2)<<20))
		switch s.name {
		case ".pcrsig":
		case ".dtbauto": // systemd-measure 257 takes the name of each for the other
			calculate = append(calculate, "--hwids="+file)
		case ".hwids":
			calculate = append(calculate, "--dtbauto="+file)
		default:
			calculate = append(calculate, "--"+s.name[1:]+"="+file)
		}
	}
	file := filepath.Join(dir, "uki")
	run(t, "objcopy", append(objcopy, stub, file)...)
	i := open(t, read(t, file))
	if sbat, err := i.Section(".sbat"); err != nil {
		t.Fatal(err)
	} else if sbat != nil && version >= 254 {
		b := make([]byte, sbat.Size())
		sbat.ReadAt(b, 0)
		if err := os.WriteFile(filepath.Join(dir, ".sbat"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		calculate = append(calculate, "--sbat="+filepath.Join(dir, ".sbat"))
	}
	l, err := eventlog.New(algs...)
	if err != nil {
		t.Fatal(err)
	}
	if l.Events, err = i.Sections(algs); err != nil {
		t.Fatal(err)
	}
	comparePcrlock(t, file, measure, l.Events)
	out := run(t, measure[0], slices.Concat(measure[1:], []string{"calculate", "--phase=:"}, calculate)...)
	for bank, name := range map[tcg.TPMAlgID]string{tcg.TPMAlgSHA1: "sha1", tcg.TPMAlgSHA256: "sha256", tcg.TPMAlgSHA384: "sha384", tcg.TPMAlgSHA512: "sha512"} {
		v, err := l.Replay(bank)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("11:%s=%x\n", name, v[11]); !strings.Contains(out, want) {
			t.Errorf("stub %d: want %s in\n%s", version, want, out)
		}
	}
}

// comparePcrlock compares the events with the list that systemd-pcrlock of the same
// system as systemd-measure makes of the UKI.
func comparePcrlock(t *testing.T, file string, measure []string, events []eventlog.Event) {
	t.Helper()
	pcrlock := slices.Clone(measure)
	pcrlock[len(pcrlock)-1] = filepath.Join(filepath.Dir(measure[len(measure)-1]), "systemd-pcrlock")
	if _, err := os.Stat(pcrlock[len(pcrlock)-1]); err != nil {
		return // systemd before 255
	}
	out := filepath.Join(t.TempDir(), "uki.pcrlock")
	run(t, pcrlock[0], append(pcrlock[1:], "lock-uki", "--pcrlock="+out, file)...)
	var locked struct {
		Records []struct {
			PCR     uint32
			Digests []struct{ HashAlg, Digest string }
		}
	}
	if err := json.Unmarshal(read(t, out), &locked); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, r := range locked.Records {
		for _, d := range r.Digests {
			if r.PCR == pcrKernel && d.HashAlg == "sha256" {
				want = append(want, d.Digest)
			}
		}
	}
	for _, e := range events {
		got = append(got, hex.EncodeToString(e.Digests[slices.Index(algs, tcg.TPMAlgSHA256)].Sum))
	}
	if !slices.Equal(got, want) {
		t.Errorf("digests %q\nsystemd-pcrlock: %q", got, want)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSigners compares the Authenticode hash of EFI programs on this machine with
// that of pesign, and with that which osslsigncode finds in a signature by sbsign.
func TestSigners(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range []string{"/usr/lib/systemd/boot/efi/*.efi*", "/usr/lib/shim/*.efi*", "/boot/vmlinuz-*", "../../build/sysroot*/boot/vmlinuz-*"} {
		found, _ := filepath.Glob(pattern)
		files = append(files, found...)
	}
	dir := t.TempDir()
	odd := filepath.Join(dir, "odd") // its size is not a multiple of 8
	if err := os.WriteFile(odd, append(program(section{".text", "code"}, section{".linux", "kernel"}), "odd"...), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := func(file string) string {
		d, err := open(t, read(t, file)).Authenticode([]tcg.TPMAlgID{tcg.TPMAlgSHA256})
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(d[0].Sum)
	}
	key, cert := filepath.Join(dir, "key"), filepath.Join(dir, "cert")
	run(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=test", "-days", "1")
	for n, file := range append(files, odd) {
		want := sum(file)
		signed := filepath.Join(dir, fmt.Sprint(n))
		run(t, "sbsign", "--key", key, "--cert", cert, "--output", signed, file)
		if got := sum(signed); got != want {
			t.Errorf("%s: %s when signed, %s before", file, got, want)
		}
		if file != odd { // pesign refuses it, and pads only what sbsign padded
			if got := run(t, "pesign", "-h", "-i", signed); !strings.Contains(got, want) {
				t.Errorf("%s: %s, pesign: %s", file, want, got)
			}
		}
		path, err := exec.LookPath("osslsigncode")
		if err != nil {
			t.Log("osslsigncode is not installed")
			continue
		}
		// It fails, as nobody trusts the key, and cannot read two signatures.
		out, _ := exec.Command(path, "verify", "-in", signed).CombinedOutput()
		if bytes.Contains(out, []byte("Corrupted attribute certificate table")) {
			continue
		}
		if m := regexp.MustCompile(`(?i)message digest +: `+want).FindAll(out, -1); len(m) == 0 {
			t.Errorf("%s: %s, osslsigncode: %s", file, want, out)
		}
	}
}

// FuzzImage measures any file. What is measured as a section must lie in what the
// Authenticode hash covers.
func FuzzImage(f *testing.F) {
	f.Add(program(section{".text", "code"}, section{".linux", "kernel"}, section{".cmdline", "quiet"}))
	f.Add(program(section{".sdmagic", "#### LoaderInfo: systemd-stub 252.1 ####"}, section{".linux", "kernel"}, section{".sbat", "sbat"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, ErrImage) {
				t.Fatal(err)
			}
			return
		}
		if _, err := i.Application(algs[:2], `\EFI\a.efi`); err != nil {
			t.Fatal(err)
		}
		events, err := i.Sections(algs[1:2])
		if err != nil && !errors.Is(err, ErrImage) {
			t.Fatal(err)
		}
		for _, name := range measured {
			r, err := i.Section(name)
			if err != nil || r == nil || len(events) == 0 {
				continue
			}
			data := make([]byte, r.Size())
			if _, err := r.ReadAt(data, 0); err != nil {
				t.Fatalf("section %s: %v", name, err)
			}
			_, from, _ := r.Outer()
			if !slices.ContainsFunc(i.hashed, func(s span) bool { return s.from <= from && from+r.Size() <= s.to }) {
				t.Fatalf("section %s is not hashed", name)
			}
		}
	})
}
