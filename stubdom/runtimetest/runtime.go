//go:build tamago

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

func runtimeTests(gc time.Duration) []test {
	return []test{
		{"goroutines", testGoroutines},
		{"channels and select", testSelect},
		{"mutexes and conditions", testSync},
		{"timers", testTimers},
		{"time slices", testSlices},
		{"wall clock", testWallClock},
		{"interrupt to goroutine", testRelay},
		{"interrupt before the sleep", testWaitLate},
		{"vector registers", testVector},
		{"deep stacks", testDeepStack},
		{"panic and recover", testPanic},
		{"nil dereference", testNil},
		{"division by zero", testDivision},
		{"faults in goroutines", testFaults},
		{"system calls", testSyscalls},
		{"big allocations", testBigAllocations},
		{"garbage collection", func() error { return testGC(gc) }},
	}
}

func testGoroutines() error {
	const n = 1000
	var sum atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			runtime.Gosched()
			sum.Add(int64(i))
		})
	}
	wg.Wait()
	if got := sum.Load(); got != n*(n-1)/2 {
		return fmt.Errorf("sum is %d", got)
	}
	return nil
}

func testSelect() error {
	a, b, done := make(chan int), make(chan int, 3), make(chan struct{})
	go func() {
		defer close(done)
		for i := range 100 {
			select {
			case a <- i:
			case b <- i:
			}
		}
	}()
	sum, n := 0, 0
	for n < 100 {
		select {
		case v := <-a:
			sum += v
		case v := <-b:
			sum += v
		case <-time.After(5 * time.Second):
			return errors.New("no value for 5 s")
		}
		n++
	}
	<-done
	if sum != 4950 {
		return fmt.Errorf("sum is %d", sum)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(time.Second):
		return errors.New("context did not end")
	}
}

func testSync() error {
	var mu sync.Mutex
	cond := sync.NewCond(&mu)
	turn, rounds := 0, 0
	var wg sync.WaitGroup
	for me := range 2 {
		wg.Go(func() {
			for range 1000 {
				mu.Lock()
				for turn != me {
					cond.Wait()
				}
				turn = 1 - me
				rounds++
				cond.Signal()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if rounds != 2000 {
		return fmt.Errorf("%d rounds", rounds)
	}
	return nil
}

// testTimers allows for an emulator on a busy host: late, but never early.
func testTimers() error {
	for _, d := range []time.Duration{time.Microsecond, time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond} {
		start := time.Now()
		time.Sleep(d)
		if took := time.Since(start); took < d || took > d+200*time.Millisecond {
			return fmt.Errorf("sleep of %v took %v", d, took)
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	start := time.Now()
	for range 10 {
		<-tick.C
	}
	if took := time.Since(start); took < 45*time.Millisecond || took > 500*time.Millisecond {
		return fmt.Errorf("10 ticks of 5 ms took %v", took)
	}
	// Timers must fire in the order of their times.
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	for i := 20; i > 0; i-- {
		wg.Add(1)
		time.AfterFunc(time.Duration(i)*4*time.Millisecond, func() {
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			wg.Done()
		})
	}
	wg.Wait()
	stopped := time.AfterFunc(time.Hour, func() {})
	if !stopped.Stop() {
		return errors.New("a stopped timer had fired")
	}
	inversions := 0
	for i := 1; i < len(order); i++ {
		if order[i] < order[i-1] {
			inversions++
		}
	}
	if inversions > 4 { // several may be due at once on a busy host
		return fmt.Errorf("order of timers: %v", order)
	}
	return nil
}

//go:noinline
func work(x int) int { return x*31 + 1 }

// testSlices computes without yielding: other goroutines must still run.
func testSlices() error {
	var ticks atomic.Int32
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				ticks.Add(1)
			}
		}
	}()
	start := time.Now()
	x := 0
	for time.Since(start) < 300*time.Millisecond {
		for range 1_000_000 { // a loop without a call
			x = x*31 + 1
		}
	}
	_ = work(x)
	close(stop)
	if n := ticks.Load(); n < 5 {
		return fmt.Errorf("another goroutine ran %d times in 300 ms", n)
	}
	return nil
}

func testWallClock() error {
	if y := time.Now().Year(); y < 2024 {
		return fmt.Errorf("the year is %d", y)
	}
	return nil
}
