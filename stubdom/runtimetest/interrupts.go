//go:build tamago

package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/cpu"

	"stubtpm/board/pvh"
)

// testRelay relays a signal as an interrupt handler does, and waits for it, while
// the processor is idle and while it is busy.
func testRelay() error {
	const sig = syscall.SIGUSR1
	c := make(chan os.Signal, 1)
	signal.Notify(c, sig)
	defer signal.Stop(c)
	for _, busy := range []bool{false, true} {
		var stop atomic.Bool
		if busy {
			go func() {
				for !stop.Load() {
				}
			}()
		}
		for range 20 {
			time.AfterFunc(time.Millisecond, func() { signal.Relay(int(sig)) })
			select {
			case <-c:
			case <-time.After(2 * time.Second):
				stop.Store(true)
				return fmt.Errorf("no signal in 2 s (busy: %v)", busy)
			}
		}
		stop.Store(true)
	}
	return nil
}

// testWaitLate raises interrupts just before the processor halts: it must not halt
// then. If it does, only the end of the time slice, after 10 ms, wakes it.
func testWaitLate() error {
	const n = 50
	before := pvh.AvoidedHalts()
	start := time.Now()
	for range n {
		pvh.WaitLate()
	}
	if took := time.Since(start); took > n*5*time.Millisecond {
		return fmt.Errorf("%d waits took %v", n, took)
	}
	if got := pvh.AvoidedHalts() - before; got < n {
		return fmt.Errorf("%d of %d halts were avoided", got, n)
	}
	return nil
}

// testVector keeps a value in the upper half of a vector register while interrupts
// arrive.
func testVector() error {
	if !cpu.X86.HasAVX2 {
		fmt.Println("     not tested: the processor has no AVX2")
		return nil
	}
	const want = uint64(0x0123456789abcdef)
	for start := time.Now(); time.Since(start) < 100*time.Millisecond; {
		if got := spinYMM(20_000_000); got != want {
			return fmt.Errorf("%#x became %#x", want, got)
		}
	}
	return nil
}
