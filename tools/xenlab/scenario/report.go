// Package scenario holds what is shown and asserted on the lab's Xen: the stack
// of manager, vTPM and guest, the story that `make run` tells, and the attacks
// and faults that `make test` adds. Each scenario reports to a Report, so that
// the same code tells a story to a person and fails a test.
//
// It runs on Linux on amd64.
package scenario

import (
	"fmt"
	"strings"
)

// A Report hears what a scenario does, shows and claims.
type Report interface {
	// Step says what is done next.
	Step(format string, args ...any)
	// Show presents a command of a domain and its output, shortened to what
	// matters.
	Show(where, command, output string)
	// Check states a claim that was tested; detail says what was seen where it
	// does not hold.
	Check(claim string, holds bool, detail string)
}

// check formats the detail only of what failed.
func check(r Report, claim string, holds bool, format string, args ...any) {
	detail := ""
	if !holds {
		detail = fmt.Sprintf(format, args...)
	}
	r.Check(claim, holds, detail)
}

// grep returns the lines of text that contain one of the words, at most n.
func grep(text string, n int, words ...string) string {
	var keep []string
	for _, l := range strings.Split(text, "\n") {
		for _, w := range words {
			if strings.Contains(l, w) {
				keep = append(keep, strings.TrimRight(l, " \r"))
				break
			}
		}
		if len(keep) == n {
			break
		}
	}
	return strings.Join(keep, "\n")
}

// head returns the first n lines of text.
func head(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[:min(n, len(lines))], "\n")
}
