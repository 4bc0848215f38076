//go:build tamago

package qemu

import (
	"math"
	"math/bits"
	"unsafe"

	"stubtpm/board/cpu"
)

// Registers of the local APIC's timer (Intel SDM volume 3, table 11-1) that the
// library does not name.
const (
	lapicTimerVector  = 0x320
	lapicTimerInitial = 0x380
	lapicTimerCurrent = 0x390
	lapicTimerDivide  = 0x3e0

	lvtMasked   = 1 << 16
	divideByOne = 0b1011
)

// clock holds the clock's parameters: the time is base + (TSC - start) * rate / 2^32
// nanoseconds.
var clock struct {
	base  int64
	start uint64
	rate  uint64
}

func apicRegister(offset uintptr) *uint32 {
	return (*uint32)(unsafe.Pointer(lapicBase + offset))
}

// calibrate measures the time stamp counter for 10 ms of the APIC's timer,
// which counts nanoseconds in QEMU.
func calibrate() {
	const span = 10_000_000
	*apicRegister(lapicTimerDivide) = divideByOne
	*apicRegister(lapicTimerVector) = lvtMasked
	*apicRegister(lapicTimerInitial) = math.MaxUint32
	first := *apicRegister(lapicTimerCurrent)
	clock.start = cpu.TSC()
	for first-*apicRegister(lapicTimerCurrent) < span {
	}
	n := first - *apicRegister(lapicTimerCurrent)
	ticks := cpu.TSC() - clock.start
	*apicRegister(lapicTimerInitial) = 0
	// n nanoseconds took ticks of the TSC.
	clock.rate, _ = bits.Div64(0, uint64(n)<<32, max(ticks, 1))
}

// setWallClock sets the time, in nanoseconds since 1970.
func setWallClock(now int64) {
	clock.base = now
	clock.start = cpu.TSC()
}

// setTimer sets the timer to interrupt once, in ns nanoseconds; 0 stops it.
func setTimer(ns uint32) {
	*apicRegister(lapicTimerInitial) = ns
}

//go:nosplit
//go:linkname nanotime runtime/goos.Nanotime
func nanotime() int64 {
	hi, lo := bits.Mul64(cpu.TSC()-clock.start, clock.rate)
	return clock.base + int64(hi<<32|lo>>32)
}
