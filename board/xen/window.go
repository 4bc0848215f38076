//go:build tamago

package xen

import "stubtpm/board/pvh"

// Offsets in the window, where frames that are not this domain's memory are
// mapped.
const (
	sharedInfoOffset = 0
	grantTableOffset = 0x100000 // grant table, at most maxGrantFrames
	foreignOffset    = 0x200000 // frames of other domains, maxForeign
	windowSize       = 0x1000000

	maxGrantFrames = 64
	maxForeign     = (windowSize - foreignOffset) / pageSize
)

// findWindow returns the highest address, a multiple of windowSize, of windowSize
// bytes that the memory map does not name, between the end of the memory that libxl
// puts below 4 GiB and the device registers under that line. It returns 0 if no
// such gap exists.
func findWindow(regions []pvh.Region) uint64 {
	for at := uint64(0xf0000000); at >= 0x40000000; at -= windowSize {
		free := true
		for i := range regions {
			r := &regions[i]
			if r.Start < at+windowSize && at < r.Start+r.Size {
				free = false
			}
		}
		if free {
			return at
		}
	}
	return 0
}
