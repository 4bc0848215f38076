//go:build tamago

package pvh

import (
	"errors"
	"unsafe"
)

// Bits of page table entries (AMD64 Architecture Programmer's Manual, volume 2,
// section 5.4). With the page attribute table as reset leaves it, PCD and PWT
// together mean uncacheable, neither means write-back.
const (
	ptePresent = 1 << 0
	pteWrite   = 1 << 1
	ptePWT     = 1 << 3
	ptePCD     = 1 << 4
	pteLarge   = 1 << 7
	pteNoExec  = 1 << 63

	pteAddress = 0x000ffffffffff000

	largePage = 2 << 20
)

// Attr selects how Map maps.
type Attr uint64

// Mappings for Map; none is executable.
const (
	WriteBack   Attr = pteWrite // RAM that another domain shares
	Uncacheable Attr = pteWrite | ptePCD | ptePWT
	ReadOnly    Attr = 0
)

var errNoTables = errors.New("pvh: no memory left for page tables")

// The page tables, and the pages that are left for further ones.
var (
	rootTable           uint64
	nextTable, endTable uint64
	noExec              uint64 // pteNoExec if the processor has it
)

// spareTables is the number of page tables left for Map: two or three for each
// distant place.
const spareTables = 24

func cpuidExtFeatures() uint32

// initPaging builds the final page tables at the end of the runtime's memory, so that
// end is moved down, loads them, and returns the new end, which is the initial stack
// pointer. They map RAM up to ram.
func initPaging(end, ram uint64) uint64 {
	if cpuidExtFeatures()&(1<<20) != 0 {
		noExec = pteNoExec
	}
	base := uint64(imageBase())
	image := (uint64(imageEnd()) + largePage - 1) &^ (largePage - 1)
	n := image/largePage + ram>>30 + 6 + spareTables
	sp := end - n*pageSize
	nextTable, endTable = sp, end
	rootTable = takeTable()

	// All of RAM behind the image's last 2 MiB: data. In the first 2 MiB
	// nothing. Page tables themselves are in RAM, hence writable.
	for a := image; a < ram; {
		if a%largePage == 0 && a+largePage <= ram && !(a <= guardPage(sp) && guardPage(sp) < a+largePage) {
			setEntry(a, 2, a|ptePresent|pteWrite|pteLarge|noExec)
			a += largePage
			continue
		}
		if a != guardPage(sp) {
			setEntry(a, 1, a|ptePresent|pteWrite|noExec)
		}
		a += pageSize
	}
	// The image, by its own program headers, which the linker puts on the page
	// before the text; what lies between its segments and up to the next
	// 2 MiB is data.
	for a := base &^ (largePage - 1); a < image; a += pageSize {
		if a != guardPage(sp) && a < end {
			setEntry(a, 1, a|ptePresent|pteWrite|noExec)
		}
	}
	protectImage(base - pageSize)

	loadTables(rootTable, &idtRegister, tssSelector)
	return sp
}

// guardPage is the page below the stack that starts at sp.
func guardPage(sp uint64) uint64 { return sp - g0Stack - pageSize }

// protectImage maps the segments of the ELF image at header with the rights of
// their program headers.
func protectImage(header uint64) {
	const elfMagic, ptLoad, flagX, flagW = 0x464c457f, 1, 1, 2
	if load32(header) != elfMagic {
		return
	}
	phdr := header + load64(header+32)
	n := uint64(load32(header+56) & 0xffff)
	for i := uint64(0); i < n; i++ {
		p := phdr + i*56
		if load32(p) != ptLoad {
			continue
		}
		flags := load32(p + 4)
		rights := uint64(ptePresent)
		if flags&flagW != 0 {
			rights |= pteWrite
		}
		if flags&flagX == 0 {
			rights |= noExec
		}
		a := load64(p+16) &^ (pageSize - 1)
		end := load64(p+16) + load64(p+40)
		for ; a < end; a += pageSize {
			setEntry(a, 1, a|rights)
		}
	}
}

// takeTable returns an empty page table, or 0 if none is left.
func takeTable() uint64 {
	if nextTable == endTable {
		return 0
	}
	t := nextTable
	nextTable += pageSize
	for i := uint64(0); i < pageSize; i += 8 {
		*(*uint64)(unsafe.Pointer(uintptr(t + i))) = 0
	}
	return t
}

// setEntry sets the entry for addr: level 1 for a page, 2 for 2 MiB. It reports
// false if there is no memory for a table, or a large page is in the way.
func setEntry(addr uint64, level int, entry uint64) bool {
	table := rootTable
	for l := 4; ; l-- {
		p := (*uint64)(unsafe.Pointer(uintptr(table + addr>>(12+9*(l-1))&511*8)))
		if l == level {
			*p = entry
			return true
		}
		if *p&pteLarge != 0 {
			return false
		}
		if *p&ptePresent == 0 {
			t := takeTable()
			if t == 0 {
				return false
			}
			*p = t | ptePresent | pteWrite
		}
		table = *p & pteAddress
	}
}

// Map maps pages of memory or of a device outside RAM at their physical address,
// which must be a multiple of the page size. It must not be called before boot has
// built the page tables, nor from interrupt handlers. It is not safe for
// concurrent use.
func Map(addr uint64, pages int, attr Attr) error {
	if addr%pageSize != 0 || pages < 1 {
		return errors.New("pvh: Map of a range that is not whole pages")
	}
	return remap(addr, pages, addr|ptePresent|uint64(attr)|noExec)
}

// Unmap removes pages from the address space. It is not safe for concurrent use.
func Unmap(addr uint64, pages int) error {
	return remap(addr, pages, 0)
}

func remap(addr uint64, pages int, entry uint64) error {
	for i := 0; i < pages; i++ {
		if !setEntry(addr, 1, entry) {
			return errNoTables
		}
		invalidate(uintptr(addr))
		addr += pageSize
		if entry != 0 {
			entry += pageSize
		}
	}
	return nil
}
