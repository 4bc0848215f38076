//go:build tamago

package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"stubtpm/board/pvh"
	board "stubtpm/board/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// A test returns a note on what it measured, which may be empty, and nil if it
// passed.
type test struct {
	name string
	run  func(d xenbus.Domain) (string, error)
}

func main() {
	args := parameters(board.CommandLine())
	major, minor := board.Version()
	fmt.Printf("boardtest: %s on Xen %d.%d, domain %d, heap of %d KiB, %s, %v after its first instruction\n", runtime.Version(), major, minor,
		board.DomID(), pvh.HeapSize()>>10, time.Now().UTC().Format(time.RFC3339), time.Since(board.Started()).Round(10*time.Microsecond))
	if name := args["scenario"]; name != "" {
		runScenario(name)
	}
	ring, err := board.StoreRing()
	if err != nil {
		fmt.Println("FAIL store ring:", err)
		os.Exit(1)
	}
	d := xenbus.Domain{Events: board.Events(), Grants: board.Grants(), Store: xenstore.NewClient(ring)}
	if _, ok := args["serve"]; ok {
		if err := serve(d); err != nil {
			fmt.Println("FAIL serve:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	tests := []test{
		{"store", testStore}, {"store, many at once", testStoreBusy}, {"watch", testWatch},
		{"clock", testClock}, {"sleep", testSleep}, {"time slices", testSlices},
		{"event to itself", testLoopback}, {"many ports", testPorts}, {"closed port", testClosed},
		{"many grants", testManyGrants}, {"bad grant", testBadGrant}, {"random", testRandom},
	}
	if _, ok := args["tis"]; ok {
		tests = append(tests, test{"TPM registers", testRegisters})
	}
	failed := 0
	if _, ok := args["peer"]; ok {
		p, err := findPeer(d)
		if err != nil {
			fmt.Println("FAIL peer:", err)
			failed++
		} else {
			tests = append(tests, peerTests(p)...)
		}
	}
	repeat, err := strconv.Atoi(cmp.Or(args["repeat"], "1"))
	if err != nil {
		fmt.Println("FAIL repeat:", err)
		failed++
	}
	only := strings.ReplaceAll(args["only"], "_", " ")
	tests = slices.DeleteFunc(tests, func(t test) bool { return !strings.Contains(t.name, only) })
	for range repeat {
		for _, t := range tests {
			if !run(t, d) {
				failed++
			}
		}
	}
	if s := args["idle"]; s != "" {
		wait, err := time.ParseDuration(s)
		if err != nil {
			fmt.Println("FAIL idle:", err)
			failed++
		}
		fmt.Println("boardtest: idle for", wait)
		time.Sleep(wait)
	}
	fmt.Printf("boardtest: %d tests, %d failed, %d interrupts injected twice, %d just before a sleep\n", len(tests), failed, pvh.InjectedTwice(), pvh.AvoidedHalts())
	os.Exit(min(failed, 1))
}

func run(t test, d xenbus.Domain) (passed bool) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Printf("FAIL %s: panic: %v\n", t.name, r)
		}
	}()
	start := time.Now()
	note, err := t.run(d)
	if err != nil {
		fmt.Printf("FAIL %s: %v\n", t.name, err)
		return false
	}
	fmt.Printf("PASS %s (%v) %s\n", t.name, time.Since(start).Round(10*time.Microsecond), note)
	return true
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
