//go:build tamago

package xen

import (
	"math"
	"os/signal"

	"stubtpm/drivers/xen/hvm"
)

// polled makes this board use no interrupts and no timer: events are noticed only while
// all goroutines wait, and no goroutine is preempted. Xen does not take back a PVH
// domain's vector for events, so a program that another one follows must not set it.
// Such a program defines it as true:
//
//	//go:linkname polled stubtpm/board/xen.polled
//	var polled = true
var polled bool

// polledPorts is where poll collects ports; Xen takes at most 128.
var polledPorts [128]uint32

// poll is goos.Idle of a program that is polled.
func poll(until int64) {
	flush()
	var at uint64
	if until != math.MaxInt64 {
		if until <= nanotime() {
			return
		}
		at = uint64(until - clock.offset)
	}
	n := machine.upcall.Unmasked(polledPorts[:])
	hvm.PollAny(polledPorts[:n], at)
	if _, others := machine.upcall.Handle(); others {
		signal.Relay(wakeSignal)
	}
}
