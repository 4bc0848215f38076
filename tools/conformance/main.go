// Conformance runs the test suites of other projects, unchanged, on this
// project's TPM 2.0 device: Go's in process, Debian's programs on the hosted one.
//
// Synopsis:
//
//	conformance [-suite TEXT] [-without TEXT] [-tpm 'PROGRAM ARGS'] [-v] [-traces DIR] [-record]
//
// It prints one line for each suite: tests passed, failed and skipped, with
// subtests, the number of commands that succeeded at least once in it, and the
// names of the tests that failed; then a table of commands implemented and
// specified. -suite and -without choose suites by a part of their names; those of
// Debian need the packages of `deps -for everyday`. -tpm runs them on processes of
// another program instead, for example 'swtpm socket'.
//
// -record writes the results, without times, to tools/confdoc/results.tsv and
// generates docs/conformance.md; it requires that all suites ran and none failed.
// -traces keeps each suite's commands in a directory.
//
// Google's suites expect a simulator as package simulator of go-tpm-tools;
// directory shim has one with our device behind it. The suites of go-tpm-tools are
// in the same module as that package, so they run in a copy of the module in
// which it is replaced.
//
// A failure is known if it is listed with its reason; it is named and counted
// apart.
//
// Exit codes: 0 no test failed but those, 1 otherwise.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("conformance", flag.ExitOnError)
	only := fs.String("suite", "", "only suites whose name contains this")
	without := fs.String("without", "", "no suite whose name contains this")
	tpm := fs.String("tpm", "", "program and arguments of another TPM, for a baseline")
	verbose := fs.Bool("v", false, "print what failing tests print")
	traces := fs.String("traces", "", "directory in which each suite's commands are kept")
	record := fs.Bool("record", false, "write tools/confdoc/results.tsv and docs/conformance.md")
	fs.Parse(args)
	if *record && (*only != "" || *without != "" || *tpm != "") {
		return errors.New("-record is for all suites on this device")
	}
	here, err := moduleDir()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if *traces == "" {
		*traces = tmp
	}
	r := runner{here: here, root: filepath.Dir(filepath.Dir(here)), tmp: tmp, traces: *traces, tpm: *tpm}
	var done []recorded
	bad := 0
	for _, s := range suites() {
		if !strings.Contains(s.name, *only) || *without != "" && strings.Contains(s.name, *without) {
			continue
		}
		res, err := r.run(s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		bad += res.print(stdout, s, *verbose)
		done = append(done, recorded{s, res})
	}
	if *record && bad == 0 {
		if err := write(filepath.Join(r.root, "tools/confdoc/results.tsv"), done); err != nil {
			return err
		}
		if err := r.confdoc(stdout, "-o", "docs/conformance.md"); err != nil {
			return err
		}
	}
	if err := r.confdoc(stdout, "-table"); err != nil {
		return err
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
