//go:build tamago

package xen

import (
	"math"
	"math/bits"
	"sync/atomic"

	_ "unsafe" // for go:linkname

	"stubtpm/board/pvh"
	"stubtpm/drivers/xen/abi"
	"stubtpm/drivers/xen/hvm"
)

// slice is how long a goroutine may run before others get a turn, in
// nanoseconds; the timer ticks only while the processor is busy.
const slice = 10_000_000

// The clock. Xen keeps info up to date; until its page is mapped for good, boot
// is a copy.
var clock struct {
	boot   abi.VcpuTimeInfo
	info   *abi.VcpuTimeInfo
	offset int64 // of the wall clock, to Xen's system time
	start  int64 // when boot called this board
	last   int64
	idle   bool
}

// defined in port_amd64.s
func rdtsc() uint64

// startClock reads the clock while boot runs.
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

// useClock takes the page as the clock from now on.
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
		ticks := rdtsc() - start
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

// nanotime never goes back: Xen's parameters may by a few nanoseconds when they
// change.
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

// tick handles the timer's event. While a goroutine runs, it gives the others
// a turn.
func tick() {
	if !clock.idle {
		pvh.Preempt()
		setSlice()
	}
}

// idle sleeps until an interrupt or the given time.
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
