//go:build tamago

package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// runScenario ends the domain in a certain way; the host checks the console and
// Xen's shutdown reason.
func runScenario(name string) {
	fmt.Println("scenario", name)
	switch name {
	case "exit0":
		os.Exit(0)
	case "exit7":
		os.Exit(7)
	case "panic":
		panic("deliberate")
	case "nil":
		var p *int
		*p = 1
	case "deadlock":
		<-make(chan int)
	case "flood":
		// More than the console ring holds; the last line must still arrive.
		for i := range 2000 {
			fmt.Println(i, strings.Repeat("x", 70))
		}
		fmt.Println("flood is over")
		time.Sleep(10 * time.Second) // dom0's console daemon drops its buffer when the domain ends
		os.Exit(0)
	}
	fmt.Println("FAIL no such scenario, or it did not end the domain:", name)
	os.Exit(3)
}
