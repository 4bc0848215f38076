package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// A stage is a list of commands.
type stage struct {
	name, help string
	commands   []command
}

// A command is run in dir, with env added to the environment. One that starts
// with "go test" is run with -json and its tests are counted.
type command struct {
	dir  string
	env  []string
	argv []string
}

// result counts tests.
type result struct {
	passed, failed, skipped int
}

func (r *result) add(o result) {
	r.passed += o.passed
	r.failed += o.failed
	r.skipped += o.skipped
}

func (s *stage) run(out io.Writer) (r result) {
	log, err := os.Create("build/check/" + s.name + ".log")
	if err != nil {
		fmt.Fprintln(out, err)
		return result{failed: 1}
	}
	defer log.Close()
	for _, c := range s.commands {
		fmt.Fprintf(out, "     %s\n", strings.Join(append(append([]string{}, c.env...), c.argv...), " "))
		if len(c.argv) > 1 && c.argv[0] == "go" && c.argv[1] == "test" {
			r.add(c.goTest(log, out))
		} else {
			r.add(c.plain(log, out))
		}
	}
	return r
}

func (c *command) prepare(argv []string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	return cmd
}

// counts is how a command says how many tests it ran itself, a line a suite.
var counts = regexp.MustCompile(`(\d+) passed,? (\d+) failed(?:,? (\d+) skipped)?`)

// plain runs any other command. Lines of its output that count tests are
// printed and added up; without one it is a test itself.
func (c *command) plain(log, out io.Writer) (r result) {
	cmd := c.prepare(c.argv)
	var b bytes.Buffer
	cmd.Stdout = io.MultiWriter(log, &b)
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	for _, l := range strings.Split(b.String(), "\n") {
		m := counts.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		fmt.Fprintf(out, "     %s\n", l)
		var n [3]int
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1]) // digits, or nothing
		}
		r.add(result{n[0], n[1], n[2]})
	}
	switch {
	case err != nil:
		var t tail
		t.Write(b.Bytes())
		fmt.Fprintf(out, "FAIL %s: %v\n%s", strings.Join(c.argv, " "), err, t.text())
		r.failed = max(r.failed, 1)
	case r == (result{}):
		r.passed = 1
	}
	return r
}

// An event is a line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
}

// goTest runs go test -json and counts its tests; a package that fails without
// a failed test (it does not build, it panics) counts as one.
func (c *command) goTest(log, out io.Writer) (r result) {
	argv := append([]string{"go", "test", "-json"}, c.argv[2:]...)
	cmd := c.prepare(argv)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		fmt.Fprintln(out, err)
		return result{failed: 1}
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(out, err)
		return result{failed: 1}
	}
	output := map[string]*tail{} // by package and test
	failedIn := map[string]int{} // failed tests by package
	s := bufio.NewScanner(pipe)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var e event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			fmt.Fprintln(log, s.Text())
			continue
		}
		pkg := e.Package
		if pkg == "" {
			pkg = e.ImportPath
		}
		top, _, sub := strings.Cut(e.Test, "/")
		key := pkg + " " + top
		switch e.Action {
		case "output", "build-output":
			io.WriteString(log, e.Output)
			if output[key] == nil {
				output[key] = &tail{}
			}
			io.WriteString(output[key], e.Output)
			continue
		case "pass", "fail", "skip":
		default:
			continue
		}
		switch {
		case sub:
			if e.Action == "skip" {
				fmt.Fprintf(out, "skip %s %s: %s\n", pkg, e.Test, output[key].reason())
			}
			continue
		case e.Test == "":
			if e.Action == "fail" && failedIn[pkg] == 0 {
				r.failed++
				fmt.Fprintf(out, "FAIL %s\n%s", pkg, output[key].text())
			}
		case e.Action == "pass":
			r.passed++
		case e.Action == "skip":
			r.skipped++
			fmt.Fprintf(out, "skip %s %s: %s\n", pkg, e.Test, output[key].reason())
		case e.Action == "fail":
			r.failed++
			failedIn[pkg]++
			fmt.Fprintf(out, "FAIL %s %s\n%s", pkg, e.Test, output[key].text())
		}
		delete(output, key)
	}
	if err := cmd.Wait(); err != nil && r.failed == 0 {
		fmt.Fprintf(out, "FAIL %s: %v\n", strings.Join(c.argv, " "), err)
		r.failed++
	}
	return r
}

// A tail keeps the last bytes written.
type tail struct{ b []byte }

// tailSize is how much of a failed test's output is printed, in bytes.
const tailSize = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > tailSize {
		t.b = t.b[len(t.b)-tailSize:]
	}
	return len(p), nil
}

func (t *tail) text() string {
	if t == nil {
		return ""
	}
	return string(t.b)
}

// reason finds what t.Skip said: the last line that names a place.
func (t *tail) reason() string {
	lines := strings.Split(strings.TrimSpace(t.text()), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if l := strings.TrimSpace(lines[i]); !strings.HasPrefix(l, "---") && strings.Contains(l, ".go:") {
			return l
		}
	}
	return "no reason given"
}
