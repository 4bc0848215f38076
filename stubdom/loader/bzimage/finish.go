package bzimage

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// A Region is an entry of the machine's memory map. Its types are those of an E820 map.
type Region struct {
	Start, Size uint64
	Type        uint32
}

// Params are what a kernel is told.
type Params struct {
	CommandLine string
	Regions     []Region
	RSDP        uint64 // address of ACPI's root pointer, 0 for none
}

// An Entry is how the kernel is entered. All are physical addresses.
type Entry struct {
	Entry  uint64
	Params uint64 // for RSI
	Stack  uint64
	GDT    uint64 // 4 descriptors; selector 0x10 is for code, 0x18 for data
	Tables uint64 // page tables: 4 GiB, each page at its own address
}

// Offsets in boot_params outside the setup header.
const (
	offRSDP        = 0x070
	offE820Entries = 0x1e8
	offE820Table   = 0x2d0

	e820Size    = 20
	maxE820     = 128
	ramdiskNone = 0

	typeOfLoader = 0xff // "undefined": no number is assigned to this loader
	reserved     = 2    // E820_TYPE_RESERVED
)

// legacy is where PCs have video memory and firmware. Linux adds it to the map itself if
// it is entered by Xen's PVH protocol (arch/x86/platform/pvh/enlighten.c).
var legacy = Region{Start: 0xa0000, Size: 0x60000, Type: reserved}

// Finish writes what the kernel is told, and the tables to enter it with.
func (m *Memory) Finish(p Params) (Entry, error) {
	if m.kernel == 0 {
		return Entry{}, fmt.Errorf("%w: none was read", ErrFormat)
	}
	if len(p.CommandLine) > m.header.CommandLine || strings.Contains(p.CommandLine, "\x00") {
		return Entry{}, fmt.Errorf("bzimage: command line of %d bytes: this kernel takes %d", len(p.CommandLine), m.header.CommandLine)
	}
	regions := append(append([]Region{}, p.Regions...), legacy)
	if len(regions) > maxE820 {
		return Entry{}, fmt.Errorf("bzimage: a memory map of %d entries", len(regions))
	}
	clear(m.bytes[:systemPages*pageSize])
	copy(m.page(commandPage), p.CommandLine)
	b := m.page(paramsPage)
	copy(b[offSetupSects:], m.header.setup)
	le := binary.LittleEndian
	le.PutUint64(b[offRSDP:], p.RSDP)
	b[offTypeOfLoader] = typeOfLoader
	le.PutUint32(b[offCode32Start:], uint32(m.kernel))
	le.PutUint32(b[offCmdLinePtr:], uint32(m.pageAddr(commandPage)))
	le.PutUint32(b[offRamdiskImage:], ramdiskNone)
	le.PutUint32(b[offRamdiskSize:], 0)
	if size := m.end - m.initrd; size > 0 {
		le.PutUint32(b[offRamdiskImage:], uint32(m.initrd))
		le.PutUint32(b[offRamdiskSize:], uint32(size))
	}
	b[offE820Entries] = uint8(len(regions))
	for i, r := range regions {
		e := b[offE820Table+i*e820Size:]
		le.PutUint64(e, r.Start)
		le.PutUint64(e[8:], r.Size)
		le.PutUint32(e[16:], r.Type)
	}
	m.writeTables()
	return Entry{
		Entry:  m.kernel + entryOffset,
		Params: m.pageAddr(paramsPage),
		Stack:  m.pageAddr(systemPage + 1),
		GDT:    m.pageAddr(systemPage),
		Tables: m.pageAddr(tablesPage),
	}, nil
}

func (m *Memory) pageAddr(n int) uint64 { return m.addr + uint64(n)*pageSize }

func (m *Memory) page(n int) []byte { return m.bytes[n*pageSize:][:pageSize] }
