package bzimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
)

const (
	mib    = 1 << 20
	memory = 0x3400000
)

// kernel makes a file with a setup header: 2 sectors of setup, then size bytes.
func kernel(size int, change func(b []byte)) []byte {
	b := make([]byte, 3*sectorSize+size)
	for i := range b[headerEnd:] {
		b[headerEnd+i] = byte(i * 7)
	}
	le := binary.LittleEndian
	b[offSetupSects] = 2
	le.PutUint16(b[offBootFlag:], bootFlag)
	b[offJump], b[offJump+1] = 0xeb, headerEnd-offMagic
	le.PutUint32(b[offMagic:], magic)
	le.PutUint16(b[offVersion:], 0x020f)
	le.PutUint32(b[offKernelAlignment:], 2*mib)
	b[offRelocatable] = 1
	le.PutUint16(b[offXLoadFlags:], flagKernel64|flagAbove4GiB)
	le.PutUint32(b[offCmdlineSize:], 2047)
	le.PutUint64(b[offPrefAddress:], 16*mib)
	le.PutUint32(b[offInitSize:], 8*mib)
	le.PutUint32(b[offInitrdAddrMax:], 0x7fffffff)
	if change != nil {
		change(b)
	}
	return b
}

// load puts a kernel and initrds into memory of that size, which is filled with ones.
func load(size int, file []byte, initrds ...[]byte) (*Memory, error) {
	m := NewMemory(bytes.Repeat([]byte{0xff}, size), memory)
	if _, err := m.ReadKernel(bytes.NewReader(file), int64(len(file))); err != nil {
		return m, err
	}
	for _, i := range initrds {
		if got, err := m.ReadInitrd(bytes.NewReader(i), int64(len(i))); err != nil || !bytes.Equal(got, i) {
			return m, err
		}
	}
	return m, nil
}

// TestLoad checks what a kernel finds.
func TestLoad(t *testing.T) {
	t.Parallel()
	file, first, second := kernel(3*mib, nil), bytes.Repeat([]byte("a"), 1001), bytes.Repeat([]byte("b"), 5000)
	m, err := load(32*mib, file, first, second)
	if err != nil {
		t.Fatal(err)
	}
	e, err := m.Finish(Params{CommandLine: "root=/dev/xvda1 ro", Regions: []Region{{0, 64 * mib, 1}, {0xfc000000, 4096, 3}}, RSDP: 0xfc008000})
	if err != nil {
		t.Fatal(err)
	}
	at := func(addr uint64, n int) []byte { return m.bytes[addr-memory:][:n] }
	start := e.Entry - entryOffset
	if start%(2*mib) != 0 || !bytes.Equal(at(start, 3*mib), file[3*sectorSize:]) {
		t.Errorf("kernel at %#x", start)
	}
	p := at(e.Params, pageSize)
	le := binary.LittleEndian
	u32 := func(off int) uint64 { return uint64(le.Uint32(p[off:])) }
	if !bytes.Equal(p[offVersion:offTypeOfLoader], file[offVersion:offTypeOfLoader]) || p[offTypeOfLoader] != 0xff || u32(offCode32Start) != start {
		t.Errorf("setup header % x", p[offSetupSects:headerEnd])
	}
	want := append(append(append([]byte{}, first...), 0, 0, 0), second...)
	if a, n := u32(offRamdiskImage), u32(offRamdiskSize); a < start+8*mib || int(n) != len(want) || !bytes.Equal(at(a, len(want)), want) {
		t.Errorf("initrd of %d bytes at %#x", n, a)
	}
	if got := at(u32(offCmdLinePtr), 19); string(got) != "root=/dev/xvda1 ro\x00" {
		t.Errorf("command line %q", got)
	}
	if le.Uint64(p[offRSDP:]) != 0xfc008000 || p[offE820Entries] != 3 || le.Uint64(p[offE820Table+20:]) != 0xfc000000 || le.Uint32(p[offE820Table+36:]) != 3 || le.Uint64(p[offE820Table+40:]) != 0xa0000 {
		t.Errorf("RSDP % x, map % x", p[offRSDP:offRSDP+8], p[offE820Table:offE820Table+60])
	}
	// Nothing else is set: Linux takes what it finds for true.
	for _, r := range [][2]int{{0, offRSDP}, {offRSDP + 8, offE820Entries}, {offE820Entries + 1, offSetupSects}, {headerEnd, offE820Table}, {offE820Table + 60, pageSize}} {
		if !bytes.Equal(p[r[0]:r[1]], make([]byte, r[1]-r[0])) {
			t.Errorf("boot_params is not zero from %#x to %#x", r[0], r[1])
		}
	}
	gdt := at(e.GDT, 32)
	if le.Uint64(gdt[16:]) != codeSegment || le.Uint64(gdt[24:]) != dataSegment || e.Stack < memory || e.Stack > start {
		t.Errorf("GDT % x, stack %#x", gdt, e.Stack)
	}
	for _, a := range []uint64{0, 0x1234567, start, 0xfc008000, 4<<30 - 1} {
		if got := translate(m, e.Tables, a); got != a {
			t.Errorf("address %#x is mapped to %#x", a, got)
		}
	}
}

// translate walks page tables with pages of 2 MiB.
func translate(m *Memory, root, addr uint64) uint64 {
	table := root
	for shift := 39; ; shift -= 9 {
		e := binary.LittleEndian.Uint64(m.at(table+addr>>shift&511*8, 8))
		if e&present == 0 || e&writable == 0 {
			return 0
		}
		if shift == 21 {
			return e&^(2*mib-1) | addr&(2*mib-1)
		}
		table = e &^ 4095
	}
}

// TestRefused: files and sizes that cannot be, and memory that is too small.
func TestRefused(t *testing.T) {
	t.Parallel()
	le := binary.LittleEndian
	for name, c := range map[string]struct {
		size   int
		change func(b []byte)
		want   error
	}{
		"good":              {32 * mib, nil, nil},
		"no magic":          {32 * mib, func(b []byte) { b[offMagic] = 0 }, ErrFormat},
		"old protocol":      {32 * mib, func(b []byte) { le.PutUint16(b[offVersion:], 0x20b) }, ErrFormat},
		"32 bits":           {32 * mib, func(b []byte) { b[offXLoadFlags] = 0 }, ErrFormat},
		"odd alignment":     {32 * mib, func(b []byte) { b[offKernelAlignment] = 3 }, ErrFormat},
		"setup is all":      {32 * mib, func(b []byte) { b[offSetupSects] = 250 }, ErrFormat},
		"short header":      {32 * mib, func(b []byte) { b[offJump+1] = 0x20 }, ErrFormat},
		"huge":              {32 * mib, func(b []byte) { le.PutUint32(b[offInitSize:], 1<<31) }, ErrFormat},
		"high":              {32 * mib, func(b []byte) { le.PutUint64(b[offPrefAddress:], 1<<63) }, ErrFormat},
		"too large":         {32 * mib, func(b []byte) { le.PutUint32(b[offInitSize:], 31*mib) }, ErrMemory},
		"fixed, below":      {32 * mib, func(b []byte) { b[offRelocatable] = 0 }, ErrMemory},
		"fixed, in reach":   {32 * mib, func(b []byte) { b[offRelocatable] = 0; le.PutUint64(b[offPrefAddress:], memory+2*mib) }, nil},
		"memory is nothing": {systemPages * pageSize, nil, ErrMemory},
	} {
		if _, err := load(c.size, kernel(100_000, c.change)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m, err := load(16*mib, kernel(100_000, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.ReadInitrd(bytes.NewReader(nil), 7*mib); !errors.Is(err, ErrMemory) {
		t.Errorf("an initrd that does not fit: %v", err)
	}
	if _, err := m.ReadInitrd(bytes.NewReader(make([]byte, 10)), 11); err == nil {
		t.Error("an initrd that is shorter than it was")
	}
	if _, err := m.Finish(Params{CommandLine: string(make([]byte, 10))}); err == nil {
		t.Error("a command line of zeros")
	}
	if _, err := m.Finish(Params{CommandLine: string(bytes.Repeat([]byte("x"), 2048))}); err == nil {
		t.Error("a command line that is too long")
	}
	if _, err := m.Finish(Params{Regions: make([]Region, 128)}); err == nil {
		t.Error("a memory map that is too long")
	}
}

// changing is a file whose header is another one at the second read.
type changing struct{ first, second []byte }

func (c *changing) ReadAt(b []byte, off int64) (int, error) {
	n := copy(b, c.first[off:])
	c.first = c.second
	return n, nil
}

// TestChanged: what counts is what is in memory, not what was there when it was looked
// at.
func TestChanged(t *testing.T) {
	t.Parallel()
	good := kernel(100_000, nil)
	bad := kernel(100_000, func(b []byte) { binary.LittleEndian.PutUint32(b[offInitSize:], 1<<29) })
	m := NewMemory(make([]byte, 32*mib), memory)
	if _, err := m.ReadKernel(&changing{good, bad}, int64(len(good))); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
}

// FuzzKernel: any file is refused or leads to addresses in the memory.
func FuzzKernel(f *testing.F) {
	f.Add(kernel(3000, nil), uint32(16))
	f.Add(kernel(3000, func(b []byte) { b[offRelocatable] = 0 }), uint32(9))
	f.Fuzz(func(t *testing.T, file []byte, size uint32) {
		m, err := load(systemPages*pageSize+int(size%12)*mib, file, []byte("initrd"))
		if err != nil {
			return
		}
		e, err := m.Finish(Params{CommandLine: "x"})
		if err != nil {
			return
		}
		start := e.Entry - entryOffset
		if start < memory+systemPages*pageSize || m.end > m.limit() || m.initrd < start+m.header.InitSize {
			t.Errorf("kernel at %#x, initrd at %#x", start, m.initrd)
		}
	})
}

// TestRandomHeaders is FuzzKernel with headers of random fields.
func TestRandomHeaders(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	loaded := 0
	for range 300 {
		file := kernel(2000, func(b []byte) {
			for range random.IntN(4) {
				b[offSetupSects+random.IntN(headerEnd-offSetupSects)] = byte(random.Uint32())
			}
		})
		m, err := load(12*mib, file, []byte("initrd"))
		if err != nil {
			continue
		}
		if _, err := m.Finish(Params{}); err == nil {
			loaded++
		}
	}
	if loaded == 0 || loaded == 300 {
		t.Errorf("%d of 300 were loaded", loaded)
	}
}
