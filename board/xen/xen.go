//go:build tamago

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
	// wakeSignal is relayed by interrupts to the goroutine dispatch.
	wakeSignal = 5

	pageSize = 4096
)

// machine is set up before package variables are initialized.
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
		fatal("xen: this machine does not run on Xen\n")
	}
	machine.window = findWindow(pvh.Start().Regions)
	if machine.window == 0 {
		fatal("xen: no room below 4 GiB for shared frames\n")
	}
	if hvm.MapFrame(abi.MapSpaceSharedInfo, 0, machine.window+sharedInfoOffset) != nil {
		fatal("xen: Xen refused to map the shared info page\n")
	}
	machine.info = hvm.SharedInfoAt(machine.window + sharedInfoOffset)
	// This call also makes Xen use the 64-bit layout of the page, and write the
	// wall clock into it. Interrupts are still off.
	err := hvm.ClearUpcallVector()
	if !polled {
		err = hvm.SetUpcallVector(upcallVector)
	}
	if err != nil {
		fatal("xen: Xen refused the vector for events\n")
	}
	startClock(machine.info)
}

var e820 [64 * abi.E820EntrySize]byte

// memory asks Xen for the memory map. boot calls it if there was none in
// hvm_start_info.
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
		fatal("xen: the shared info page cannot be mapped\n")
	}
	useClock(machine.info)
	startConsole()
	if polled {
		machine.upcall.Init(machine.info, 0)
		goos.Idle = poll
		return
	}
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

// dispatch delivers events to the channels that wait for them.
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

// exit ends the domain: see the package comment for the codes.
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

// fatal prints a message and ends the domain. It does not need the runtime.
func fatal(s string) {
	for i := range len(s) {
		printk(s[i])
	}
	exit(pvh.CrashExit)
}
