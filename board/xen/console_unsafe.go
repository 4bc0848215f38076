//go:build tamago

package xen

import (
	"sync/atomic"
	"unsafe"

	"stubtpm/board/cpu"
	"stubtpm/board/pvh"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/hvm"
)

const (
	debugPort = 0xe9
	// fullTimeout is how long printk waits for room in the console, in
	// nanoseconds, before it drops output until there is room again.
	// xenconsoled takes at most 30 events of a domain in 200 ms.
	fullTimeout = 1_000_000_000
)

// console is the console ring. It is used before package variables are initialized.
var console struct {
	page  *[pageSize]byte // nil until the ring is mapped
	port  uint32
	dirty bool // bytes were written since the last event
	stuck bool // there was no room for fullTimeout
}

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
		cpu.Out8(debugPort, c)
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

// drain waits for at most fullTimeout until the console has taken all output: a
// domain's last lines matter most.
func drain() {
	if console.page == nil || console.stuck {
		return
	}
	flush()
	prod := atomic.LoadUint32(consoleWord(abi.ConsoleOutProd))
	for end := systemTime() + fullTimeout; systemTime() < end; {
		machine.upcall.Clear(console.port)
		if atomic.LoadUint32(consoleWord(abi.ConsoleOutCons)) == prod {
			return
		}
		hvm.Poll(console.port, uint64(end))
	}
}

// waitConsole waits for room, and reports whether there is some.
//
//go:nosplit
func waitConsole(prod uint32) bool {
	if console.stuck {
		return false
	}
	flush()
	for end := systemTime() + fullTimeout; systemTime() < end; {
		machine.upcall.Clear(console.port)
		if !consoleFull(prod) {
			return true
		}
		hvm.Poll(console.port, uint64(end))
	}
	console.stuck = consoleFull(prod)
	return !console.stuck
}

// flush sends the console daemon an event if there is new output.
//
//go:nosplit
func flush() {
	if console.dirty {
		console.dirty = false
		hvm.SendRaw(console.port)
	}
}

func pageAt(addr uint64) *xen.Page { return xen.PageAt(unsafe.Pointer(uintptr(addr))) }
