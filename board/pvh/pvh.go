//go:build tamago

// Package pvh brings a Go program from the entry of Xen's PVH boot protocol
// (the "x86/HVM direct boot ABI") to the start of the runtime: long mode, page
// tables, descriptor tables, exceptions. It is the common part of our boards.
//
// Memory map, by whom it is set up:
//
//	0                 one page, not mapped: nil dereferences fault   boot
//	1 page to 2 MiB   not mapped but for what the board asks for     boot
//	2 MiB             image: text read-only, data not executable     loader, boot
//	behind it         boot modules, if any; then the heap            loader, runtime
//	...               one page, not mapped: guard of the stack       boot
//	64 KiB + 1 page   stack of the scheduler (g0)                    runtime
//	top of RAM        page tables                                    boot
//
// Addresses are physical addresses. What lies outside RAM is mapped by Map.
//
// # What a board does
//
// It defines, by //go:linkname, two functions that boot calls, and may leave
// them empty. They run before the runtime starts: no allocation, no goroutine, no
// channel, no map; package variables are not initialized unless statically.
//
//	//go:linkname early stubtpm/board/pvh.boardEarly
//	func early()                       // first of all: console, hypercalls
//	//go:linkname memory stubtpm/board/pvh.boardMemory
//	func memory(m []pvh.Region) int    // memory map, if the boot loader gave none
//
// and the hooks of runtime/goos: Printk and Nanotime (nosplit, no allocation,
// callable at any time), InitRNG, GetRandomData, Hwinit1. In Hwinit1, or better
// in early, it sets goos.Exit and goos.Idle. Hwinit0, CPUinit, RamStart, RamSize,
// RamStackOffset and Bloc are this package's.
//
//   - Exit(code): 0 a clean stop, 2 what the runtime uses for a panic or a fatal
//     error, CrashExit an exception that no goroutine could take.
//   - Idle(until): arm a one-shot timer unless until is math.MaxInt64, then call
//     Wait. It runs on the scheduler's stack: no allocation.
//   - Interrupts: Handle(vector, f) for vectors 32 to 63. f runs on a stack of its
//     own with interrupts off; it must not allocate, print by fmt, lock, send on a
//     channel or store pointers. It ends the interrupt at its controller and, to
//     wake a goroutine, calls os/signal.Relay(n); the goroutine receives from
//     the channel it gave to signal.Notify. A handler that calls Preempt lets the
//     woken goroutine run at the next function call of the running one.
package pvh

// CrashExit is the code with which goos.Exit is called for an exception that
// is not a panic.
const CrashExit = 255

// A Region is a piece of the machine's memory map, as in hvm_start_info
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

// maxRegions is the number of regions that are kept; more are not looked at.
const maxRegions = 64

// StartInfo is what is kept of hvm_start_info.
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
}

// Start returns what the boot loader passed.
func Start() StartInfo { return start }

// CommandLine returns the boot loader's command line, at most 4095 bytes of it.
func CommandLine() string { return string(cmdline[:cmdlineLen]) }

var (
	start      StartInfo
	regions    [maxRegions]Region
	cmdline    [4096]byte
	cmdlineLen int
)

// boardEarly and boardMemory are the board's.
func boardEarly()
func boardMemory(m []Region) int
