//go:build tamago

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"stubtpm/board/pvh"
	_ "stubtpm/board/qemu"
)

// A test returns nil if it passed.
type test struct {
	name string
	run  func() error
}

func main() {
	args := parameters(pvh.CommandLine())
	if name := args["scenario"]; name != "" {
		runScenario(name)
	}
	gc := 2 * time.Second
	if s := args["gc"]; s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			fmt.Println("runtimetest: gc:", err)
			os.Exit(3)
		}
		gc = d
	}
	fmt.Printf("runtimetest: %s, %s, heap of %d KiB\n", runtime.Version(), runtime.CPU(), pvh.HeapSize()>>10)
	failed := 0
	tests := append(runtimeTests(gc), cryptoTests...)
	for _, t := range tests {
		start := time.Now()
		err := run(t)
		took := time.Since(start).Round(10 * time.Microsecond)
		if err != nil {
			failed++
			fmt.Printf("FAIL %s (%v): %v\n", t.name, took, err)
			continue
		}
		fmt.Printf("ok   %s (%v)\n", t.name, took)
	}
	fmt.Printf("runtimetest: %d tests, %d failed\n", len(tests), failed)
	if failed > 0 {
		os.Exit(1)
	}
	os.Exit(0)
}

func run(t test) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return t.run()
}

// parameters splits a command line into its kernel parameters, key=value.
func parameters(line string) map[string]string {
	m := make(map[string]string)
	for _, w := range strings.Fields(line) {
		key, value, _ := strings.Cut(w, "=")
		m[key] = value
	}
	return m
}
