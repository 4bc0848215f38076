//go:build tamago

package hvm

import (
	"unsafe"

	"stubtpm/drivers/xen"
)

// newPage returns a zeroed page on the heap. The heap aligns objects of a page's
// size to pages; should that change, NewPage aligns one at the cost of a second
// page.
func newPage() *xen.Page {
	p := unsafe.Pointer(new([xen.PageSize]byte))
	if uintptr(p)%xen.PageSize != 0 {
		return xen.NewPage()
	}
	return xen.PageAt(p)
}

// frameOf returns the frame number of a page of this domain's memory.
func frameOf(p *xen.Page) uint32 { return uint32(uintptr(p.Pointer()) / xen.PageSize) }

func pageAt(addr uint64) *xen.Page { return xen.PageAt(unsafe.Pointer(uintptr(addr))) }

// words returns n words at an address outside RAM.
func words(addr uint64, n int) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(uintptr(addr))), n)
}
