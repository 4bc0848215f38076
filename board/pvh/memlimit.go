//go:build tamago

package pvh

import (
	"runtime/debug"
	"runtime/goos"
)

// The memory limit makes the garbage collector work harder near the end of memory
// instead of letting the heap run out. A quarter is left to fragmentation and to
// the collector's overshoot. A goroutine's stack may take a quarter: the stock limit
// of 1 GB would turn endless recursion into an out-of-memory report.
func init() {
	free := int64(goos.RamStart) + int64(goos.RamSize) - int64(goos.Bloc) - g0Stack
	debug.SetMaxStack(int(free / 4))
	debug.SetMemoryLimit(free - free/4)
}

// HeapSize returns the memory that the heap can grow to, in bytes.
func HeapSize() uint64 {
	return uint64(goos.RamStart+goos.RamSize) - uint64(goos.Bloc) - g0Stack - pageSize
}
