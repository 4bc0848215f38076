package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"
)

// A tally counts tests by their end.
type tally struct{ passed, failed, skipped, known int }

func (t tally) String() string {
	s := fmt.Sprintf("%d passed %d failed %d skipped", t.passed, t.failed, t.skipped)
	if t.known > 0 {
		s += fmt.Sprintf(" %d known", t.known)
	}
	return s
}

// A result counts tests and subtests by their end.
type result struct {
	tests, subs tally
	failures    []string
	skipped     [][2]string       // names and reasons
	reasons     map[string]string // of known failures
	output      map[string][]string
	took        time.Duration
	build       string
	version     string
	commands    map[uint32]bool // those that succeeded at least once
}

// read counts the events of `go test -json`.
func (r *result) read(in io.Reader) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		if e.Action == "output" || e.Action == "build-output" {
			r.output[e.Test] = append(r.output[e.Test], e.Output)
			if e.Test == "" {
				r.build += e.Output
			}
			continue
		}
		if e.Test == "" {
			continue
		}
		count := r.tally(e.Test)
		switch e.Action {
		case "pass":
			count.passed++
		case "fail":
			count.failed++
			r.failures = append(r.failures, e.Test)
		case "skip":
			count.skipped++
			r.skipped = append(r.skipped, [2]string{e.Test, r.reason(e.Test)})
		}
	}
}

// reason finds what t.Skip said: the last line that names a place.
func (r *result) reason(test string) string {
	for _, l := range slices.Backward(r.output[test]) {
		if _, why, ok := strings.Cut(l, ".go:"); ok && !strings.HasPrefix(strings.TrimSpace(l), "---") {
			_, why, _ = strings.Cut(why, ": ")
			return strings.TrimSpace(why)
		}
	}
	return "no reason given"
}

// tally is where a test is counted.
func (r *result) tally(test string) *tally {
	if strings.Contains(test, "/") {
		return &r.subs
	}
	return &r.tests
}

// judge takes failures with a reason out of the count.
func (r *result) judge(known map[string]string) {
	r.reasons = map[string]string{}
	// Subtests first: a test fails with them.
	sort.Slice(r.failures, func(i, j int) bool { return strings.Count(r.failures[i], "/") > strings.Count(r.failures[j], "/") })
	for _, f := range r.failures {
		reason := known[f]
		if reason == "" {
			reason = r.below(f)
		}
		if reason != "" {
			t := r.tally(f)
			t.failed, t.known = t.failed-1, t.known+1
			r.reasons[f] = reason
		}
	}
}

// below returns a reason if f has failing subtests and all of them have one.
func (r *result) below(f string) (reason string) {
	for _, sub := range r.failures {
		if strings.HasPrefix(sub, f+"/") {
			if r.reasons[sub] == "" {
				return ""
			}
			reason = "only for its subtests"
		}
	}
	return reason
}

// print writes the suite's line, and returns how many tests failed.
func (r *result) print(w io.Writer, s suite, verbose bool) int {
	fmt.Fprintf(w, "%-24s tests %v", s.name, r.tests)
	if r.subs != (tally{}) {
		fmt.Fprintf(w, "; subtests %v", r.subs)
	}
	if len(r.commands) > 0 {
		fmt.Fprintf(w, "; %d commands", len(r.commands))
	}
	fmt.Fprintf(w, "; %.1f s\n", r.took.Seconds())
	sort.Strings(r.failures)
	for _, f := range r.failures {
		if why := r.reasons[f]; why != "" {
			fmt.Fprintf(w, "    known: %s (%s)\n", f, why)
			continue
		}
		fmt.Fprintf(w, "    FAIL %s\n", f)
		if verbose {
			for _, line := range r.output[f] {
				fmt.Fprintf(w, "        %s", line)
			}
		}
	}
	for _, f := range r.skipped {
		fmt.Fprintf(w, "    skipped: %s (%s)\n", f[0], f[1])
	}
	for name, why := range s.skip {
		fmt.Fprintf(w, "    not run: %s (%s)\n", name, why)
	}
	return r.tests.failed
}
