//go:build tamago

package xen

import (
	"fmt"
	"unsafe"

	"stubtpm/drivers/xen"
)

// MapMemory maps pages that the toolstack has put outside of the memory map, such as
// those of a TPM, at their physical address.
func MapMemory(addr uint64, pages int) ([]byte, error) {
	if err := tables.Map(addr, pages); err != nil {
		return nil, fmt.Errorf("xen: memory at %#x: %w", addr, err)
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(addr))), pages*pageSize), nil
}

// MapShared is MapMemory for pages that others write at the same time.
func MapShared(addr uint64, pages int) ([]*xen.Page, error) {
	if err := tables.Map(addr, pages); err != nil {
		return nil, fmt.Errorf("xen: memory at %#x: %w", addr, err)
	}
	var all []*xen.Page
	for i := range pages {
		all = append(all, pageAt(addr+uint64(i)*pageSize))
	}
	return all, nil
}
