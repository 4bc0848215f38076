//go:build linux && !tamago

package devxen

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"stubtpm/drivers/xen"
)

// MapPhysical maps pages of this domain's own physical memory, from a frame number on,
// through /dev/mem. Linux refuses ordinary memory, and what a driver uses.
func MapPhysical(frame uint64, count int) (pages []*xen.Page, unmap func() error, err error) {
	f, err := os.OpenFile("/dev/mem", os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("devxen: %w", err)
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), int64(frame*xen.PageSize), count*xen.PageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("devxen: frame %#x: %w", frame, err)
	}
	for i := range count {
		pages = append(pages, xen.PageAt(unsafe.Pointer(&b[i*xen.PageSize])))
	}
	return pages, func() error { return unix.Munmap(b) }, nil
}
