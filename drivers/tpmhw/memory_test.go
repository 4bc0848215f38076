package tpmhw

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// A simMemory is physical memory with a TPM that looks into it: a control area
// and buffers at any place, as firmware TPMs have them.
type simMemory struct {
	execute                    func(command []byte) []byte
	control, command, response uint64
	commandSize, responseSize  uint32
	b                          map[uint64]byte
	left                       int
	asked                      []uint64 // addresses that were mapped
}

var errNotMine = errors.New("not this domain's")

func newSimMemory(control, command, response uint64, commandSize, responseSize uint32) *simMemory {
	m := &simMemory{execute: echo, control: control, command: command, response: response,
		commandSize: commandSize, responseSize: responseSize, b: map[uint64]byte{}}
	for _, f := range []struct {
		off, size int
		v         uint64
	}{{areaCommandSize, 4, uint64(commandSize)}, {areaCommand, 8, command}, {areaRespSize, 4, uint64(responseSize)}, {areaResponse, 8, response}} {
		for i := range f.size {
			m.b[control+uint64(f.off+i)] = byte(f.v >> (8 * i))
		}
	}
	return m
}

// open is the domain's Memory: what the TPM does not use is not its own.
func (m *simMemory) open(addr uint64, size int) (Registers, error) {
	m.asked = append(m.asked, addr)
	for _, r := range []struct {
		at   uint64
		size uint32
	}{{m.control, areaSize}, {m.command, m.commandSize}, {m.response, m.responseSize}} {
		if addr >= r.at && addr+uint64(size) <= r.at+uint64(r.size) {
			return simWindow{m, addr}, nil
		}
	}
	return nil, errNotMine
}

type simWindow struct {
	m    *simMemory
	addr uint64
}

func (w simWindow) Read8(off int) uint8 { return w.m.b[w.addr+uint64(off)] }

func (w simWindow) Write8(off int, v uint8) { w.m.b[w.addr+uint64(off)] = v }

func (w simWindow) Read32(off int) uint32 {
	if w.addr == w.m.control {
		switch off {
		case areaReq:
			return 0
		case areaStart:
			if w.m.left == 0 {
				return 0
			}
			if w.m.left--; w.m.left > 0 {
				return 1
			}
			w.m.run()
			return 0
		}
	}
	var b [4]byte
	for i := range b {
		b[i] = w.Read8(off + i)
	}
	return binary.LittleEndian.Uint32(b[:])
}

func (w simWindow) Write32(off int, v uint32) {
	if w.addr == w.m.control {
		if off == areaStart {
			w.m.left = busy
		}
		return
	}
	panic("a buffer is written by bytes")
}

func (m *simMemory) run() {
	var head [6]byte
	for i := range head {
		head[i] = m.b[m.command+uint64(i)]
	}
	in := make([]byte, binary.BigEndian.Uint32(head[2:]))
	for i := range in {
		in[i] = m.b[m.command+uint64(i)]
	}
	for i, c := range m.execute(in) {
		m.b[m.response+uint64(i)] = c
	}
}

// TestBuffersInMemory: a TPM's control area and buffers may lie anywhere, one
// buffer for both ways or two, and no other address is touched.
func TestBuffersInMemory(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 2))
	for range 200 {
		control := uint64(r.Uint32())<<4&^7 + 1<<32
		cmd, response := control+4096+uint64(r.IntN(5000)), control+64<<10+uint64(r.IntN(5000))
		if r.IntN(2) == 0 {
			response = cmd
		}
		size := uint32(100 + r.IntN(8000))
		if r.IntN(8) == 0 {
			size = 1 << 20 // more than anybody uses
		}
		m := newSimMemory(control, cmd, response, size, size)
		tpm, err := openControlArea(control, m.open, new(fakeClock))
		if err != nil {
			t.Fatalf("%#x, %#x, %d: %v", cmd, response, size, err)
		}
		for range 3 {
			exchangeOK(t, tpm, 10+r.IntN(min(int(size), MaxSize)-10))
		}
		if err := tpm.Close(); err != nil {
			t.Error(err)
		}
		if _, err := tpm.Send(command(int(size) + 1)); err == nil {
			t.Error("a command beyond the buffer was sent")
		}
	}
}

// TestBufferOfOthers: a buffer that this domain was not given is an error that
// names it, and so is one in memory where there is no memory to map.
func TestBufferOfOthers(t *testing.T) {
	t.Parallel()
	m := newSimMemory(1<<32, 1<<33, 1<<33, 4096, 4096)
	m.command, m.response = 1<<34, 1<<34 // what it was given
	if _, err := openControlArea(1<<32, m.open, new(fakeClock)); !errors.Is(err, ErrBuffer) || !errors.Is(err, errNotMine) {
		t.Errorf("another's memory: %v", err)
	}
	if _, err := openControlArea(1<<35, m.open, new(fakeClock)); !errors.Is(err, errNotMine) {
		t.Errorf("another's control area: %v", err)
	}
	crb := newSimCRB(echo)
	crb.fault = func(off int, v uint32) uint32 {
		if off == ctrlArea+areaCommand {
			return 0xDC795000
		}
		return v
	}
	if _, err := open(crb, nil, new(fakeClock)); !errors.Is(err, ErrBuffer) {
		t.Errorf("a buffer in memory, and none to map: %v", err)
	}
	for _, bad := range [][2]uint64{{0, 4096}, {1 << 33, 9}, {1<<64 - 10, 4096}} {
		m := newSimMemory(1<<32, bad[0], 1<<33, uint32(bad[1]), 4096)
		if _, err := openControlArea(1<<32, m.open, new(fakeClock)); !errors.Is(err, ErrAbsent) {
			t.Errorf("a buffer of %d bytes at %#x: %v", bad[1], bad[0], err)
		}
	}
}

// TestCRBBufferBeyond: the registers are at the usual place, a buffer is in
// memory.
func TestCRBBufferBeyond(t *testing.T) {
	t.Parallel()
	const at = 0x78425000
	crb := newSimCRB(echo)
	crb.fault = func(off int, v uint32) uint32 {
		if off == ctrlArea+areaCommand || off == ctrlArea+areaResponse {
			return at
		}
		return v
	}
	memory := func(addr uint64, size int) (Registers, error) {
		if addr != at || size != len(crb.buffer) {
			t.Errorf("%d bytes at %#x were asked for", size, addr)
		}
		return window{crb, 0x80}, nil
	}
	tpm, err := open(crb, memory, new(fakeClock))
	if err != nil {
		t.Fatal(err)
	}
	exchangeOK(t, tpm, 500)
}

// TestSlowLocality: a TPM that gives its locality late, and counts a burst of
// zero for a while, is waited for.
func TestSlowLocality(t *testing.T) {
	t.Parallel()
	late := 0
	tis := newSimTIS(echo)
	tis.fault = func(off int, v uint32) uint32 {
		late++
		switch {
		case off == regAccess && late%40 < 20:
			return accessValid
		case off == regStatus && late%7 < 3:
			return v &^ 0xFFFF00
		}
		return v
	}
	tpm, err := open(tis, nil, new(fakeClock))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		exchangeOK(t, tpm, 700)
	}
}

func table(control uint64, start StartMethod) []byte {
	b := make([]byte, 76)
	copy(b, "TPM2")
	binary.LittleEndian.PutUint32(b[tableLength:], uint32(len(b)))
	b[8] = 4
	binary.LittleEndian.PutUint64(b[tableControl:], control)
	binary.LittleEndian.PutUint32(b[tableStart:], uint32(start))
	var sum byte
	for _, c := range b {
		sum += c
	}
	b[9] = -sum
	return b
}

func TestTable(t *testing.T) {
	t.Parallel()
	good := table(0xDC795000, StartCRB)
	if got, err := ParseTable(good); err != nil || got != (Table{0xDC795000, StartCRB}) {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i]++
		if _, err := ParseTable(bad); !errors.Is(err, errTable) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for n := range good {
		if _, err := ParseTable(good[:n]); !errors.Is(err, errTable) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	// That of this machine, if it has one.
	if b, err := os.ReadFile("/sys/firmware/acpi/tables/TPM2"); err == nil {
		if _, err := ParseTable(b); err != nil {
			t.Error(err)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add(table(Base+ctrlArea, StartTIS))
	f.Add(table(0xDC795000, StartACPI))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := ParseTable(b); err == nil && got.Start.String() == "" {
			t.Error("a start method without a name")
		}
	})
}

// TestPlan: with the pages that a plan names, and no others, the TPM opens.
func TestPlan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		table Table
		m     *simMemory
		iomem []string
		word  string
		warns bool
	}{
		{"TIS", Table{Base, StartTIS}, nil, []string{"fed40,5"}, "", false},
		{"CRB in its registers", Table{Base + ctrlArea, StartCRB}, newSimMemory(Base+ctrlArea, Base+0x80, Base+0x80, 3968, 3968), []string{"fed40,5"}, "", false},
		{"CRB with buffers in memory", Table{Base + ctrlArea, StartCRB}, newSimMemory(Base+ctrlArea, 0x78425000, 0x78429000, 0x4000, 0x4000),
			[]string{"78425,8", "fed40,5"}, "", false},
		{"all in memory", Table{0xDC795000, StartACPI}, newSimMemory(0xDC795000, 0xDC796010, 0xDC79A000, 0x1000, 0x1000),
			[]string{"dc795,3", "dc79a,1"}, "tpm=dc795000", true},
	} {
		memory := func(uint64, int) (Registers, error) { return nil, errNotMine }
		if c.m != nil {
			memory = c.m.open
		}
		p, err := PlanFor(c.table, memory)
		if err != nil || !slices.Equal(p.IOMem, c.iomem) || p.Parameter != c.word || c.warns != (len(p.Warnings) != 0) {
			t.Errorf("%s: %+v, %v", c.name, p, err)
		}
		for _, line := range strings.Split(strings.TrimSpace(p.String()), "\n") {
			if !strings.HasPrefix(line, "iomem = [\"") && !strings.HasPrefix(line, "extra = \"tpm=") && !strings.HasPrefix(line, "# ") {
				t.Errorf("%s: %q", c.name, line)
			}
		}
	}
	empty := newSimMemory(0xDC795000, 0, 0, 0, 0)
	if _, err := PlanFor(Table{0xDC795000, StartCRB}, empty.open); !errors.Is(err, ErrAbsent) {
		t.Errorf("a control area of zeros: %v", err)
	}
}
