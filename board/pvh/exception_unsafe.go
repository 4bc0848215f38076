//go:build tamago

package pvh

import (
	"runtime/goos"
	"unsafe"
)

const (
	exceptionVectors = 32
	vectors          = 64
	stubSize         = 9 // of an entry in stubs, vector_amd64.s

	faultStackSize     = 16 << 10
	interruptStackSize = 16 << 10

	codeSelector = 8
	tssSelector  = 24

	interruptGate = 0x8e // present, DPL 0, 64-bit interrupt gate
)

// frame is what vector_amd64.s pushes on the stack.
type frame struct {
	ax, bx, cx, dx, bp, si, di           uint64
	r8, r9, r10, r11, r12, r13, r14, r15 uint64
	vector, code                         uint64
	rip, cs, rflags, rsp, ss             uint64
}

// gate is a 64-bit interrupt gate (AMD64 Architecture Programmer's Manual,
// volume 2, section 4.8.4).
type gate struct {
	offset0  uint16
	selector uint16
	ist      uint8
	kind     uint8
	offset16 uint16
	offset32 uint32
	_        uint32
}

var (
	idt         [256]gate
	idtRegister [10]byte
	tss         [104]byte
	handlers    [vectors]func()
	reporting   bool

	// defined in entry_amd64.s and vector_amd64.s
	gdt            [5]uint64
	faultStack     [faultStackSize]byte
	interruptStack [interruptStackSize]byte
)

func stubsBase() uintptr

// initExceptions fills the descriptor tables; loadTables loads them. Exceptions
// have a stack of their own by the interrupt stack table of the task state
// segment (section 8.9.4), since goroutine stacks are too small. The entry of
// interrupts switches stacks itself.
func initExceptions() {
	put64 := func(b []byte, v uint64) { *(*uint64)(unsafe.Pointer(&b[0])) = v }
	put64(tss[36:], uint64(uintptr(unsafe.Pointer(&faultStack)))+faultStackSize)
	*(*uint16)(unsafe.Pointer(&tss[102])) = uint16(len(tss)) // no I/O map

	t := uint64(uintptr(unsafe.Pointer(&tss)))
	gdt[3] = uint64(len(tss)-1) | t&0xffffff<<16 | 0x89<<40 | t>>24&0xff<<56
	gdt[4] = t >> 32

	for v := 0; v < vectors; v++ {
		a := uint64(stubsBase()) + uint64(v)*stubSize
		ist := uint8(1)
		if v >= exceptionVectors {
			ist = 0
		}
		idt[v] = gate{offset0: uint16(a), selector: codeSelector, ist: ist, kind: interruptGate,
			offset16: uint16(a >> 16), offset32: uint32(a >> 32)}
	}
	*(*uint16)(unsafe.Pointer(&idtRegister[0])) = uint16(unsafe.Sizeof(idt) - 1)
	put64(idtRegister[2:], uint64(uintptr(unsafe.Pointer(&idt))))
}

// Wait sleeps until an interrupt; it returns at once if there was one since the
// last Wait. It leaves interrupts enabled.
func Wait()

// Halt stops the processor until an interrupt, if they are enabled.
func Halt()

// EnableInterrupts and DisableInterrupts set and clear the processor's
// interrupt flag.
func EnableInterrupts()
func DisableInterrupts()

// Preempt asks the running goroutine to yield at its next function call. For
// interrupt handlers.
func Preempt()

// InjectedTwice returns the number of interrupts that were delivered during the
// entry of another, with interrupts off. Correct hardware never does that.
func InjectedTwice() uint32

// WaitLate is Wait with an interrupt, of the last vector, between STI and HLT. It
// is for tests.
func WaitLate()

// AvoidedHalts returns the number of interrupts that Wait took between STI and
// HLT, where it then avoided the HLT. Correct hardware never delivers one there.
func AvoidedHalts() uint32

// Handle sets the handler of a device vector, 32 to 63. See the package comment
// for what f may do. Set it before the device may interrupt.
func Handle(vector uint8, f func()) {
	if vector < exceptionVectors || int(vector) >= vectors {
		panic("pvh: internal error: device vector out of range")
	}
	handlers[vector] = f
}

// dispatch is called by the interrupt entry.
func dispatch(vector uint64) {
	if f := handlers[vector]; f != nil {
		f()
	}
}

// report prints an exception that cannot become a panic, and ends the machine.
func report(f *frame, addr uint64) {
	if reporting {
		goos.Exit(CrashExit)
	}
	reporting = true
	put("\nexception: vector ")
	putHex(f.vector)
	put(" (")
	if f.vector < uint64(len(exceptionNames)) {
		put(exceptionNames[f.vector])
	}
	put(") code ")
	putHex(f.code)
	put(" address ")
	putHex(addr)
	if g := guardPage(nextGuard()); addr >= g && addr < g+pageSize {
		put("\nthe scheduler's stack has overflowed")
	}
	regs := [...]struct {
		name  string
		value uint64
	}{
		{"rip", f.rip}, {"rsp", f.rsp}, {"flags", f.rflags}, {"cs", f.cs}, {"ss", f.ss},
		{"rax", f.ax}, {"rbx", f.bx}, {"rcx", f.cx}, {"rdx", f.dx}, {"rbp", f.bp},
		{"rsi", f.si}, {"rdi", f.di}, {"r8", f.r8}, {"r9", f.r9}, {"r10", f.r10},
		{"r11", f.r11}, {"r12", f.r12}, {"r13", f.r13}, {"r14", f.r14}, {"r15", f.r15},
	}
	for i := range regs {
		if i%4 == 0 {
			put("\n")
		}
		put(regs[i].name)
		put(" ")
		putHex(regs[i].value)
		put("  ")
	}
	put("\n")
	if goos.Exit != nil {
		goos.Exit(CrashExit)
	}
	for {
		DisableInterrupts()
		Halt()
	}
}

// nextGuard returns the initial stack pointer.
func nextGuard() uint64 {
	return uint64(goos.RamStart + goos.RamSize - goos.RamStackOffset)
}

var exceptionNames = [...]string{"divide error", "debug", "NMI", "breakpoint", "overflow", "bound range",
	"invalid opcode", "no device", "double fault", "9", "invalid TSS", "segment", "stack", "general protection",
	"page fault", "15", "x87", "alignment", "machine check", "SIMD"}

func put(s string) {
	for i := 0; i < len(s); i++ {
		goos.Printk(s[i])
	}
}

func putHex(v uint64) {
	put("0x")
	started := false
	for shift := 60; shift >= 0; shift -= 4 {
		d := v >> shift & 15
		if d != 0 || shift == 0 {
			started = true
		}
		if started {
			goos.Printk("0123456789abcdef"[d])
		}
	}
}
