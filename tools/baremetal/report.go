package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// runReport prints what the port adds to the stock tree and what it takes away:
// the whole difference between an image's toolchain and the one Go's authors
// ship.
func runReport(args []string, stdout, stderr io.Writer) error {
	if len(args) != 0 {
		return errUsage
	}
	goroot, err := goEnv("GOROOT")
	if err != nil {
		return err
	}
	version, err := goEnv("GOVERSION")
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Port to bare metal of %s, by overlay; compiler, assembler, linker and go command are unchanged.\n", version)

	total, code := 0, 0
	var added, replacedFiles []string
	err = fs.WalkDir(portFiles, portRoot, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := portFiles.ReadFile(p)
		if err != nil {
			return err
		}
		lines, c := countLines(string(text))
		total, code = total+lines, code+c
		rel := strings.TrimPrefix(p, portRoot+"/")
		line := fmt.Sprintf("  %-55s %4d lines, %4d of code", rel, lines, c)
		if _, err := os.Stat(filepath.Join(goroot, "src", filepath.FromSlash(rel))); err == nil {
			replacedFiles = append(replacedFiles, line)
		} else {
			added = append(added, line)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var edited, omitted []string
	edits := 0
	for _, c := range changes {
		if c.omit {
			omitted = append(omitted, fmt.Sprintf("  %-55s %s", c.file, c.why))
			continue
		}
		n := 0
		for _, e := range c.edits {
			n += e.count
		}
		edits += n
		name := c.file
		if c.from != "" {
			name = c.file + " (from " + filepath.Base(c.from) + ")"
		}
		edited = append(edited, fmt.Sprintf("  %-55s %2d edits: %s", name, n, c.why))
	}
	fmt.Fprintf(stdout, "Added lines: %d (code: %d); edits in stock files: %d.\n", total, code, edits)
	for _, part := range []struct {
		title string
		lines []string
	}{{"Added files", added}, {"Replaced stock files", replacedFiles}, {"Edited stock files", edited}, {"Stock files left out", omitted}} {
		fmt.Fprintf(stdout, "%s: %d\n", part.title, len(part.lines))
		for _, l := range part.lines {
			fmt.Fprintln(stdout, l)
		}
	}
	return nil
}

// countLines returns the lines of a text, and those that are neither empty nor
// comment alone.
func countLines(text string) (lines, code int) {
	for l := range strings.Lines(text) {
		lines++
		l = strings.TrimSpace(l)
		if l != "" && !strings.HasPrefix(l, "//") {
			code++
		}
	}
	return lines, code
}
