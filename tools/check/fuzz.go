package main

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// fuzz runs every fuzz target of the module for the given time, one after the
// other.
func fuzz(each time.Duration, stdout io.Writer) (r result, err error) {
	out, err := exec.Command("go", "test", "-list", "^Fuzz", "./...").CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("go test -list: %w\n%s", err, out)
	}
	var targets []string
	for _, l := range strings.Split(string(out), "\n") {
		if strings.HasPrefix(l, "Fuzz") {
			targets = append(targets, l)
			continue
		}
		// "ok  package  time" follows the targets of that package.
		if f := strings.Fields(l); len(f) > 1 && f[0] == "ok" {
			for _, t := range targets {
				r.add(fuzzOne(f[1], t, each, stdout))
			}
			targets = nil
		}
	}
	if r == (result{}) {
		return r, fmt.Errorf("no fuzz target found")
	}
	return r, nil
}

func fuzzOne(pkg, target string, each time.Duration, stdout io.Writer) result {
	fmt.Fprintf(stdout, "fuzz %s %s for %v\n", pkg, target, each)
	// Keys are random, so what an input covers is not quite the same each time:
	// without a limit the time goes into making inputs smaller.
	c := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+target+"$", "-fuzztime", each.String(), "-fuzzminimizetime", "20x", pkg)
	var b bytes.Buffer
	c.Stdout, c.Stderr = &b, &b
	if err := c.Run(); err != nil {
		fmt.Fprintf(stdout, "FAIL %s %s: %v\n%s", pkg, target, err, b.String())
		return result{failed: 1}
	}
	return result{passed: 1}
}
