// Bare metal: what the runtime asks of an operating system, answered by the
// hooks of runtime/goos. One processor, one thread, no file system.

package runtime

import (
	"runtime/goos"
	"unsafe"
)

// oneThread stands where stock code compares GOARCH with "wasm", the stock
// port with one thread.
const oneThread = true

const (
	bareHeapAddrBits      = goos.HeapAddrBits
	bareLogHeapArenaBytes = goos.LogHeapArenaBytes
	bareArenaBaseOffset   = goos.ArenaBaseOffset
	bareStackSystem       = goos.StackSystem

	bareLogPallocChunkPages = goos.LogPallocChunkPages
)

// Constants that the stock tree declares in mem_linux.go.
const (
	_EACCES = 13
	_EINVAL = 22
)

// The heap lies between memStart and memLimit.
var memStart, memLimit uintptr

func osinit() {
	numCPUStartup = 1
	physPageSize = 4096
	physHugePageSize = 0
	// The memory profile would take a table of 1.4 MiB.
	MemProfileRate = 0
	goos.Hwinit0()

	initBloc()
	if goos.Bloc != 0 {
		bloc = memRound(goos.Bloc)
		blocMax = bloc
	}
	// rt0_go makes 64 KiB below the initial stack pointer the stack of g0. One
	// page more is left for a guard.
	sp := uintptr(goos.RamStart + goos.RamSize - goos.RamStackOffset)
	memLimit = (sp - 64<<10 - 2*4096) &^ 4095
	memStart = bloc
}

// sbrk extends the heap by n bytes of zeroed memory; nil if none is left.
func sbrk(n uintptr) unsafe.Pointer {
	n = memRound(n)
	p := bloc
	if p > memLimit || n > memLimit-p {
		return nil
	}
	if p+n > blocMax {
		// The machine's memory need not be clean when it is first used;
		// below blocMax mem_sbrk.go has cleared it.
		start := max(p, blocMax)
		memclrNoHeapPointers(unsafe.Pointer(start), p+n-start)
		blocMax = p + n
	}
	bloc = p + n
	return unsafe.Pointer(p)
}

// bareMakeRoom is called before a large object is allocated. Stock code would start
// a collection, allocate at once, and fail if there is no room yet: there the
// system has more memory. So collect first, if neither a free range nor the
// memory that the heap has not yet taken is large enough.
func bareMakeRoom(size uintptr) {
	gp := getg()
	mp := gp.m
	if gp != mp.curg || mp.locks != 0 || mp.mallocing != 0 || mp.preemptoff != "" || size > maxAlloc-pageSize {
		return
	}
	if memLimit-bloc >= alignUp(size, heapArenaBytes)+heapArenaBytes {
		return
	}
	npages := (size + pageSize - 1) / pageSize
	var free uintptr
	systemstack(func() {
		lock(&mheap_.lock)
		free, _ = mheap_.pages.find(npages)
		unlock(&mheap_.lock)
	})
	if free == 0 {
		GC()
	}
}

// MemRegion returns the bounds of the memory that belongs to the runtime.
func MemRegion() (start, end uint) {
	return goos.RamStart, goos.RamStart + goos.RamSize
}

// CPU returns the processor's name.
func CPU() string {
	return bareCPUName()
}

var bareRNGReady bool

func bareRandom(b []byte) {
	if !bareRNGReady {
		bareRNGReady = true
		goos.InitRNG()
	}
	goos.GetRandomData(b)
}

func readRandom(r []byte) int {
	bareRandom(r)
	return len(r)
}

// vgetrandom serves internal/syscall/unix.GetRandom, and by it crypto/rand.
//
//go:linkname vgetrandom
func vgetrandom(p []byte, flags uint32) (ret int, supported bool) {
	bareRandom(p)
	return len(p), true
}

func vgetrandomDestroy(mp *m) {}

//go:nosplit
func bareNanotime() int64 {
	return goos.Nanotime()
}

//go:linkname time_now time.now
func time_now() (sec int64, nsec int32, mono int64) {
	t := nanotime()
	return t / 1e9, int32(t % 1e9), t
}

//go:nosplit
func bareWrite(p unsafe.Pointer, n int32) {
	for i := uintptr(0); i < uintptr(n); i++ {
		goos.Printk(*(*byte)(add(p, i)))
	}
}

//go:nosplit
func bareExit(code int32) {
	if goos.Exit != nil {
		goos.Exit(code)
	}
	for {
		procyield(100)
	}
}

//go:nosplit
func bareUsleep(usec uint32) {
	end := goos.Nanotime() + int64(usec)*1000
	for goos.Nanotime() < end {
		procyield(10)
	}
}

// bareFutexWait is reached when the only thread would wait for another one.
//
//go:nosplit
func bareFutexWait() {
	writeErrStr("fatal error: the only thread waits for another (deadlock in the runtime)\n")
	bareExit(2)
}

// Numbers of linux/amd64's system calls that package os and its kin issue and
// that have a meaning here. All others fail with ENOSYS.
const (
	sysWrite        = 1
	sysGetpid       = 39
	sysExit         = 60
	sysFcntl        = 72
	sysClockGettime = 228
	sysExitGroup    = 231
	sysGetrandom    = 318

	fGetfd = 1 // of fcntl
	fGetfl = 3

	errBADF  = 9
	errNOSYS = 38
)

// bareSyscall is called, as an ordinary function, where stock code has the
// SYSCALL instruction. It may run with stack splits forbidden, so the hooks
// are called on the system stack.
//
//go:nosplit
//go:linkname bareSyscall
func bareSyscall(num, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr) {
	switch num {
	case sysWrite:
		if a1 != 1 && a1 != 2 {
			return ^uintptr(0), 0, errBADF
		}
		systemstack(func() {
			bareWrite(unsafe.Pointer(a2), int32(a3))
		})
		return a3, 0, 0
	case sysFcntl:
		// Descriptors 0 to 2 exist, else the runtime does not start.
		if a1 <= 2 && (a2 == fGetfd || a2 == fGetfl) {
			return 0, 0, 0
		}
	case sysGetpid:
		return 1, 0, 0
	case sysExit, sysExitGroup:
		systemstack(func() {
			bareExit(int32(a1))
		})
	case sysClockGettime:
		t := goos.Nanotime()
		ts := (*[2]int64)(unsafe.Pointer(a2))
		ts[0], ts[1] = t/1e9, t%1e9
		return 0, 0, 0
	case sysGetrandom:
		systemstack(func() {
			bareRandom(unsafe.Slice((*byte)(unsafe.Pointer(a1)), a2))
		})
		return a2, 0, 0
	}
	return ^uintptr(0), 0, errNOSYS
}

// The runtime's first init: from here on heap and scheduler work. The poller
// is started at once, since it is what waits for interrupts.
func init() {
	netpollGenericInit()
	goos.Hwinit1()
}
