//go:build tamago

// Package xen is the board of a Xen PVH domain, of 64-bit x86. Importing it is
// enough; what the domain shares with others is reached by its functions.
//
//	console   Xen's console ring; before it is there, I/O port 0xe9 (xl dmesg)
//	exit      0 powers off, any other code is a crash (on_crash of xl.cfg)
//	clock     vcpu_time_info, with Xen's wall clock at start
//	timer     VIRQ_TIMER by the set_timer_op hypercall, one-shot
//	random    RDRAND, mixed with what Seed is given
//	events    by the callback vector 32, which needs no interrupt controller
//
// Frames that Xen or other domains share are put into a window of addresses
// without memory, see window.go.
package xen

import (
	"encoding/binary"
	"os/signal"
	"runtime/goos"
	"syscall"

	_ "unsafe" // for go:linkname

	"stubtpm/board/pvh"
	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/hvm"
)

const (
	upcallVector = 32
	// wakeSignal carries interrupts to the goroutine dispatch.
	wakeSignal = 5

	pageSize = 4096
)

// The machine, set up before package variables are initialized.
var machine struct {
	version uint32 // of Xen, major << 16 | minor
	domid   uint16
	window  uint64
	info    *abi.SharedInfo
	upcall  hvm.Upcall
}

//go:linkname early stubtpm/board/pvh.boardEarly
func early() {
	goos.Exit = exit
	goos.Idle = idle
	machine.version, machine.domid, _ = hvm.Detect()
	if machine.version == 0 {
		fatal("xen: there is no Xen below this machine\n")
	}
	machine.window = findWindow(pvh.Start().Regions)
	if machine.window == 0 {
		fatal("xen: no room below 4 GiB for shared frames\n")
	}
	if hvm.MapFrame(abi.MapSpaceSharedInfo, 0, machine.window+sharedInfoOffset) != nil {
		fatal("xen: Xen does not map the shared information page\n")
	}
	machine.info = hvm.SharedInfoAt(machine.window + sharedInfoOffset)
	// By this call Xen also learns that the domain uses the 64-bit layout of the
	// page, and writes the wall clock into it. Interrupts are still off.
	if hvm.SetUpcallVector(upcallVector) != nil {
		fatal("xen: Xen does not take the vector for events\n")
	}
	startClock(machine.info)
}

var e820 [64 * abi.E820EntrySize]byte

// memory asks Xen, if the boot loader has given no map.
//
//go:linkname memory stubtpm/board/pvh.boardMemory
func memory(m []pvh.Region) int {
	n := min(hvm.MemoryMap(e820[:]), len(m), len(e820)/abi.E820EntrySize)
	for i := range n {
		b := e820[i*abi.E820EntrySize:]
		m[i] = pvh.Region{Start: binary.LittleEndian.Uint64(b), Size: binary.LittleEndian.Uint64(b[8:]),
			Type: binary.LittleEndian.Uint32(b[16:])}
	}
	return n
}

// hwinit1 runs before the package's variables are initialized.
//
//go:linkname hwinit1 runtime/goos.Hwinit1
func hwinit1() {
	if pvh.Map(machine.window+sharedInfoOffset, 1, pvh.WriteBack) != nil {
		fatal("xen: the shared information page can not be mapped\n")
	}
	useClock(machine.info)
	startConsole()
	port, err := hvm.BindTimer()
	if err != nil || port >= abi.EventChannels {
		fatal("xen: no port for the timer\n")
	}
	machine.upcall.Init(machine.info, port)
	pvh.Handle(upcallVector, upcall)
	setSlice()
	pvh.EnableInterrupts()
}

// upcall is the handler of Xen's interrupt.
func upcall() {
	timer, others := machine.upcall.Handle()
	if others {
		signal.Relay(wakeSignal)
	}
	if timer {
		tick()
	} else if others {
		pvh.Preempt()
	}
}

// dispatch hands events to those who wait for them.
func dispatch(c chan sig) {
	for range c {
		events.Deliver()
	}
}

func init() {
	c := make(chan sig, 1)
	signal.Notify(c, syscall.Signal(wakeSignal))
	events = hvm.NewEvents(&machine.upcall)
	grants = hvm.NewGrants(DomID(), &tables, hvm.Places{
		Table: machine.window + grantTableOffset, TableFrames: maxGrantFrames,
		Foreign: machine.window + foreignOffset, ForeignSize: maxForeign,
	})
	go dispatch(c)
}

// exit ends the domain.
func exit(code int32) {
	drain()
	if code == 0 {
		hvm.Shutdown(abi.ShutdownPoweroff)
	}
	hvm.Shutdown(abi.ShutdownCrash)
	for {
		pvh.DisableInterrupts()
		pvh.Halt()
	}
}

// fatal ends the domain before the runtime can.
func fatal(s string) {
	for i := range len(s) {
		printk(s[i])
	}
	exit(pvh.CrashExit)
}
