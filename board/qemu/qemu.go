//go:build tamago

package qemu

import (
	"math"
	"runtime/goos"

	_ "unsafe" // for go:linkname

	"github.com/usbarmory/tamago/amd64/lapic"
	"github.com/usbarmory/tamago/soc/intel/rtc"

	"stubtpm/board/cpu"
	"stubtpm/board/pvh"
)

const (
	exitPort = 0xf4

	lapicBase   = 0xfee00000
	timerVector = 32
	// slice is the time slice of a goroutine in nanoseconds; the timer ticks only
	// while the processor is busy.
	slice = 10_000_000
	// maxTimer is the longest time in nanoseconds that the timer is set to.
	maxTimer = 4_000_000_000

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
	cpu.Out8(pic1Mask, 0xff)
	cpu.Out8(pic2Mask, 0xff)
	apic.Enable()
	calibrate()
}

// memory returns no regions: QEMU passes a memory map.
//
//go:linkname memory stubtpm/board/pvh.boardMemory
func memory([]pvh.Region) int { return 0 }

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

// tick handles the timer's interrupt. It preempts the running goroutine.
func tick() {
	apic.ClearInterrupt()
	if !idling {
		pvh.Preempt()
		setTimer(slice)
	}
}

// idle sleeps until an interrupt or the time until, in nanoseconds.
func idle(until int64) {
	idling = true
	if until == math.MaxInt64 {
		setTimer(0)
		pvh.Wait()
	} else if d := until - nanotime(); d > 0 {
		setTimer(uint32(min(d, maxTimer)))
		pvh.Wait()
	}
	idling = false
	setTimer(slice)
}

// exit ends QEMU; without the exit device it halts the processor.
func exit(code int32) {
	cpu.Out32(exitPort, uint32(code))
	for {
		pvh.DisableInterrupts()
		pvh.Halt()
	}
}
