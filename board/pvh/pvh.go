//go:build tamago

package pvh

// CrashExit is the code that goos.Exit is called with for an exception that cannot
// become a panic.
const CrashExit = 255

// A Region is an entry of the machine's memory map, as in hvm_start_info
// (xen/include/public/arch-x86/hvm/start_info.h, struct
// hvm_memmap_table_entry).
type Region struct {
	Start uint64
	Size  uint64
	Type  uint32 // 1: RAM
	_     uint32
}

// RAM is the type of a Region of usable memory.
const RAM = 1

// maxRegions is the number of regions that are kept; further ones are ignored.
const maxRegions = 64

// StartInfo has the fields of hvm_start_info that are kept.
type StartInfo struct {
	Address  uint64 // of hvm_start_info itself
	Version  uint32
	Flags    uint32
	RSDP     uint64
	Modules  uint32
	ModList  uint64
	Regions  []Region
	RamStart uint64 // of the runtime's memory
	RamEnd   uint64 // end of the region that holds the image

	// FreeStart and FreeEnd bound the memory that the runtime leaves to the
	// program. They are equal without heapLimit. See Free.
	FreeStart, FreeEnd uint64
}

// Start returns what the boot loader passed, as boot read it.
func Start() StartInfo { return start }

// CommandLine returns the first 4095 bytes of the boot loader's command line.
func CommandLine() string { return string(cmdline[:cmdlineLen]) }

// heapLimit bounds the memory of the runtime behind the image, in bytes; a multiple of
// the page size. A program that needs memory of its own defines it:
//
//	//go:linkname heapLimit stubtpm/board/pvh.heapLimit
//	var heapLimit uint64 = 32 << 20
var heapLimit uint64

var (
	start      StartInfo
	regions    [maxRegions]Region
	modules    [maxModules]module
	cmdline    [4096]byte
	cmdlineLen int
)

// A module is where a boot module lies.
type module struct{ addr, size uint64 }

// maxModules is the number of boot modules that Module returns.
const maxModules = 8

// boardEarly and boardMemory are defined by the board.
func boardEarly()
func boardMemory(m []Region) int
