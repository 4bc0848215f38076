// Command check runs the project's tests stage by stage and counts them.
//
// Synopsis:
//
//	check [-list] [-fuzz time] [stage ...]
//
// Description:
//
// Without arguments every stage runs, in order, also after one that failed.
// Each test of `go test` counts (not its sub-tests), any other command counts
// as one. Skipped tests are listed with their reason. Output of each stage goes
// to build/check/STAGE.log; what failed is printed. The last line reads
//
//	N passed, N failed
//
// The exit code is 0 if nothing failed, 1 if something did, 2 for wrong usage.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("check", flag.ContinueOnError)
	f.SetOutput(stderr)
	list := f.Bool("list", false, "list the stages")
	fuzzTime := f.Duration("fuzz", 0, "instead of the stages, run each fuzz target for so long")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if *fuzzTime > 0 {
		r, err := fuzz(*fuzzTime, stdout)
		if err != nil {
			fmt.Fprintf(stderr, "check: %v\n", err)
			return 1
		}
		return r.close(stdout)
	}
	if *list {
		for _, s := range stages {
			fmt.Fprintf(stdout, "%-12s %s\n", s.name, s.help)
		}
		return 0
	}
	chosen := stages[:]
	if f.NArg() > 0 {
		chosen = nil
		for _, name := range f.Args() {
			s := find(name)
			if s == nil {
				fmt.Fprintf(stderr, "check: no stage %q; -list shows them\n", name)
				return 2
			}
			chosen = append(chosen, *s)
		}
	}
	if err := os.MkdirAll("build/check", 0o755); err != nil {
		fmt.Fprintf(stderr, "check: %v\n", err)
		return 1
	}
	var total result
	for _, s := range chosen {
		fmt.Fprintf(stdout, "==== %s: %s\n", s.name, s.help)
		start := time.Now()
		r := s.run(stdout)
		fmt.Fprintf(stdout, "==== %s: %d passed, %d failed, %d skipped, %.0f s\n", s.name, r.passed, r.failed, r.skipped, time.Since(start).Seconds())
		total.add(r)
	}
	return total.close(stdout)
}

// close prints the last line and returns the exit code.
func (r result) close(stdout io.Writer) int {
	fmt.Fprintf(stdout, "%d passed, %d failed\n", r.passed, r.failed)
	if r.failed > 0 {
		return 1
	}
	return 0
}

func find(name string) *stage {
	for i := range stages {
		if stages[i].name == name {
			return &stages[i]
		}
	}
	return nil
}
