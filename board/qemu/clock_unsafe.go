//go:build tamago

package qemu

import (
	"math/bits"
	"unsafe"
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

// The clock: nanoseconds are base + (TSC - start) * rate / 2^32.
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
	*apicRegister(lapicTimerInitial) = math32
	first := *apicRegister(lapicTimerCurrent)
	clock.start = rdtsc()
	for first-*apicRegister(lapicTimerCurrent) < span {
	}
	n := first - *apicRegister(lapicTimerCurrent)
	ticks := rdtsc() - clock.start
	*apicRegister(lapicTimerInitial) = 0
	// n nanoseconds took so many ticks.
	clock.rate, _ = bits.Div64(0, uint64(n)<<32, max(ticks, 1))
}

const math32 = 1<<32 - 1

// setWallClock makes now the time, in nanoseconds since 1970.
func setWallClock(now int64) {
	clock.base = now
	clock.start = rdtsc()
}

// setTimer lets the timer interrupt once, in ns nanoseconds; 0 stops it.
func setTimer(ns uint32) {
	*apicRegister(lapicTimerInitial) = ns
}

//go:nosplit
//go:linkname nanotime runtime/goos.Nanotime
func nanotime() int64 {
	hi, lo := bits.Mul64(rdtsc()-clock.start, clock.rate)
	return clock.base + int64(hi<<32|lo>>32)
}
