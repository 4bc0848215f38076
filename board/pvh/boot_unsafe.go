//go:build tamago

package pvh

import (
	"runtime/goos"
	"unsafe"
)

// Offsets in hvm_start_info and hvm_modlist_entry
// (xen/include/public/arch-x86/hvm/start_info.h).
const (
	startMagic = 0x336ec578

	siMagic         = 0
	siVersion       = 4
	siFlags         = 8
	siNrModules     = 12
	siModlist       = 16
	siCmdline       = 24
	siRSDP          = 32
	siMemmap        = 40
	siMemmapEntries = 48

	modPaddr = 0
	modSize  = 8
	modLen   = 32
)

const (
	pageSize      = 4096
	bootStackSize = 16 << 10
	// g0Stack is what rt0_go uses below the initial stack pointer, and a page
	// at its bottom.
	g0Stack = 64<<10 + pageSize
	// ramLimit bounds the runtime's memory: below 4 GiB (heap addresses have
	// 32 bits) and below the device registers under that line.
	ramLimit = 0xc0000000
)

// hwinit0 is empty: boot has done its work.
//
//go:nosplit
//go:linkname hwinit0 runtime/goos.Hwinit0
func hwinit0() {}

func imageBase() uintptr
func imageEnd() uintptr
func loadTables(cr3 uint64, idt *[10]byte, tr uint16)
func invalidate(addr uintptr)

func load32(p uint64) uint32 { return *(*uint32)(unsafe.Pointer(uintptr(p))) }
func load64(p uint64) uint64 { return *(*uint64)(unsafe.Pointer(uintptr(p))) }

// boot is called by cpuinit in long mode, on the boot stack, before the runtime
// starts. It returns the initial stack pointer.
func boot(info uint64) (sp uint64) {
	initExceptions()
	readStartInfo(info)
	boardEarly()
	n := len(start.Regions)
	if n == 0 {
		n = max(0, min(boardMemory(regions[:]), maxRegions))
		start.Regions = regions[:n]
	}
	base, end := findRAM(uint64(imageEnd()))
	start.RamStart, start.RamEnd = base, end
	if end > ramLimit {
		end = ramLimit
	}
	heap, end := keepModules(uint64(imageEnd()), end)
	ram := end
	if heapLimit != 0 && end-heap > heapLimit {
		end = heap + heapLimit
	}
	start.FreeStart, start.FreeEnd = end, ram
	end = initPaging(end, ram)

	goos.RamStart = uint(base)
	goos.RamSize = uint(end - base)
	goos.RamStackOffset = 0
	goos.Bloc = uintptr(heap)
	return end
}

func readStartInfo(p uint64) {
	if load32(p+siMagic) != startMagic {
		return
	}
	start.Address = p
	start.Version = load32(p + siVersion)
	start.Flags = load32(p + siFlags)
	start.Modules = load32(p + siNrModules)
	start.ModList = load64(p + siModlist)
	for i := range min(start.Modules, maxModules) {
		m := start.ModList + uint64(i)*modLen
		modules[i] = module{load64(m + modPaddr), load64(m + modSize)}
	}
	start.RSDP = load64(p + siRSDP)
	if c := load64(p + siCmdline); c != 0 {
		for cmdlineLen < len(cmdline)-1 {
			b := *(*byte)(unsafe.Pointer(uintptr(c) + uintptr(cmdlineLen)))
			if b == 0 {
				break
			}
			cmdline[cmdlineLen] = b
			cmdlineLen++
		}
	}
	if start.Version == 0 {
		return
	}
	m := load64(p + siMemmap)
	n := min(load32(p+siMemmapEntries), maxRegions)
	for i := uint32(0); i < n; i++ {
		regions[i] = *(*Region)(unsafe.Pointer(uintptr(m) + uintptr(i)*unsafe.Sizeof(Region{})))
	}
	start.Regions = regions[:n]
}

// findRAM returns the bounds of the memory region that holds the image's end.
// Without such a region it assumes 16 MiB, so that the failure can be reported.
func findRAM(image uint64) (base, end uint64) {
	for i := range start.Regions {
		r := &start.Regions[i]
		if r.Type == RAM && r.Start <= image && image < r.Start+r.Size {
			return max(r.Start, pageSize), (r.Start + r.Size) &^ (pageSize - 1)
		}
	}
	return pageSize, 16 << 20
}

// keepModules removes boot modules from the memory [heap, end): those near the
// image move heap up, those near the end move end down.
func keepModules(heap, end uint64) (uint64, uint64) {
	lo, hi := heap, end
	for i := uint64(0); i < uint64(start.Modules); i++ {
		m := start.ModList + i*modLen
		a := load64(m + modPaddr)
		b := a + load64(m+modSize)
		if b <= lo || a >= hi {
			continue
		}
		if a-lo < hi-b || a < lo {
			lo = b
		} else {
			hi = a &^ (pageSize - 1)
		}
	}
	return (lo + pageSize - 1) &^ (pageSize - 1), hi
}
