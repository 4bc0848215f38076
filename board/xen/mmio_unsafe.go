//go:build tamago

package xen

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"stubtpm/board/pvh"
)

// MMIO is the register window of a device that is assigned to the domain (iomem
// of xl.cfg). Offsets are in bytes. Each access is a single one of its width; an
// offset beyond the end or not a multiple of the width panics.
type MMIO struct {
	base uintptr
	size int
}

// MapMMIO maps pages of registers, uncached, at a physical address that is a
// multiple of the page size. Xen does not report whether they are assigned to the
// domain: registers that are not read as ones.
func MapMMIO(addr uint64, pages int) (*MMIO, error) {
	if err := tables.mapAs(addr, pages, pvh.Uncacheable); err != nil {
		return nil, fmt.Errorf("xen: registers at %#x: %w", addr, err)
	}
	return &MMIO{base: uintptr(addr), size: pages * pageSize}, nil
}

func (m *MMIO) at(off, width int) unsafe.Pointer {
	if off < 0 || off > m.size-width || off%width != 0 {
		panic("xen: internal error: register offset out of range")
	}
	return unsafe.Pointer(m.base + uintptr(off))
}

// Read8 reads a register of 8 bits.
func (m *MMIO) Read8(off int) uint8 { return load8(m.at(off, 1)) }

// Write8 writes a register of 8 bits.
func (m *MMIO) Write8(off int, v uint8) { store8(m.at(off, 1), v) }

// Read32 reads a register of 32 bits.
func (m *MMIO) Read32(off int) uint32 { return atomic.LoadUint32((*uint32)(m.at(off, 4))) }

// Write32 writes a register of 32 bits by a plain store: an atomic store is XCHG,
// which also reads the register.
func (m *MMIO) Write32(off int, v uint32) { store32(m.at(off, 4), v) }

// The compiler neither merges nor moves accesses of functions that it does
// not inline.

//go:noinline
func load8(p unsafe.Pointer) uint8 { return *(*uint8)(p) }

//go:noinline
func store8(p unsafe.Pointer, v uint8) { *(*uint8)(p) = v }

//go:noinline
func store32(p unsafe.Pointer, v uint32) { *(*uint32)(p) = v }
