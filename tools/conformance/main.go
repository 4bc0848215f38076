// Conformance runs the test suites of other projects, unchanged, on this
// project's TPM 2.0 device in process.
//
// Synopsis:
//
//	conformance [-suite NAME] [-tpm 'PROGRAM ARGS'] [-strict] [-v]
//
// It prints one line for each suite: tests passed, failed and skipped, with
// subtests, and the names of those that failed. -tpm runs them on processes of
// another program instead, for example 'swtpm socket'.
//
// Google's suites expect a simulator as package simulator of go-tpm-tools;
// directory shim has one with our device behind it. The suites of go-tpm-tools are
// in the same module as that package, so they run in a copy of the module in
// which it is replaced.
//
// A failure is known if it is listed with its reason, and "lacks a command" if
// the device answered TPM_RC_COMMAND_CODE, or refused a policy for a command
// that it has not. Both are named and counted apart; with -strict the latter
// count as failures.
//
// Exit codes: 0 no test failed but those, 1 otherwise.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// A suite is one package of tests.
type suite struct {
	name string
	pkg  string
	copy bool // runs in the copy of go-tpm-tools

	// skip are tests that need what the machine cannot be expected to have,
	// with the reason.
	skip map[string]string

	// known are tests that fail for a reason that is not the device's fault.
	// They are run, counted apart and named. A test whose failing subtests are
	// all known is known itself.
	known map[string]string
}

// Names of go-tpm-tools' module and version.
const (
	toolsModule  = "github.com/google/go-tpm-tools"
	toolsVersion = "v0.4.10"
)

func suites() []suite {
	internet := map[string]string{"TestNetworkFetchIssuingCertificate": "needs the internet"}
	return []suite{
		{name: "go-tpm/tpm2", pkg: "github.com/google/go-tpm/tpm2/test", known: map[string]string{
			"TestTestParms/rsa3072_-_unsupported": "the test expects a TPM without RSA-3072",
			"TestTestParms/rsa4096_-_unsupported": "the test expects a TPM without RSA-4096",
		}},
		{name: "go-tpm/tpm2-crypto", pkg: "github.com/google/go-tpm/tpm2"},
		{name: "go-tpm/legacy", pkg: "github.com/google/go-tpm/legacy/tpm2/test"},
		{name: "go-tpm-tools/simulator", pkg: toolsModule + "/simulator", copy: true, known: map[string]string{
			"TestFixedSeedExpectedModulus": "the test has the key that Microsoft's code derives from its seed; each implementation derives its own",
		}},
		{name: "go-tpm-tools/client", pkg: toolsModule + "/client", copy: true, skip: internet},
		{name: "go-tpm-tools/server", pkg: toolsModule + "/server", copy: true},
	}
}

func run(args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("conformance", flag.ExitOnError)
	only := fs.String("suite", "", "only suites whose name contains this")
	tpm := fs.String("tpm", "", "program and arguments of another TPM, for a baseline")
	strict := fs.Bool("strict", false, "count tests that need a command the device has not as failures")
	verbose := fs.Bool("v", false, "print what failing tests print")
	fs.Parse(args)
	here, err := moduleDir()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	tools := ""
	bad := 0
	for _, s := range suites() {
		if !strings.Contains(s.name, *only) {
			continue
		}
		dir := here
		if s.copy {
			if tools == "" {
				if tools, err = copyTools(tmp, here); err != nil {
					return err
				}
			}
			dir = tools
		}
		r, err := s.run(dir, *tpm, *strict)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		bad += r.print(stdout, s, *verbose)
	}
	if bad > 0 {
		return fmt.Errorf("%d tests failed", bad)
	}
	return nil
}

// moduleDir is the directory of this module.
func moduleDir() (string, error) {
	b, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "stubtpm/tools/conformance").Output()
	if err != nil {
		return "", fmt.Errorf("run it in tools/conformance: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

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
	reasons     map[string]string // of known failures
	output      map[string][]string
	took        time.Duration
	build       string
}

// run executes the suite's tests.
func (s suite) run(dir, tpm string, strict bool) (*result, error) {
	args := []string{"test", "-json", "-count=1", "-timeout=300s"}
	if len(s.skip) > 0 {
		var names []string
		for n := range s.skip {
			names = append(names, n)
		}
		args = append(args, "-skip", "^("+strings.Join(names, "|")+")$")
	}
	cmd := exec.Command("go", append(args, s.pkg)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CONFORMANCE_TPM="+tpm, "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
	stderr := new(strings.Builder)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &result{output: map[string][]string{}}
	r.read(out)
	err = cmd.Wait()
	r.took = time.Since(start)
	r.judge(s.known, strict)
	if r.tests == (tally{}) {
		return nil, fmt.Errorf("no test ran: %w: %s%s", err, stderr, r.build)
	}
	if err != nil && len(r.failures) == 0 {
		// A test binary that dies loses the tests after it.
		r.tests.failed++
		r.failures = append(r.failures, "(the test process ended: "+err.Error()+")")
	}
	return r, nil
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
		}
	}
}

// tally is where a test is counted.
func (r *result) tally(test string) *tally {
	if strings.Contains(test, "/") {
		return &r.subs
	}
	return &r.tests
}

// judge takes failures with a reason out of the count.
func (r *result) judge(known map[string]string, strict bool) {
	r.reasons = map[string]string{}
	// Subtests first: a test fails with them.
	sort.Slice(r.failures, func(i, j int) bool { return strings.Count(r.failures[i], "/") > strings.Count(r.failures[j], "/") })
	for _, f := range r.failures {
		reason := known[f]
		if reason == "" && !strict && r.lacks(f) {
			reason = "lacks a command"
		}
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

// lacks says whether a test failed because the device has not a command.
func (r *result) lacks(test string) bool {
	out := strings.Join(r.output[test], "")
	for _, sign := range []string{"TPM_RC_COMMAND_CODE", "command code not supported", "TPM_RC_POLICY_CC"} {
		if strings.Contains(out, sign) {
			return true
		}
	}
	return false
}

// below says whether f has failing subtests and all have a reason.
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
	fmt.Fprintf(w, "%-24s tests %v; subtests %v; %.1f s\n", s.name, r.tests, r.subs, r.took.Seconds())
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
	for name, why := range s.skip {
		fmt.Fprintf(w, "    not run: %s (%s)\n", name, why)
	}
	return r.tests.failed
}

// copyTools copies go-tpm-tools into dir, with our simulator for its own, and
// returns the copy's directory.
func copyTools(dir, here string) (string, error) {
	b, err := exec.Command("go", "mod", "download", "-json", toolsModule+"@"+toolsVersion).Output()
	var m struct{ Dir, Error string }
	if e := json.Unmarshal(b, &m); e != nil || m.Error != "" {
		return "", fmt.Errorf("go mod download: %w %s", err, m.Error)
	}
	out := filepath.Join(dir, "go-tpm-tools")
	if err := os.CopyFS(out, os.DirFS(m.Dir)); err != nil {
		return "", err
	}
	// The module cache is read-only, and its copy is so too.
	err = filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
		if err == nil {
			err = os.Chmod(path, 0o755)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	sim := filepath.Join(out, "simulator")
	test, err := os.ReadFile(filepath.Join(sim, "simulator_test.go"))
	if err != nil {
		return "", err
	}
	if err := os.RemoveAll(sim); err != nil {
		return "", err
	}
	if err := os.CopyFS(sim, os.DirFS(filepath.Join(here, "shim/simulator"))); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(sim, "simulator_test.go"), test, 0o644); err != nil {
		return "", err
	}
	root := filepath.Dir(filepath.Dir(here))
	for _, f := range []string{"go.work", "go.work.sum"} {
		os.Remove(filepath.Join(out, f))
	}
	cmd := exec.Command("go", "mod", "edit", "-require=stubtpm@v0.0.0", "-replace=stubtpm="+root)
	cmd.Dir = out
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go mod edit: %w: %s", err, b)
	}
	// What our device needs beyond go-tpm-tools' own list; the sums are ours.
	return out, appendSums(filepath.Join(out, "go.sum"), filepath.Join(root, "go.sum"))
}

func appendSums(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
