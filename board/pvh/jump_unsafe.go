//go:build tamago

package pvh

import "unsafe"

// Free returns the memory that heapLimit leaves to the program, with its physical
// address. It is not cleared. The collector does not know it: it must not contain
// pointers.
func Free() (memory []byte, addr uint64) {
	if start.FreeEnd <= start.FreeStart {
		return nil, 0
	}
	p := (*byte)(unsafe.Pointer(uintptr(start.FreeStart)))
	return unsafe.Slice(p, start.FreeEnd-start.FreeStart), start.FreeStart
}

// Address returns the physical address of memory.
func Address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// Module returns the contents of one of the first 8 boot modules, and nil if there is no
// such module. The runtime's memory does not contain them, but soon their list.
func Module(n uint32) []byte {
	if n >= min(start.Modules, maxModules) {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(modules[n].addr))), modules[n].size)
}

// A Jump is how another program is entered in 64-bit mode. Everything that it names
// must be mapped at its physical address, by the tables of now and by its own ones,
// which must also map this image.
type Jump struct {
	Entry  uint64 // address of the first instruction
	Arg    uint64 // RSI there
	Stack  uint64 // a stack of at least 16 bytes below this address
	Tables uint64 // address of the page tables' root
	// GDT is the address of a descriptor table of 4 entries: the third is the code
	// segment, the fourth the data segment.
	GDT uint64
}

// Enter ends this program: it enters another one with interrupts off, SSE and AVX as
// after reset, and registers other than RSI zero.
func (j Jump) Enter() {
	var gdt, idt [10]byte
	gdt[0] = 4*8 - 1
	*(*uint64)(unsafe.Pointer(&gdt[2])) = j.GDT
	jump(&j, &gdt, &idt)
}

// jump is implemented in jump_amd64.s.
//
//go:noescape
func jump(j *Jump, gdt, idt *[10]byte)
