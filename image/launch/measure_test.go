package launch

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"stubtpm/drivers/eventlog"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

var (
	twoBanks = []tcg.TPMAlgID{tcg.TPMAlgSHA256, tcg.TPMAlgSHA384}
	options  = Options{Memory: 512, VCPUs: 2, UUID: "00112233-4455-6677-8899-aabbccddeeff"}
)

// A guest is a memory of a few pages with a program, start info, and modules.
type guest struct {
	memory []byte
	start  uint64
}

const (
	testProgram = 3 * pageSize
	testEntry   = testProgram + 0x10
	testStart   = 10 * pageSize
	testInitrd  = 12 * pageSize
)

// newGuest returns the memory of a guest with a command line and an initrd.
func newGuest(line string, initrd []byte) guest {
	g := guest{make([]byte, 400*pageSize), testStart}
	copy(g.memory[testProgram+100:], "the program, which is 7 pages long")
	copy(g.memory[testStart-1:], "!")
	le := binary.LittleEndian
	s := g.memory[testStart:]
	le.PutUint32(s, startMagic)
	le.PutUint32(s[atVersion:], 1)
	le.PutUint64(s[atCmdline:], testStart+200)
	copy(s[200:], line+"\x00")
	if initrd != nil {
		le.PutUint32(s[atModules:], 1)
		le.PutUint64(s[atModlist:], testStart+100)
		le.PutUint64(s[100:], testInitrd)
		le.PutUint64(s[108:], uint64(len(initrd)))
		copy(g.memory[testInitrd:], initrd)
	}
	return g
}

// put writes a number into a field of the start info page.
func (g guest) put(at int, v uint64) { binary.LittleEndian.PutUint64(g.memory[testStart+at:], v) }

func (g guest) measure(banks ...tcg.TPMAlgID) (*Launch, error) {
	return Measure(bytes.NewReader(g.memory), g.start, testEntry, options, banks)
}

// want returns the events that the convention asks for, computed from slices of the
// memory.
func want(program, initrd []byte, line string, banks []tcg.TPMAlgID) []eventlog.Event {
	var events []eventlog.Event
	add := func(pcr uint32, t eventlog.Type, measured, data string) {
		events = append(events, eventlog.Event{PCR: pcr, Type: t, Digests: eventlog.Hash(banks, []byte(measured)), Data: []byte(data)})
	}
	wide := func(s string) string { // of ASCII
		var b strings.Builder
		for _, c := range s + "\x00" {
			b.WriteString(string(byte(c)) + "\x00")
		}
		return b.String()
	}
	events = append(events, eventlog.Event{Type: eventlog.EVNoAction, Digests: eventlog.Zero(banks), Data: []byte("StartupLocality\x00\x04")})
	add(0, eventlog.EVEFIHCRTMEvent, "stubtpm-host 1", "HCRTM")
	add(0, eventlog.EVSCRTMVersion, wide(Version), wide(Version))
	text := "memory=512 vcpus=2 uuid=00112233-4455-6677-8899-aabbccddeeff"
	add(1, eventlog.EVPlatformConfigFlags, text, text)
	text = fmt.Sprintf("kernel as loaded at 0x3000, %d bytes, entered at 0x3010", len(program))
	add(4, eventlog.EVPostCode, text+string(program), text)
	add(9, eventlog.EVEventTag, wide(line), "\xed\x22\x3b\x8f\x1a\x00\x00\x00LOADED_IMAGE::LoadOptions\x00")
	if initrd != nil {
		add(9, eventlog.EVEventTag, string(initrd), "\xec\x22\x3b\x8f\x0d\x00\x00\x00Linux initrd\x00")
	}
	add(12, eventlog.EVIPL, wide(line), wide(line))
	for pcr := range uint32(8) {
		add(pcr, eventlog.EVSeparator, "\x00\x00\x00\x00", "\x00\x00\x00\x00")
	}
	return events
}

// programSum returns the SHA-256 digest of a program that lies at an address.
func programSum(address, entry uint64, program []byte) [32]byte {
	return sha256.Sum256(append(fmt.Appendf(nil, "kernel as loaded at %#x, %d bytes, entered at %#x", address, len(program), entry), program...))
}

func sameEvents(t *testing.T, got, want []eventlog.Event) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || fmt.Sprint(got[i]) != fmt.Sprint(want[i]) {
			t.Fatalf("event %d of %d and %d:\ngot  %v\nwant %v", i, len(got), len(want), got[min(i, len(got)):], want[min(i, len(want)):])
		}
	}
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	big := make([]byte, 350*pageSize) // more than a chunk
	for i := range big {
		big[i] = byte(random.Uint32())
	}
	for name, initrd := range map[string][]byte{
		"none": nil, "a byte": {7}, "a page": bytes.Repeat([]byte{9}, pageSize), "a page and a byte": bytes.Repeat([]byte{9}, pageSize+1),
		"350 pages": big, "350 pages less a byte": big[:len(big)-1], "zero and a byte": append(make([]byte, 5000), 1),
	} {
		for _, line := range []string{"", "console=hvc0 root=/dev/xvda1", strings.Repeat("x", MaxCommandLine)} {
			g := newGuest(line, initrd)
			if len(line) > 3000 { // across the end of the page
				g.put(atCmdline, testStart+pageSize-1)
				copy(g.memory[testStart+pageSize-1:], line+"\x00")
				g.put(testInitrd-testStart, binary.LittleEndian.Uint64(append(slices.Clone(initrd), 0, 0, 0, 0, 0, 0, 0, 0)))
			}
			for _, banks := range [][]tcg.TPMAlgID{twoBanks, {tcg.TPMAlgSHA1}, tpmcrypto.Hashes()} {
				l, err := g.measure(banks...)
				if err != nil {
					t.Fatalf("%s, %d: %v", name, len(line), err)
				}
				program := g.memory[testProgram:testStart]
				sameEvents(t, l.Log.Events, want(program, initrd, line, banks))
				if l.Program != programSum(testProgram, testEntry, program) || l.ProgramAddress != testProgram {
					t.Errorf("program %x at %#x", l.Program, l.ProgramAddress)
				}
				if _, err := l.Log.Encode(eventlog.AreaSize); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// TestZerosAtTheEnd: zeros at a file's end are measured, and nothing behind them.
func TestZerosAtTheEnd(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, pageSize - 1, pageSize, pageSize + 1} {
		file := make([]byte, n)
		file[0] = 1
		l, err := newGuest("", file).measure(tcg.TPMAlgSHA256)
		if err != nil {
			t.Fatal(err)
		}
		if want := sha256.Sum256(file); !bytes.Equal(l.Log.Events[6].Digests[0].Sum, want[:]) {
			t.Errorf("%d bytes have the digest %x", n, l.Log.Events[6].Digests[0].Sum)
		}
	}
}

// TestEntryAndAddress: the same bytes that lie or begin elsewhere are another program.
func TestEntryAndAddress(t *testing.T) {
	t.Parallel()
	g := newGuest("", nil)
	seen := map[[32]byte]string{}
	for name, c := range map[string]struct {
		up    uint64 // how far the program and the start info are moved
		entry uint64
	}{"first": {0, testEntry}, "another entry": {0, testEntry + 1}, "moved": {pageSize, testEntry + pageSize}, "moved, same entry": {pageSize, testEntry + pageSize - 0x10}} {
		memory := append(make([]byte, c.up), g.memory...)
		binary.LittleEndian.PutUint64(memory[testStart+c.up+atCmdline:], 0)
		l, err := Measure(bytes.NewReader(memory), testStart+c.up, c.entry, options, twoBanks)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if other, ok := seen[l.Program]; ok {
			t.Errorf("%s is measured as %s", name, other)
		}
		seen[l.Program] = name
	}
	for _, entry := range []uint64{0, testProgram - 1, testStart, testInitrd, 1 << 32} {
		if _, err := Measure(bytes.NewReader(g.memory), testStart, entry, options, twoBanks); !errors.Is(err, ErrStartInfo) {
			t.Errorf("entry %#x: %v", entry, err)
		}
	}
}

func TestStartInfoRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(g *guest){
		"address 0":                func(g *guest) { g.start = 0 },
		"address not aligned":      func(g *guest) { g.start++ },
		"address above 4 GiB":      func(g *guest) { g.start += 1 << 32 },
		"address of all ones":      func(g *guest) { g.start = ^uint64(0) },
		"magic":                    func(g *guest) { g.memory[testStart]++ },
		"version 2":                func(g *guest) { g.memory[testStart+atVersion] = 2 },
		"9 modules":                func(g *guest) { g.memory[testStart+atModules] = 9 },
		"2^31 modules":             func(g *guest) { g.memory[testStart+atModules+3] = 0x80 },
		"no list":                  func(g *guest) { g.put(atModlist, 0) },
		"list above 4 GiB":         func(g *guest) { g.put(atModlist, 1<<32) },
		"list at the end":          func(g *guest) { g.put(atModlist, ^uint64(0)) },
		"module at 0":              func(g *guest) { g.put(100, 0) },
		"module not aligned":       func(g *guest) { g.put(100, testInitrd+1) },
		"module of no bytes":       func(g *guest) { g.put(108, 0) },
		"module of 2^63 bytes":     func(g *guest) { g.put(108, 1<<63) },
		"module to above 4 GiB":    func(g *guest) { g.put(108, 1<<32) },
		"module over its own end":  func(g *guest) { g.put(108, ^uint64(pageSize-1)) },
		"module over start info":   func(g *guest) { g.put(100, testStart-pageSize); g.put(108, 2*pageSize) },
		"module with command line": func(g *guest) { g.put(100+modCmdline, testStart+200) },
		"module twice": func(g *guest) {
			g.memory[testStart+atModules] = 2
			copy(g.memory[testStart+132:], g.memory[testStart+100:][:moduleSize])
		},
		"line above 4 GiB": func(g *guest) { g.put(atCmdline, 1<<32) },
		"line not UTF-8":   func(g *guest) { g.memory[testStart+200] = 0xFF },
		"line too long": func(g *guest) {
			g.put(atCmdline, 100*pageSize)
			copy(g.memory[100*pageSize:], bytes.Repeat([]byte{'x'}, MaxCommandLine+1))
		},
		"only zeros before": func(g *guest) { clear(g.memory[:testStart]) },
	} {
		g := newGuest("quiet", []byte("initrd"))
		change(&g)
		if l, err := g.measure(twoBanks...); !errors.Is(err, ErrStartInfo) || l != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]Options{
		"no memory": {0, 1, options.UUID}, "no vcpus": {1, 0, options.UUID}, "no uuid": {1, 1, ""},
		"upper case": {1, 1, strings.ToUpper(options.UUID)}, "more": {1, 1, options.UUID + "0"}, "dash": {1, 1, strings.Replace(options.UUID, "-", "0", 1)},
	} {
		if _, err := Measure(bytes.NewReader(newGuest("", nil).memory), testStart, testEntry, o, twoBanks); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// failing is a memory without the pages from an address on.
type failing struct {
	memory []byte
	end    int64
}

var errNoPage = errors.New("no page")

func (f failing) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > f.end {
		return 0, errNoPage
	}
	return copy(b, f.memory[at:]), nil
}

// TestMemoryFails cuts the memory off at each page.
func TestMemoryFails(t *testing.T) {
	t.Parallel()
	g := newGuest("quiet", bytes.Repeat([]byte{5}, 300*pageSize))
	const end = testInitrd + 300*pageSize
	for cut := int64(0); cut <= end; cut += pageSize {
		_, err := Measure(failing{g.memory, cut}, g.start, testEntry, options, twoBanks)
		if cut < end && !errors.Is(err, errNoPage) || cut == end && err != nil {
			t.Errorf("without memory from %#x on: %v", cut, err)
		}
	}
	if _, err := Measure(bytes.NewReader(g.memory[:testInitrd+8]), g.start, testEntry, options, twoBanks); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a reader that ends: %v", err)
	}
}

// FuzzMeasure puts bytes where the start info is. What Measure takes it must hash as
// computed here from the same fields.
func FuzzMeasure(f *testing.F) {
	for _, g := range []guest{newGuest("quiet", []byte("initrd")), newGuest("", nil), newGuest("ä€𝄞", bytes.Repeat([]byte{1}, 2*pageSize))} {
		f.Add(g.memory[testStart:][:300], uint64(testStart))
	}
	f.Fuzz(func(t *testing.T, page []byte, start uint64) {
		g := newGuest("", bytes.Repeat([]byte{0xAA}, 3*pageSize))
		g.memory = g.memory[:20*pageSize]
		g.start = start
		copy(g.memory[testStart:], page)
		l, err := g.measure(tcg.TPMAlgSHA256)
		if err != nil {
			if l != nil {
				t.Fatal("a launch and an error")
			}
			return
		}
		s := g.memory[start:]
		le := binary.LittleEndian
		n := int(le.Uint32(s[12:]))
		if len(l.Start.Modules) != n || len(l.Log.Events) != 15+n {
			t.Fatalf("%d modules, %d events", n, len(l.Log.Events))
		}
		for i, m := range l.Start.Modules {
			list := g.memory[le.Uint64(s[16:])+uint64(32*i):]
			if m.Address != le.Uint64(list) || m.Size != le.Uint64(list[8:]) {
				t.Fatalf("module %d is %v", i, m)
			}
			data := g.memory[m.Address:][:m.Size]
			if sum := sha256.Sum256(data); !bytes.Equal(l.Log.Events[6+i].Digests[0].Sum, sum[:]) {
				t.Fatalf("digest of module %d", i)
			}
		}
		if l.Program != programSum(l.ProgramAddress, testEntry, g.memory[l.ProgramAddress:start]) || strings.IndexFunc(string(g.memory[:start]), func(r rune) bool { return r != 0 })/pageSize != int(l.ProgramAddress/pageSize) {
			t.Fatal("digest of the program")
		}
	})
}

// BenchmarkMeasure measures a guest of 64 MiB of program and 32 MiB of initrd in one
// bank and in four.
func BenchmarkMeasure(b *testing.B) {
	memory := bytes.Repeat([]byte("0123456789abcdef"), (96<<20+2*pageSize)/16)
	start := uint64(64 << 20)
	clear(memory[start:][:pageSize])
	le := binary.LittleEndian
	le.PutUint32(memory[start:], startMagic)
	le.PutUint32(memory[start+atModules:], 1)
	le.PutUint64(memory[start+atModlist:], start+100)
	le.PutUint64(memory[start+100:], start+pageSize)
	le.PutUint64(memory[start+108:], 32<<20)
	four := []tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512}
	for name, banks := range map[string][]tcg.TPMAlgID{"sha256": twoBanks[:1], "sha256+sha384": twoBanks, "four": four, "four, known": four} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(96 << 20)
			var c Cache
			measure := Measure
			if name == "four, known" {
				measure = c.Measure
			}
			for b.Loop() {
				if _, err := measure(bytes.NewReader(memory), start, 0, options, banks); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
