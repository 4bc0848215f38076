//go:build tamago

package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"
)

// scenarios end the unikernel; the host checks the console and the exit code.
var scenarios = map[string]func(){
	"exit0":     func() { os.Exit(0) },
	"exit7":     func() { os.Exit(7) },
	"return":    func() {},
	"panic":     func() { panic("deliberate") },
	"nil":       func() { writeNil() },
	"goroutine": func() { go panic("in a goroutine"); time.Sleep(time.Second) },
	"oom":       exhaust,
	"deadlock":  func() { <-make(chan int) },
	"overflow":  func() { fmt.Println(endless(0)) },
	"text":      writeText,
	"execute":   executeData,
	"ud2":       undefined,
	"idle":      func() { time.Sleep(5 * time.Second) },
	"system":    systemFault,
	"guard":     systemOverflow,
}

func runScenario(name string) {
	f, ok := scenarios[name]
	if !ok {
		fmt.Println("runtimetest: no such scenario:", name)
		os.Exit(3)
	}
	fmt.Println("scenario", name)
	f()
	os.Exit(0)
}

var kept [][]byte

func exhaust() {
	for {
		b := make([]byte, 1<<20)
		kept = append(kept, b)
	}
}

func endless(n int) int { return endless(n+1) + 1 }

// writeText writes to a function's code, which must fault.
func writeText() {
	f := endless
	code := **(**uintptr)(unsafe.Pointer(&f))
	*(*byte)(unsafe.Pointer(code)) = 0x90
	fmt.Println("the text was written")
}

// executeData calls code in the heap, which must fault.
func executeData() {
	b := make([]byte, 64)
	for i := range b {
		b[i] = 0xc3 // RET
	}
	p := &b[0]
	f := &p
	(*(*func())(unsafe.Pointer(&f)))()
	fmt.Println("data was executed")
	runtime.KeepAlive(b)
}
