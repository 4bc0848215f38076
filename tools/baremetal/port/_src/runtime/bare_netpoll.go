// Bare metal: the network poller is the place where the scheduler waits, here
// for interrupts, and where interrupts become signals.

package runtime

import (
	"internal/runtime/atomic"
	"runtime/goos"
	"unsafe"
)

// relayed is the set of signals raised by os/signal.Relay and not yet
// delivered, a bit each. Interrupt handlers set it by os/signal.Relay.
//
//go:linkname relayed
var relayed uint64

// relay parks the one goroutine that is in signal_recv. os/signal.Waiting reads
// the first field.
//
//go:linkname relay
var relay struct {
	waiting guintptr
	woken   bool
}

func netpollinit()                            {}
func netpollIsPollDescriptor(fd uintptr) bool { return false }
func netpollclose(fd uintptr) uintptr         { return errNOSYS }
func netpollBreak()                           {}

func netpollopen(fd uintptr, pd *pollDesc) uintptr { return errNOSYS }

func netpollarm(pd *pollDesc, mode int) {
	throw("runtime: unused")
}

// netpoll delivers relayed signals and returns the goroutine thereby made
// ready. delay < 0 waits for an interrupt, 0 does not wait, > 0 waits at most
// so many nanoseconds.
func netpoll(delay int64) (gList, int32) {
	if delay != 0 && atomic.Load64(&relayed) == 0 {
		until := int64(maxWhen)
		if delay > 0 {
			until = nanotime() + delay
		}
		if idle := goos.Idle; idle != nil {
			idle(until)
		}
	}
	return relayDeliver(), 0
}

func relayDeliver() gList {
	var ready gList
	if atomic.Load64(&relayed) == 0 {
		return ready
	}
	bits := atomic.Xchg64(&relayed, 0)
	for s := uint32(1); s < 64; s++ {
		if bits&(1<<s) != 0 {
			sigsend(s)
		}
	}
	if relay.woken {
		if gp := relay.waiting.ptr(); gp != nil {
			relay.waiting = 0
			ready.push(gp)
		}
	}
	return ready
}

// relayPoll is called by the scheduler before it looks at its run queues, so
// that an interrupt is served before goroutines that were ready already.
func relayPoll() {
	if atomic.Load64(&relayed) == 0 {
		return
	}
	list := relayDeliver()
	injectglist(&list)
}

// relayWake and relaySleep stand for the note of sigqueue.go. No lock: there is
// one thread, and neither is called by an interrupt handler.
func relayWake() {
	relay.woken = true
}

func relaySleep() {
	if !relay.woken {
		gopark(relayPark, nil, waitReasonZero, traceBlockGeneric, 1)
	}
	relay.woken = false
}

func relayPark(gp *g, _ unsafe.Pointer) bool {
	if relay.woken {
		return false
	}
	relay.waiting.set(gp)
	return true
}
