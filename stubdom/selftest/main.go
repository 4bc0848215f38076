//go:build tamago

// Selftest is a unikernel that proves the port of the runtime.
package main

import (
	"fmt"
	"os"
	"time"

	"stubtpm/board/pvh"
	_ "stubtpm/board/qemu"
)

func try(name string, f func()) {
	defer func() { fmt.Println(name, recover()) }()
	f()
}

var zero int
var np *struct{ a, b int }

func main() {
	fmt.Println("hello from bare metal", time.Now(), pvh.CommandLine(), pvh.HeapSize())
	try("div", func() { fmt.Println(1 / zero) })
	try("nil", func() { fmt.Println(np.b) })
	try("nilcall", func() { var f func(); f() })
	t0 := time.Now()
	time.Sleep(100 * time.Millisecond)
	fmt.Println(time.Since(t0))
	time.Sleep(1 * time.Second)
	fmt.Println(time.Since(t0))
	go func() {
		for i := 0; i < 3; i++ {
			time.Sleep(100 * time.Millisecond)
			fmt.Println("tick", i)
		}
	}()
	x := 0
	for time.Since(t0) < 2*time.Second {
		x++
	}
	fmt.Println("busy done")
	os.Exit(0)
}
