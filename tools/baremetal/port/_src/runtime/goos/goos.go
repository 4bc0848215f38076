// Package goos holds the hooks by which a board carries the runtime on bare
// metal. Their names, types and meanings are those documented by the tamago
// library v1.26.6, package github.com/usbarmory/tamago/goos. A board defines
// them with //go:linkname; a program without a board does not link.
//
// The runtime calls Printk and Nanotime from any stack and at any time, also
// before Hwinit1 and inside system calls: they must be nosplit and must not
// allocate. Idle is called on the scheduler's stack without a P: it must not
// allocate nor block on anything but interrupts.
package goos

import "unsafe" // also for go:linkname, which lets a function lack a body

// Memory of the machine, in bytes. The heap lies between Bloc (or the end of
// the image) and 64 KiB below the initial stack pointer, which is
// RamStart + RamSize - RamStackOffset.
var (
	RamStart       uint
	RamSize        uint
	RamStackOffset uint
)

// CPUinit is the first code executed.
//
//go:linkname CPUinit runtime/goos.CPUinit
func CPUinit()

// Hwinit0 runs before the heap exists.
//
//go:linkname Hwinit0 runtime/goos.Hwinit0
func Hwinit0()

// InitRNG runs once before the first GetRandomData.
//
//go:linkname InitRNG runtime/goos.InitRNG
func InitRNG()

// GetRandomData fills b.
//
//go:linkname GetRandomData runtime/goos.GetRandomData
func GetRandomData(b []byte)

// Nanotime returns the system time in nanoseconds; it is also the wall clock.
//
//go:linkname Nanotime runtime/goos.Nanotime
func Nanotime() int64

// Printk writes one byte to the console.
//
//go:linkname Printk runtime/goos.Printk
func Printk(c byte)

// Hwinit1 runs in the runtime's first init, with heap and scheduler.
//
//go:linkname Hwinit1 runtime/goos.Hwinit1
func Hwinit1()

// Optional hooks.
var (
	// Bloc is the start of the heap, if not the end of the image.
	Bloc uintptr
	// Exit ends the machine.
	Exit func(code int32)
	// Idle waits for an interrupt, or until the given time (Nanotime's
	// clock, math.MaxInt64: forever). It may return early.
	Idle func(until int64)
	// ProcID, Task and Wake serve further processors; this port has one.
	ProcID func() uint64
	Task   func(sp, mp, gp, fn unsafe.Pointer)
	Wake   func(procid uint64)
)

// Shape of the heap. The values differ from the library's defaults to suit
// domains of 24 MiB: 32 address bits with arenas and chunks of 512 KiB (the
// combination that stock Go uses on wasm) need 64 KiB of tables instead of 4.5 MiB.
// StackSystem is the room on each stack for what the processor and a board push
// for an interrupt before they change to another stack: 184 bytes, and as
// much again for one that comes in between.
const (
	ArenaBaseOffset   = 0
	HeapAddrBits      = 32
	LogHeapArenaBytes = 9 + 10
	// LogPallocChunkPages counts pages of 8 KiB.
	LogPallocChunkPages = 6
	StackSystem         = 512
)
