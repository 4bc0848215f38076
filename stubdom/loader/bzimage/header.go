package bzimage

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrFormat is returned for a file that is no kernel with a 64-bit entry.
var ErrFormat = errors.New("bzimage: not a Linux kernel with a 64-bit entry")

// Offsets in the file, and in boot_params, of the setup header's fields.
const (
	offSetupSects      = 0x1f1
	offBootFlag        = 0x1fe
	offJump            = 0x200 // its second byte, plus 0x202, is the header's end
	offMagic           = 0x202
	offVersion         = 0x206
	offTypeOfLoader    = 0x210
	offCode32Start     = 0x214
	offRamdiskImage    = 0x218
	offRamdiskSize     = 0x21c
	offCmdLinePtr      = 0x228
	offInitrdAddrMax   = 0x22c
	offKernelAlignment = 0x230
	offRelocatable     = 0x234
	offXLoadFlags      = 0x236
	offCmdlineSize     = 0x238
	offPrefAddress     = 0x258
	offInitSize        = 0x260
	headerEnd          = 0x264 // the smallest header with all of these

	magic       = 0x53726448 // "HdrS"
	bootFlag    = 0xaa55
	minVersion  = 0x020c // the first one with a 64-bit entry
	sectorSize  = 512
	entryOffset = 0x200 // from the kernel's start

	flagKernel64  = 1 << 0 // XLF_KERNEL_64
	flagAbove4GiB = 1 << 1 // XLF_CAN_BE_LOADED_ABOVE_4G

	// HeaderSize is the size in bytes of the part of a file that has its header.
	HeaderSize = offMagic + 0xff
)

// A Header has the fields of a kernel's setup header that a loader needs. Addresses and
// sizes are in bytes.
type Header struct {
	SetupSize   uint64 // of the file's part before the kernel
	Alignment   uint64 // of the address of a kernel that is relocatable
	Relocatable bool
	Preferred   uint64 // address of one that is not; the lowest address of others
	InitSize    uint64 // memory from the kernel's start on that it unpacks itself in
	InitrdMax   uint64 // highest address of an initrd's last byte
	CommandLine int    // the longest command line, without its NUL

	setup []byte // the header itself, from offSetupSects on
}

// limits of what a file may ask for: more than any kernel does, and small enough that
// sums of addresses do not overflow.
const (
	maxInitSize  = 1 << 30
	maxAlignment = 1 << 30
	maxAddress   = 1 << 32
)

// ParseHeader reads the header from the first bytes of a file, at least HeaderSize of
// them unless the file is shorter.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < headerEnd {
		return Header{}, fmt.Errorf("%w: %d bytes", ErrFormat, len(b))
	}
	le := binary.LittleEndian
	if le.Uint16(b[offBootFlag:]) != bootFlag || le.Uint32(b[offMagic:]) != magic {
		return Header{}, fmt.Errorf("%w: no setup header", ErrFormat)
	}
	version, flags := le.Uint16(b[offVersion:]), le.Uint16(b[offXLoadFlags:])
	end := offMagic + int(b[offJump+1])
	if version < minVersion || flags&flagKernel64 == 0 || end < headerEnd || end > len(b) {
		return Header{}, fmt.Errorf("%w: boot protocol %#x, flags %#x, header to %#x", ErrFormat, version, flags, end)
	}
	sects := uint64(b[offSetupSects])
	if sects == 0 {
		sects = 4
	}
	h := Header{
		SetupSize:   (sects + 1) * sectorSize,
		Alignment:   uint64(le.Uint32(b[offKernelAlignment:])),
		Relocatable: b[offRelocatable] != 0,
		Preferred:   le.Uint64(b[offPrefAddress:]),
		InitSize:    uint64(le.Uint32(b[offInitSize:])),
		InitrdMax:   uint64(le.Uint32(b[offInitrdAddrMax:])),
		CommandLine: int(min(le.Uint32(b[offCmdlineSize:]), maxCommandLine)),
		setup:       b[offSetupSects:end:end],
	}
	if flags&flagAbove4GiB != 0 {
		h.InitrdMax = maxAddress - 1
	}
	if h.Alignment == 0 || h.Alignment&(h.Alignment-1) != 0 || h.Alignment > maxAlignment || h.InitSize > maxInitSize || h.Preferred > maxAddress {
		return Header{}, fmt.Errorf("%w: alignment %#x, init size %#x, address %#x", ErrFormat, h.Alignment, h.InitSize, h.Preferred)
	}
	return h, nil
}
