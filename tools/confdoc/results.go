package main

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"stubtpm/vtpm/tcg"
)

// resultsFile is what tools/conformance recorded.
//
//go:embed results.tsv
var resultsFile string

// suiteResult is what became of a suite's tests: passed, failed, skipped, known,
// and the same of its subtests.
type suiteResult struct {
	name, version string
	counts        [8]int
}

// sum prints a count of tests with that of subtests.
func (s *suiteResult) sum(i int) string {
	if s.counts[i+4] == 0 {
		return strconv.Itoa(s.counts[i])
	}
	return fmt.Sprintf("%d + %d", s.counts[i], s.counts[i+4])
}

// results are what the suites said. A note is a suite, what is to be said of a
// test, the test, and the reason.
type results struct {
	suites []suiteResult
	notes  [][4]string
	judged map[tcg.TPMCC][]string
}

// readResults parses the file. Its form is that of tools/conformance's record.go.
func readResults(text string) (*results, error) {
	r := &results{judged: map[tcg.TPMCC][]string{}}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Split(line, "\t")
		switch {
		case strings.HasPrefix(line, "#"):
		case f[0] == "suite" && len(f) == 11:
			s := suiteResult{name: f[1], version: f[2]}
			for j := range s.counts {
				n, err := strconv.Atoi(f[3+j])
				if err != nil {
					return nil, fmt.Errorf("results.tsv, line %d: %w", i+1, err)
				}
				s.counts[j] = n
			}
			r.suites = append(r.suites, s)
		case f[0] == "command" && len(f) > 2:
			c, err := strconv.ParseUint(f[1], 16, 32)
			if err != nil {
				return nil, fmt.Errorf("results.tsv, line %d: %w", i+1, err)
			}
			r.judged[tcg.TPMCC(c)] = f[2:]
		case len(f) == 4:
			r.notes = append(r.notes, [4]string{f[1], f[0], f[2], f[3]})
		default:
			return nil, fmt.Errorf("results.tsv, line %d: %q", i+1, line)
		}
	}
	return r, nil
}

// judges are the numbers of the suites in which a command succeeded.
func (r *results) judges(c tcg.TPMCC) string {
	var l []string
	for _, name := range r.judged[c] {
		for i, s := range r.suites {
			if s.name == name {
				l = append(l, strconv.Itoa(i+1))
			}
		}
	}
	return strings.Join(l, " ")
}
