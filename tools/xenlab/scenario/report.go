package scenario

import (
	"fmt"
	"strings"
)

// A Report receives the steps, outputs and claims of a scenario.
type Report interface {
	// Step announces the next step.
	Step(format string, args ...any)
	// Show presents a command of a domain and its output, shortened to what
	// matters.
	Show(where, command, output string)
	// Check reports whether a claim holds. If not, detail is what was observed.
	Check(claim string, holds bool, detail string)
}

// check is like r.Check, and formats the detail only if the claim does not hold.
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
