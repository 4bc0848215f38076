// Package pvh brings a Go program from the entry of Xen's PVH boot protocol
// (the "x86/HVM direct boot ABI") to the start of the runtime: long mode, page
// tables, descriptor tables, exceptions. It is the common part of the boards.
//
// Memory map, and what sets it up:
//
//	0                 one page, not mapped: nil dereferences fault   boot
//	1 page to 2 MiB   not mapped except for the board's devices      boot
//	2 MiB             image: text read-only, data not executable     loader, boot
//	after it          boot modules, if any; then the heap            loader, runtime
//	...               one page, not mapped: guard of the stack       boot
//	64 KiB + 1 page   stack of the scheduler (g0)                    runtime
//	top of RAM        page tables                                    boot
//
// Addresses are physical addresses. What lies outside RAM is mapped by Map.
//
// # What a board does
//
// It defines, by //go:linkname, two functions that boot calls, which may be
// empty. They run before the runtime starts: they must not use the heap,
// goroutines, channels or maps, and only package variables that are initialized
// statically have their values.
//
//	//go:linkname early stubtpm/board/pvh.boardEarly
//	func early()                       // called first: console, hypercalls
//	//go:linkname memory stubtpm/board/pvh.boardMemory
//	func memory(m []pvh.Region) int    // memory map, if the boot loader gave none
//
// and the hooks of runtime/goos: Printk and Nanotime (nosplit, no allocation,
// callable at any time), InitRNG, GetRandomData, Hwinit1. In Hwinit1, or better
// in early, it sets goos.Exit and goos.Idle. Hwinit0, CPUinit, RamStart, RamSize,
// RamStackOffset and Bloc are this package's.
//
//   - Exit(code): 0 for a clean stop, 2 for a panic or a fatal error of the runtime,
//     CrashExit for an exception that cannot become a panic of a goroutine.
//   - Idle(until): arm a one-shot timer unless until is math.MaxInt64, then call
//     Wait. It runs on the scheduler's stack: it must not allocate.
//   - Interrupts: Handle(vector, f) for vectors 32 to 63. f runs on a stack of its
//     own with interrupts off; it must not allocate, use fmt, lock, send on a
//     channel or store pointers. It acknowledges the interrupt at its controller and, to
//     wake a goroutine, calls os/signal.Relay(n); the goroutine receives from
//     the channel it gave to signal.Notify. A handler that calls Preempt lets the
//     woken goroutine run at the next function call of the running one.
package pvh
