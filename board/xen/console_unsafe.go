//go:build tamago

package xen

import (
	"sync/atomic"
	"unsafe"

	"stubtpm/board/pvh"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/hvm"
)

const (
	debugPort = 0xe9
	// patience is how long a full console is waited for, in nanoseconds, before
	// output is dropped until there is room again. xenconsoled takes no
	// more than 30 events of a domain in 200 ms.
	patience = 1_000_000_000
)

// The console ring, used before package variables are initialized.
var console struct {
	page  *[pageSize]byte // nil until the ring is mapped
	port  uint32
	dirty bool // bytes that the other end was not told of
	stuck bool // it did not take any for as long as patience
}

// defined in port_amd64.s
func out8(port uint16, v uint8)

func startConsole() {
	addr := hvm.Param(abi.ParamConsolePFN) * pageSize
	if addr == 0 || pvh.Map(addr, 1, pvh.WriteBack) != nil {
		return
	}
	console.port = uint32(hvm.Param(abi.ParamConsoleEvtchn))
	console.page = (*[pageSize]byte)(unsafe.Pointer(uintptr(addr)))
}

//go:nosplit
func consoleWord(offset uintptr) *uint32 {
	return (*uint32)(unsafe.Add(unsafe.Pointer(console.page), offset))
}

//go:nosplit
//go:linkname printk runtime/goos.Printk
func printk(c byte) {
	if console.page == nil {
		out8(debugPort, c)
		return
	}
	prod := atomic.LoadUint32(consoleWord(abi.ConsoleOutProd))
	if consoleFull(prod) && !waitConsole(prod) {
		return
	}
	console.stuck = false
	*(*byte)(unsafe.Add(unsafe.Pointer(console.page), abi.ConsoleOut+prod%abi.ConsoleOutSize)) = c
	atomic.StoreUint32(consoleWord(abi.ConsoleOutProd), prod+1)
	console.dirty = true
	if c == '\n' {
		flush()
	}
}

//go:nosplit
func consoleFull(prod uint32) bool {
	return prod-atomic.LoadUint32(consoleWord(abi.ConsoleOutCons)) >= abi.ConsoleOutSize
}

// drain waits, for as long as patience, until the console has taken all: what a
// domain says last matters most.
func drain() {
	if console.page == nil || console.stuck {
		return
	}
	flush()
	prod := atomic.LoadUint32(consoleWord(abi.ConsoleOutProd))
	for end := systemTime() + patience; systemTime() < end; {
		machine.upcall.Clear(console.port)
		if atomic.LoadUint32(consoleWord(abi.ConsoleOutCons)) == prod {
			return
		}
		hvm.Poll(console.port, uint64(end))
	}
}

// waitConsole waits for room and reports whether there is some.
//
//go:nosplit
func waitConsole(prod uint32) bool {
	if console.stuck {
		return false
	}
	flush()
	for end := systemTime() + patience; systemTime() < end; {
		machine.upcall.Clear(console.port)
		if !consoleFull(prod) {
			return true
		}
		hvm.Poll(console.port, uint64(end))
	}
	console.stuck = consoleFull(prod)
	return !console.stuck
}

// flush tells the console's other end of what was written.
//
//go:nosplit
func flush() {
	if console.dirty {
		console.dirty = false
		hvm.SendRaw(console.port)
	}
}

func pageAt(addr uint64) *xen.Page { return xen.PageAt(unsafe.Pointer(uintptr(addr))) }
