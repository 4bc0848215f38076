//go:build tamago

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
)

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
	if !strings.Contains(trace, function) || !strings.Contains(trace, "faults.go:") {
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

// testFaults causes faults in many goroutines, with a garbage collection between
// them.
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

// testSyscalls: requests to the operating system, which is not there, return an
// error.
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
