// Command figures prints how large and how entangled the source of a Go module
// is, as Markdown.
//
// Synopsis:
//
//	figures [-circles=false] [root]
//
// Description:
//
// For the module in root (the working directory unless given) it prints: sizes of
// files and functions, cyclomatic complexity and the share of comments; exported
// names, and those without a comment; package comments outside doc.go; the largest
// circle of files in each package, which needs a module that compiles; the types
// with the most methods; files over 400 lines, functions over 60 lines or with a
// complexity over 15; and code lines over 120 and lines of prose over 100
// columns. Run it on two revisions to compare them.
//
// The exit code is 1 if the module cannot be read, 2 for wrong usage.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"stubtpm/tools/house/count"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("figures", flag.ContinueOnError)
	f.SetOutput(stderr)
	circles := f.Bool("circles", true, "find circles of files: compiles the module")
	if err := f.Parse(args); err != nil || f.NArg() > 1 {
		return 2
	}
	root := "."
	if f.NArg() == 1 {
		root = f.Arg(0)
	}
	if err := figures(stdout, root, *circles); err != nil {
		fmt.Fprintf(stderr, "figures: %v\n", err)
		return 1
	}
	return 0
}

func figures(w io.Writer, root string, circles bool) error {
	files, err := count.Files(root)
	if err != nil {
		return err
	}
	sizes(w, files)
	names(w, files)
	if circles {
		if err := circle(w, root); err != nil {
			return err
		}
	}
	methods(w, files)
	outliers(w, files)
	return prose(w, root)
}

func sizes(w io.Writer, files []count.File) {
	fmt.Fprintf(w, "## Sizes, tests left out\n\n%s\n", count.Header)
	row := func(name string, keep func(*count.File) bool) {
		s := count.Measure(files, keep)
		fmt.Fprintln(w, s.Row(name))
	}
	row("all", func(f *count.File) bool { return !f.Test() })
	var tops []string
	for _, f := range files {
		if top, _, below := strings.Cut(f.Name, "/"); below && !slices.Contains(tops, top) {
			tops = append(tops, top)
		}
	}
	for _, top := range tops {
		row(top, func(f *count.File) bool { return !f.Test() && strings.HasPrefix(f.Name, top+"/") })
	}
	row("tests", (*count.File).Test)
}

func names(w io.Writer, files []count.File) {
	exported, bare, outside := map[string]int{}, []string{}, []string{}
	packages := map[string]bool{}
	for _, f := range files {
		if f.Test() {
			continue
		}
		packages[f.Folder()] = true
		for _, n := range f.Exported() {
			if !n.Method {
				exported[f.Folder()]++
			}
			if !n.Comment {
				bare = append(bare, fmt.Sprintf("%s:%d %s", n.File, n.Line, n.Name))
			}
		}
		if f.AST.Doc != nil && !f.HoldsPackageComment() {
			outside = append(outside, f.Name)
		}
	}
	all := 0
	var folders []string
	for folder, n := range exported {
		all += n
		folders = append(folders, folder)
	}
	slices.SortFunc(folders, func(a, b string) int {
		return cmp.Or(cmp.Compare(exported[b], exported[a]), strings.Compare(a, b))
	})
	fmt.Fprintf(w, "\n## Names\n\n%d exported names (methods left out) in %d packages:", all, len(packages))
	for _, folder := range folders[:min(12, len(folders))] {
		fmt.Fprintf(w, " %s %d,", folder, exported[folder])
	}
	fmt.Fprintf(w, " ...\n\n%d exported names or methods without a comment:\n", len(bare))
	list(w, bare)
	fmt.Fprintf(w, "\n%d package comments outside doc.go, main.go and the file of the package's name:\n", len(outside))
	list(w, outside)
}

func circle(w io.Writer, root string) error {
	all, err := count.Circles(root, "")
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b count.Circle) int {
		return cmp.Or(len(b.Circle)-len(a.Circle), strings.Compare(a.Package, b.Package))
	})
	fmt.Fprintf(w, "\n## Circles of files (4 and more)\n\n| package | files | in the largest circle |\n|---|---|---|\n")
	for _, c := range all {
		if len(c.Circle) >= 4 {
			fmt.Fprintf(w, "| %s | %d | %d |\n", c.Package, c.Files, len(c.Circle))
		}
	}
	return nil
}

func methods(w io.Writer, files []count.File) {
	number, in := map[string]int{}, map[string]map[string]bool{}
	for _, f := range files {
		if f.Test() {
			continue
		}
		for _, fn := range f.Functions() {
			t, _, ok := strings.Cut(fn.Name, ".")
			if !ok {
				continue
			}
			key := f.Folder() + "." + t
			number[key]++
			if in[key] == nil {
				in[key] = map[string]bool{}
			}
			in[key][f.Name] = true
		}
	}
	var types []string
	for t := range number {
		types = append(types, t)
	}
	slices.SortFunc(types, func(a, b string) int { return cmp.Or(number[b]-number[a], strings.Compare(a, b)) })
	fmt.Fprintf(w, "\n## Types with the most methods\n\n| type | methods | in files |\n|---|---|---|\n")
	for _, t := range types[:min(6, len(types))] {
		fmt.Fprintf(w, "| %s | %d | %d |\n", t, number[t], len(in[t]))
	}
}

func outliers(w io.Writer, files []count.File) {
	var long, functions []string
	for _, f := range files {
		if f.Test() {
			continue
		}
		if n := f.Lines(); n > 400 {
			long = append(long, fmt.Sprintf("%s %d", f.Name, n))
		}
		for _, fn := range f.Functions() {
			if fn.Lines > 60 || fn.Cyclomatic > 15 {
				functions = append(functions, fmt.Sprintf("%s:%d %s %d lines, complexity %d", fn.File, fn.Line, fn.Name, fn.Lines, fn.Cyclomatic))
			}
		}
	}
	fmt.Fprintf(w, "\n## Outliers\n\n%d files over 400 lines:\n", len(long))
	list(w, long)
	fmt.Fprintf(w, "\n%d functions over 60 lines or complexity 15:\n", len(functions))
	list(w, functions)
	fmt.Fprintf(w, "\nFiles with most code lines over 120 columns:\n")
	slices.SortFunc(files, func(a, b count.File) int {
		return cmp.Or(b.LinesOver(120)-a.LinesOver(120), strings.Compare(a.Name, b.Name))
	})
	for _, f := range files[:min(8, len(files))] {
		if n := f.LinesOver(120); n > 0 {
			fmt.Fprintf(w, "- %s %d\n", f.Name, n)
		}
	}
}

func prose(w io.Writer, root string) error {
	lines, over := 0, 0
	err := count.Walk(root, ".md", func(_ string, text []byte) error {
		n, o := count.Prose(text, 100)
		lines, over = lines+n, over+len(o)
		return nil
	})
	fmt.Fprintf(w, "\n## Prose\n\n%d of %d lines of prose are over 100 columns (tables and drawings left out).\n", over, lines)
	return err
}

func list(w io.Writer, lines []string) {
	for _, l := range lines {
		fmt.Fprintf(w, "- %s\n", l)
	}
}
