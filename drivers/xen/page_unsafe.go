package xen

import (
	"sync/atomic"
	"unsafe"
)

// A Page is one frame shared with another domain, which may write any byte at
// any moment. A caller must load a word or copy bytes once, check the copy and
// use only the copy.
type Page struct {
	b *[PageSize]byte
}

// PageAt returns the page at p, which must be page-aligned and must stay mapped
// for as long as the Page is used.
func PageAt(p unsafe.Pointer) *Page {
	if uintptr(p)%PageSize != 0 {
		panic("xen: internal error: page is not aligned")
	}
	return &Page{b: (*[PageSize]byte)(p)}
}

// NewPage returns an ordinary zeroed page of memory, for tests and for rings
// between two goroutines.
func NewPage() *Page {
	b := make([]byte, 2*PageSize)
	skip := -uintptr(unsafe.Pointer(&b[0])) % PageSize
	return PageAt(unsafe.Pointer(&b[skip]))
}

// Pointer returns the address of the page's first byte.
func (p *Page) Pointer() unsafe.Pointer { return unsafe.Pointer(p.b) }

// Load32 atomically loads the little-endian word at byte offset off, which
// must be a multiple of four.
func (p *Page) Load32(off int) uint32 { return atomic.LoadUint32(p.word(off)) }

// Store32 atomically stores the little-endian word at byte offset off, which must
// be a multiple of four. The peer sees earlier writes before this one.
func (p *Page) Store32(off int, v uint32) { atomic.StoreUint32(p.word(off), v) }

func (p *Page) word(off int) *uint32 {
	if off%4 != 0 || uint(off) > PageSize-4 {
		panic("xen: internal error: word is not aligned, or beyond the page")
	}
	return (*uint32)(unsafe.Pointer(&p.b[off]))
}

// Load8 loads the byte at offset off, once.
func (p *Page) Load8(off int) uint8 {
	w := p.Load32(off &^ 3)
	return uint8(w >> (8 * (off & 3)))
}

// Store8 stores one byte and leaves its neighbours alone. On amd64 the peer sees
// stores in program order; the function is not inlined, so that the compiler
// keeps that order too.
//
//go:noinline
func (p *Page) Store8(off int, v uint8) { p.b[off] = v }

// CopyOut copies bytes from the page at offset off into dst and returns how
// many were copied: fewer than len(dst) where the page ends.
//
//go:noinline
func (p *Page) CopyOut(dst []byte, off int) int { return copy(dst, p.b[off:]) }

// CopyIn copies src into the page at offset off and returns how many bytes
// were copied: fewer than len(src) where the page ends.
//
//go:noinline
func (p *Page) CopyIn(off int, src []byte) int { return copy(p.b[off:], src) }
