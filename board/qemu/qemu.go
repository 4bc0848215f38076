//go:build tamago

// Package qemu is the board for QEMU's machines microvm and q35, started by the
// PVH note (-kernel image.elf). It serves unikernels that need no Xen: tests, and
// a first look. Importing it is enough.
//
//	console   COM1, I/O port 0x3f8
//	exit      isa-debug-exit at I/O port 0xf4: QEMU ends with status 2*code+1
//	clock     time stamp counter; the date from the CMOS clock, if there is one
//	timer     local APIC, one-shot
//	random    RDRAND; without it, for tests only, the jitter of the TSC
//
// The machine needs: -device isa-debug-exit,iobase=0xf4,iosize=4 -serial stdio,
// and for microvm rtc=on. Frequencies hold for QEMU: its local APIC's timer counts
// nanoseconds.
package qemu

import (
	"math"
	"runtime/goos"

	_ "unsafe" // for go:linkname

	"github.com/usbarmory/tamago/amd64/lapic"
	"github.com/usbarmory/tamago/soc/intel/rtc"

	"stubtpm/board/pvh"
)

const (
	exitPort = 0xf4

	lapicBase   = 0xfee00000
	timerVector = 32
	// slice is how long a goroutine may run before others get a turn, in
	// nanoseconds; the timer ticks only while the processor is busy.
	slice = 10_000_000
	// longest is the longest time the timer is set for.
	longest = 4_000_000_000

	pic1Mask = 0x21
	pic2Mask = 0xa1
)

var (
	apic   = lapic.LAPIC{Base: lapicBase}
	idling bool
)

//go:linkname early stubtpm/board/pvh.boardEarly
func early() {
	goos.Exit = exit
	goos.Idle = idle
	out8(pic1Mask, 0xff)
	out8(pic2Mask, 0xff)
	apic.Enable()
	calibrate()
}

// memory is not asked: QEMU passes a memory map.
//
//go:linkname memory stubtpm/board/pvh.boardMemory
func memory(m []pvh.Region) int { return 0 }

//go:linkname hwinit1 runtime/goos.Hwinit1
func hwinit1() {
	if err := pvh.Map(lapicBase, 1, pvh.Uncacheable); err != nil {
		panic(err)
	}
	if now, err := (&rtc.RTC{}).Now(); err == nil && now.Year() > 2000 {
		setWallClock(now.UnixNano())
	}
	pvh.Handle(timerVector, tick)
	apic.SetTimer(timerVector, lapic.TIMER_MODE_ONE_SHOT)
	setTimer(slice)
	pvh.EnableInterrupts()
}

// tick handles the timer's interrupt. While a goroutine runs, it gives the
// others a turn.
func tick() {
	apic.ClearInterrupt()
	if !idling {
		pvh.Preempt()
		setTimer(slice)
	}
}

// idle sleeps until an interrupt or the given time.
func idle(until int64) {
	idling = true
	if until == math.MaxInt64 {
		setTimer(0)
		pvh.Wait()
	} else if d := until - nanotime(); d > 0 {
		setTimer(uint32(min(d, longest)))
		pvh.Wait()
	}
	idling = false
	setTimer(slice)
}

// exit ends QEMU; without the exit device the machine stands still.
func exit(code int32) {
	out32(exitPort, uint32(code))
	for {
		pvh.DisableInterrupts()
		pvh.Halt()
	}
}
