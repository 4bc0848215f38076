package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
)

// recorded is a suite that ran.
type recorded struct {
	suite
	*result
}

// write writes the file from which tools/confdoc makes its tables: a line for
// each suite with its version and counts, one for each test that did not pass,
// one for each command with the suites in which it succeeded.
func write(file string, done []recorded) error {
	var b bytes.Buffer
	b.WriteString("# Written by tools/conformance -record.\n")
	suitesOf := map[uint32][]string{}
	for _, d := range done {
		fmt.Fprintf(&b, "suite\t%s\t%s", d.name, d.result.version)
		for _, t := range [...]tally{d.tests, d.subs} {
			fmt.Fprintf(&b, "\t%d\t%d\t%d\t%d", t.passed, t.failed, t.skipped, t.known)
		}
		b.WriteString("\n")
		for c := range d.commands {
			suitesOf[c] = append(suitesOf[c], d.name)
		}
	}
	for _, d := range done {
		for _, f := range slices.Sorted(maps.Keys(d.reasons)) {
			fmt.Fprintf(&b, "known\t%s\t%s\t%s\n", d.name, f, d.reasons[f])
		}
		for _, f := range slices.Sorted(maps.Keys(d.skip)) {
			fmt.Fprintf(&b, "not run\t%s\t%s\t%s\n", d.name, f, d.skip[f])
		}
		for _, f := range d.skipped {
			fmt.Fprintf(&b, "skipped\t%s\t%s\t%s\n", d.name, f[0], f[1])
		}
	}
	for _, c := range slices.Sorted(maps.Keys(suitesOf)) {
		fmt.Fprintf(&b, "command\t%03X", c)
		for _, s := range suitesOf[c] {
			fmt.Fprintf(&b, "\t%s", s)
		}
		b.WriteString("\n")
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}
