package launch

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"stubtpm/image/elfnote"
	"stubtpm/image/launch/launchtest"
	"stubtpm/vtpm/tcg"
)

var linuxNotes, testSegments = launchtest.LinuxNotes(), launchtest.Segments()

// testBzImage returns a bzImage with a payload.
func testBzImage(payload []byte, size bool) []byte {
	b := make([]byte, 1024+100)
	b[atSetupSects] = 1
	copy(b[atHeaderMagic:], "HdrS\x0f\x02")
	if size {
		payload = append(payload, 1, 2, 3, 4)
	}
	binary.LittleEndian.PutUint32(b[atPayload:], 100)
	binary.LittleEndian.PutUint32(b[atPayload+4:], uint32(len(payload)))
	return append(b, append(payload, "more of the image"...)...)
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// programOf returns the digest of a program and where it lies.
func programOf(t *testing.T, f Files) (string, uint64, uint64) {
	t.Helper()
	l, err := Predict(f, options, twoBanks)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", l.Program), l.ProgramAddress, l.Start.Address
}

// TestLayout compares the memory of a program with one that is put together here.
func TestLayout(t *testing.T) {
	t.Parallel()
	memory := make([]byte, 0x105000-0x100000)
	copy(memory, "text")
	copy(memory[0x3000:], "data")
	initrd := bytes.Repeat([]byte("initrd "), 1000)
	for name, c := range map[string]struct {
		notes  []launchtest.Note
		before bool // the initrd lies before the start info
	}{
		"linux":           {linuxNotes, false},
		"not linux":       {linuxNotes[:1], true},
		"MOD_START_PFN 0": {append(slices.Clone(linuxNotes), launchtest.Note{Type: elfnote.ModStartPFN, Desc: "\x00\x00\x00\x00"}), true},
	} {
		program := launchtest.ELF(c.notes, testSegments[1], testSegments[0]) // in any order
		want, end := slices.Clone(memory), uint64(0x105000)
		if c.before {
			want, end = append(append(want, initrd...), make([]byte, 2*pageSize-len(initrd))...), end+2*pageSize
		}
		sum, first, start := programOf(t, Files{program, initrd, "quiet"})
		wantSum := programSum(0x100000, 0x100000, want)
		if sum != fmt.Sprintf("%x", wantSum) || first != 0x100000 || start != end {
			t.Errorf("%s: digest %s of %#x to %#x, want %x to %#x", name, sum, first, start, wantSum, end)
		}
		l, err := Predict(Files{program, initrd, "quiet"}, options, twoBanks)
		if err != nil {
			t.Fatal(err)
		}
		want9 := sha256.Sum256(initrd)
		if got := l.Log.Events[6].Digests[0].Sum; !bytes.Equal(got, want9[:]) {
			t.Errorf("%s: digest %x of the initrd", name, got)
		}
	}
}

// TestContainers makes sure that a program is the same in each file format.
func TestContainers(t *testing.T) {
	t.Parallel()
	program := launchtest.ELF(linuxNotes, testSegments...)
	want, _, _ := programOf(t, Files{Kernel: program})
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"gzip": gzipped(program), "bzImage, gzip": testBzImage(gzipped(program), false),
		"bzImage, zstd": testBzImage(z.EncodeAll(program, nil), true), "gzip of bzImage": gzipped(testBzImage(gzipped(program), false)),
	}
	for name, tool := range map[string][]string{"xz": {"xz", "--check=crc32", "--x86", "--lzma2=dict=32MiB"}, "bzip2": {"bzip2"}} {
		if _, err := exec.LookPath(tool[0]); err != nil {
			t.Logf("without %s: the program is not installed", name)
			continue
		}
		cmd := exec.Command(tool[0], append(tool[1:], "-c")...)
		cmd.Stdin = bytes.NewReader(program)
		b, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		files["bzImage, "+name] = testBzImage(b, true)
	}
	for name, file := range files {
		if got, _, _ := programOf(t, Files{Kernel: file}); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestInitrdGzip predicts an initrd that the toolstack unpacks.
func TestInitrdGzip(t *testing.T) {
	t.Parallel()
	program := launchtest.ELF(linuxNotes, testSegments...)
	random := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, 100, pageSize, 3*pageSize - 8, 3*pageSize + 5, 10 * pageSize} {
		data := make([]byte, n)
		for i := range data[:min(n, 4*pageSize)] { // the largest is smaller when packed
			data[i] = byte(1 + random.IntN(255))
		}
		l, err := Predict(Files{Kernel: program, Initrd: gzipped(data)}, options, twoBanks)
		if err != nil {
			t.Fatal(err)
		}
		m := l.Start.Modules[0]
		want := max(n+16, len(gzipped(data)))
		if m.Size != uint64(want) {
			t.Errorf("%d bytes: module of %d bytes, want %d", n, m.Size, want)
		}
		sum := sha256.Sum256(append(data, make([]byte, want-n)...))
		if got := l.Log.Events[6].Digests[0].Sum; !bytes.Equal(got, sum[:]) {
			t.Errorf("%d bytes: digest %x", n, got)
		}
	}
	for name, b := range map[string][]byte{"cut off": gzipped([]byte("initrd"))[:20], "wrong size": append(gzipped(bytes.Repeat([]byte("x"), 100)), 1, 0, 0, 0)} {
		if _, err := Predict(Files{Kernel: program, Initrd: b}, options, twoBanks); !errors.Is(err, ErrFiles) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPredictRefused(t *testing.T) {
	t.Parallel()
	good := launchtest.ELF(linuxNotes, testSegments...)
	without := func(typ uint32) []launchtest.Note {
		return slices.DeleteFunc(slices.Clone(linuxNotes), func(n launchtest.Note) bool { return n.Type == typ })
	}
	for name, kernel := range map[string][]byte{
		"empty": nil, "text": []byte("#!/bin/sh\n"), "cut off": good[:100], "bzImage of nothing": testBzImage(nil, false),
		"bzImage of text": testBzImage([]byte("hello"), true), "bzImage of gzip of text": testBzImage(gzipped([]byte("hello")), false),
		"bzImage cut off":       testBzImage(gzipped(good), false)[:1200],
		"entry elsewhere":       launchtest.ELF(append(without(elfnote.PHYS32Entry), launchtest.Note{Type: elfnote.PHYS32Entry, Desc: "\x00\x00\x50\x00"}), testSegments...),
		"entry of 5 bytes":      launchtest.ELF(append(without(elfnote.PHYS32Entry), launchtest.Note{Type: elfnote.PHYS32Entry, Desc: "\x00\x00\x10\x00\x00"}), testSegments...),
		"no entry":              launchtest.ELF(without(elfnote.PHYS32Entry), testSegments...),
		"RSDP below the kernel": launchtest.ELF(without(elfnote.SupportedFeatures), testSegments...),
		"symbols":               launchtest.ELF(append(slices.Clone(linuxNotes), launchtest.Note{Type: elfnote.BSDSymtab, Desc: "yes\x00"}), testSegments...),
		"no segment":            launchtest.ELF(linuxNotes),
		"not aligned":           launchtest.ELF(linuxNotes, launchtest.Segment{Address: 0x100001, Size: 10, Data: "x"}),
		"above 4 GiB":           launchtest.ELF(linuxNotes, launchtest.Segment{Address: 1 << 32, Size: 10, Data: "x"}),
		"too large":             launchtest.ELF(linuxNotes, launchtest.Segment{Address: 0x1000, Size: 1 << 40, Data: "x"}),
		"too far apart":         launchtest.ELF(linuxNotes, launchtest.Segment{Address: 0x1000, Size: 10, Data: "x"}, launchtest.Segment{Address: 0xF0000000, Size: 10, Data: "x"}),
		"more than its memory":  launchtest.ELF(linuxNotes, launchtest.Segment{Address: 0x1000, Size: 1, Data: "xx"}),
	} {
		if l, err := Predict(Files{Kernel: kernel}, options, twoBanks); !errors.Is(err, ErrKernel) || l != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, f := range map[string]Files{
		"empty initrd": {good, []byte{}, ""}, "zero in the command line": {good, nil, "a\x00b"}, "long command line": {good, nil, strings.Repeat("x", MaxCommandLine+1)},
		"initrd larger than the memory": {good, make([]byte, 513<<20), ""},
	} {
		if _, err := Predict(f, options, twoBanks); !errors.Is(err, ErrFiles) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Predict(Files{good, nil, "\xff"}, options, twoBanks); !errors.Is(err, ErrStartInfo) {
		t.Errorf("command line not UTF-8: %v", err)
	}
}

// TestDebianKernel lays out the kernels of Debian that are on this machine, and
// compares the address of the start info with that which Xen was seen to choose, and
// the program with what xz or zstd and debug/elf make of the file.
func TestDebianKernel(t *testing.T) {
	t.Parallel()
	var files []string
	for _, dir := range []string{"../../build/sysroot/boot", "../../build/sysroot-trixie/boot", "/boot"} {
		found, _ := filepath.Glob(filepath.Join(dir, "vmlinuz-*"))
		files = append(files, found...)
	}
	seen := []struct {
		name  *regexp.Regexp
		start uint64
	}{{regexp.MustCompile(`vmlinuz-6\.1\.0-\d+-amd64$`), 0x4A00000}, {regexp.MustCompile(`vmlinuz-6\.12\.\d+\+deb13-amd64$`), 0x4200000}}
	checked := 0
	for _, file := range files {
		for _, s := range seen {
			if !s.name.MatchString(file) {
				continue
			}
			kernel, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			l, err := Predict(Files{Kernel: kernel, Initrd: []byte("initrd"), CommandLine: "console=hvc0"}, options, []tcg.TPMAlgID{tcg.TPMAlgSHA256})
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if l.Start.Address != s.start || l.ProgramAddress != 0x1000000 {
				t.Errorf("%s: %#x to %#x, want 0x1000000 to %#x", file, l.ProgramAddress, l.Start.Address, s.start)
			}
			if want := programSum(0x1000000, entryOf(t, kernel), loadedByTools(t, kernel)); l.Program != want {
				t.Errorf("%s: program %x, want %x", file, l.Program, want)
			}
			checked++
		}
	}
	if checked == 0 {
		t.Skip("no kernel of Debian 12 or 13 below build/sysroot*/boot or /boot (go run ./tools/deps)")
	}
}

// entryOf returns the address of a kernel's first instruction.
func entryOf(t *testing.T, kernel []byte) uint64 {
	t.Helper()
	b, err := unpackKernel(kernel)
	if err != nil {
		t.Fatal(err)
	}
	p, err := loadProgram(b)
	if err != nil {
		t.Fatal(err)
	}
	return p.entry
}

// loadedByTools unpacks a kernel with xz or zstd and returns its memory.
func loadedByTools(t *testing.T, kernel []byte) []byte {
	t.Helper()
	tool, at := []string{"xz", "-dc", "--single-stream"}, bytes.Index(kernel, []byte("\xfd7zXZ\x00"))
	if at < 0 {
		tool, at = []string{"zstd", "-dc", "--long=31"}, bytes.Index(kernel, []byte("\x28\xb5\x2f\xfd"))
	}
	if _, err := exec.LookPath(tool[0]); err != nil {
		t.Skipf("%s is not installed", tool[0])
	}
	cmd := exec.Command(tool[0], tool[1:]...)
	cmd.Stdin = bytes.NewReader(kernel[at:])
	b, err := cmd.Output()
	if len(b) < 1<<20 { // it may complain of what follows
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var memory []byte
	const base = 0x1000000
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			end := int(p.Paddr - base + p.Memsz)
			memory = append(memory, make([]byte, max(0, end-len(memory)))...)
			copy(memory[p.Paddr-base:], b[p.Off:p.Off+p.Filesz])
		}
	}
	return append(memory, make([]byte, -len(memory)&(pageSize-1))...)
}

// FuzzPredict gives Predict any kernel and initrd.
func FuzzPredict(f *testing.F) {
	f.Add(launchtest.ELF(linuxNotes, testSegments...), []byte("initrd"))
	f.Add(testBzImage(gzipped(launchtest.ELF(linuxNotes[:1], testSegments...)), false), gzipped([]byte("initrd")))
	f.Fuzz(func(t *testing.T, kernel, initrd []byte) {
		if len(initrd) == 0 {
			initrd = nil
		}
		l, err := Predict(Files{kernel, initrd, "quiet"}, Options{64, 1, options.UUID}, []tcg.TPMAlgID{tcg.TPMAlgSHA256})
		if err != nil {
			if !errors.Is(err, ErrKernel) && !errors.Is(err, ErrFiles) && !errors.Is(err, ErrStartInfo) {
				t.Fatal(err)
			}
			return
		}
		if l.ProgramAddress >= l.Start.Address || len(l.Start.Modules) != min(len(initrd), 1) {
			t.Fatalf("%#x, %+v", l.ProgramAddress, l.Start)
		}
	})
}
