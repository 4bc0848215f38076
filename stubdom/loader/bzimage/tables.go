package bzimage

import "encoding/binary"

// Entries of page tables and of the descriptor table (AMD64 Architecture Programmer's
// Manual, volume 2, sections 5.4 and 4.8).
const (
	tablePages = 6 // one of level 4, one of level 3, four of level 2

	present  = 1 << 0
	writable = 1 << 1
	large    = 1 << 7

	largePage = 2 << 20

	codeSegment = 0x00af9a000000ffff // 64-bit, execute and read
	dataSegment = 0x00cf92000000ffff // flat, read and write
)

// writeTables writes the descriptor table, and page tables that map the first 4 GiB.
func (m *Memory) writeTables() {
	le := binary.LittleEndian
	gdt := m.page(systemPage)
	le.PutUint64(gdt[16:], codeSegment)
	le.PutUint64(gdt[24:], dataSegment)

	le.PutUint64(m.page(tablesPage), m.pageAddr(tablesPage+1)|present|writable)
	for i := range 4 {
		le.PutUint64(m.page(tablesPage + 1)[i*8:], m.pageAddr(tablesPage+2+i)|present|writable)
		for j := range 512 {
			at := uint64(i*512+j) * largePage
			le.PutUint64(m.page(tablesPage + 2 + i)[j*8:], at|present|writable|large)
		}
	}
}
