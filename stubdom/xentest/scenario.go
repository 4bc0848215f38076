//go:build tamago

package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// runScenario ends the domain in a certain way; the host looks at the console
// and at what Xen says of the end.
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
		// More than the console takes at once; the last line must still come.
		for i := range 2000 {
			fmt.Println(i, strings.Repeat("x", 70))
		}
		fmt.Println("flood is over")
		time.Sleep(10 * time.Second) // dom0's side buffers, and forgets at the domain's end
		os.Exit(0)
	}
	fmt.Println("FAIL no such scenario, or it went on:", name)
	os.Exit(3)
}
