//go:build tamago

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/cpu"

	"stubtpm/board/pvh"
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
	// Of many timers the order must be that of their times.
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

// testSlices lets a goroutine compute without yielding; others must have
// their turns.
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
		return fmt.Errorf("%d turns in 300 ms beside a computing goroutine", n)
	}
	return nil
}

func testWallClock() error {
	if y := time.Now().Year(); y < 2024 {
		return fmt.Errorf("the year is %d", y)
	}
	return nil
}

// testRelay raises a signal as an interrupt handler does and waits for it, while
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

// testWaitLate has interrupts come just as the processor is about to sleep: it must
// not. If it does, a time slice of 10 ms wakes it.
func testWaitLate() error {
	const n = 50
	before := pvh.SparedHalts()
	start := time.Now()
	for range n {
		pvh.WaitLate()
	}
	if took := time.Since(start); took > n*5*time.Millisecond {
		return fmt.Errorf("%d waits took %v", n, took)
	}
	if got := pvh.SparedHalts() - before; got < n {
		return fmt.Errorf("%d of %d found", got, n)
	}
	return nil
}

// testVector keeps a value in the upper half of a vector register for so long that
// interrupts come meanwhile.
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

func depth(n int, pad [64]int) int {
	if n == 0 {
		return pad[0]
	}
	pad[n%64] = n
	return depth(n-1, pad) + 1
}

func testDeepStack() error {
	const n = 2000 // about 1.3 MB of stack
	done := make(chan int)
	go func() { done <- depth(n, [64]int{}) }()
	if got := <-done; got < n {
		return fmt.Errorf("depth %d", got)
	}
	return nil
}

// catch returns what f panics with, and the stack at that time.
func catch(f func()) (value any, trace string) {
	defer func() {
		if value = recover(); value != nil {
			b := make([]byte, 4096)
			trace = string(b[:runtime.Stack(b, false)])
		}
	}()
	f()
	return nil, ""
}

func testPanic() error {
	value, trace := catch(func() { panic("deliberate") })
	if value != "deliberate" || !strings.Contains(trace, "main.testPanic") {
		return fmt.Errorf("%v\n%s", value, trace)
	}
	value, _ = catch(func() {
		var a []int
		_ = a[work(1)]
	})
	if e, ok := value.(runtime.Error); !ok || !strings.Contains(e.Error(), "index out of range") {
		return fmt.Errorf("index: %v", value)
	}
	return nil
}

type node struct {
	left, right *node
	value       int
	pad         [3]int
}

var (
	nilNode *node
	zero    int
)

func expectRuntimeError(want, function string, f func()) error {
	value, trace := catch(f)
	e, ok := value.(runtime.Error)
	if !ok || !strings.Contains(e.Error(), want) {
		return fmt.Errorf("got %v, want %s", value, want)
	}
	if !strings.Contains(trace, function) || !strings.Contains(trace, "runtime.go:") {
		return fmt.Errorf("trace lacks %s:\n%s", function, trace)
	}
	return nil
}

//go:noinline
func readNil() int { return nilNode.value }

//go:noinline
func writeNil() { nilNode.value = 1 }

//go:noinline
func divide() int { return 1 / zero }

func testNil() error {
	const want = "nil pointer dereference"
	if err := expectRuntimeError(want, "main.readNil", func() { readNil() }); err != nil {
		return err
	}
	if err := expectRuntimeError(want, "main.writeNil", writeNil); err != nil {
		return err
	}
	var f func()
	return expectRuntimeError(want, "main.testNil", func() { f() })
}

func testDivision() error {
	return expectRuntimeError("integer divide by zero", "main.divide", func() { divide() })
}

// testFaults takes many faults, in many goroutines, with garbage collection
// between.
func testFaults() error {
	errs := make(chan error, 50)
	for i := range 50 {
		go func() {
			for range 20 {
				if i%2 == 0 {
					if err := testNil(); err != nil {
						errs <- err
						return
					}
				} else if err := testDivision(); err != nil {
					errs <- err
					return
				}
				runtime.Gosched()
			}
			errs <- nil
		}()
	}
	runtime.GC()
	for range 50 {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// testSyscalls: what a program asks of the system that is not there fails with
// an error, not otherwise.
func testSyscalls() error {
	if _, err := os.Open("/etc/passwd"); err == nil {
		return errors.New("a file was opened")
	}
	if _, err := os.ReadDir("/"); err == nil {
		return errors.New("a directory was read")
	}
	if _, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{}); err == nil {
		return errors.New("a process was started")
	}
	if n := runtime.GOMAXPROCS(8); n != 1 || runtime.GOMAXPROCS(0) != 1 || runtime.NumCPU() != 1 {
		return fmt.Errorf("GOMAXPROCS was %d, is %d of %d", n, runtime.GOMAXPROCS(0), runtime.NumCPU())
	}
	if os.Getenv("PATH") != "" || len(os.Args) != 1 {
		return fmt.Errorf("environment or arguments: %q", os.Args)
	}
	return nil
}
