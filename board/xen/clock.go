//go:build tamago

package xen

import (
	"math"
	"math/bits"
	"sync/atomic"

	_ "unsafe" // for go:linkname

	"stubtpm/board/cpu"
	"stubtpm/board/pvh"
	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/hvm"
)

// slice is the time slice of a goroutine in nanoseconds; the timer ticks only
// while the processor is busy.
const slice = 10_000_000

// clock holds the clock's state. Xen updates info; until its page is mapped
// permanently, info points to the copy boot.
var clock struct {
	boot   abi.VcpuTimeInfo
	info   *abi.VcpuTimeInfo
	offset int64 // of the wall clock, to Xen's system time
	start  int64 // time of early
	last   int64
	idle   bool
}

// startClock copies the clock of a page that will be unmapped with the boot page
// tables.
func startClock(s *abi.SharedInfo) {
	t := &s.Vcpu[0].Time
	for {
		v := atomic.LoadUint32(&t.Version)
		clock.boot = *t
		if v&1 == 0 && v == atomic.LoadUint32(&t.Version) {
			break
		}
	}
	clock.boot.Version = 0
	clock.info = &clock.boot
	for {
		v := atomic.LoadUint32(&s.WcVersion)
		sec := uint64(atomic.LoadUint32(&s.WcSecHi))<<32 | uint64(atomic.LoadUint32(&s.WcSec))
		clock.offset = int64(sec)*1e9 + int64(atomic.LoadUint32(&s.WcNsec))
		if v&1 == 0 && v == atomic.LoadUint32(&s.WcVersion) {
			break
		}
	}
	clock.start = nanotime()
}

// useClock makes the page the clock from now on.
func useClock(s *abi.SharedInfo) { clock.info = &s.Vcpu[0].Time }

// systemTime returns Xen's system time in nanoseconds (public/xen.h, struct
// vcpu_time_info).
//
//go:nosplit
func systemTime() int64 {
	t := clock.info
	if t == nil {
		return 0
	}
	for {
		v := atomic.LoadUint32(&t.Version)
		start, base, mul, shift := t.TscTimestamp, t.SystemTime, t.TscToSystemMul, t.TscShift
		ticks := cpu.TSC() - start
		if v&1 != 0 || v != atomic.LoadUint32(&t.Version) {
			continue
		}
		if int64(ticks) < 0 {
			ticks = 0
		}
		if shift >= 0 {
			ticks <<= uint8(shift)
		} else {
			ticks >>= uint8(-shift)
		}
		hi, lo := bits.Mul64(ticks, uint64(mul))
		return int64(base + hi<<32 + lo>>32)
	}
}

// nanotime never goes back, although a change of Xen's parameters may set system
// time back by a few nanoseconds.
//
//go:nosplit
//go:linkname nanotime runtime/goos.Nanotime
func nanotime() int64 {
	t := systemTime() + clock.offset
	if t < clock.last {
		return clock.last
	}
	clock.last = t
	return t
}

func setSlice() { hvm.SetTimer(uint64(systemTime()) + slice) }

// tick handles the timer's event. It preempts the running goroutine.
func tick() {
	if !clock.idle {
		pvh.Preempt()
		setSlice()
	}
}

// idle sleeps until an interrupt or the time until, in nanoseconds.
func idle(until int64) {
	flush()
	clock.idle = true
	if until == math.MaxInt64 {
		hvm.SetTimer(0)
		pvh.Wait()
	} else if until > nanotime() {
		hvm.SetTimer(uint64(until - clock.offset))
		pvh.Wait()
	}
	clock.idle = false
	setSlice()
}
