package house

import (
	"strings"
	"testing"

	"stubtpm/tools/house/count"
)

// columns is where prose is wrapped, so that a change of a paragraph can be read
// in a diff.
const columns = 100

// unwrapped are pages that were not wrapped yet.
var unwrapped = []string{"docs/admin.md", "docs/conformance.md", "docs/evidence-format.md", "docs/ledger-format.md", "docs/verifier.md", "docs/xen-life.md"}

// TestProseWrapped fails on a line of prose that is too long. Tables, drawings
// and lines that cannot be broken may be.
func TestProseWrapped(t *testing.T) {
	t.Parallel()
	err := count.Walk(root, ".md", func(name string, text []byte) error {
		_, over := count.Prose(text, columns)
		for _, n := range over {
			if inFolder(name, unwrapped) == "" {
				t.Errorf("%s:%d: over %d columns", name, n, columns)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	text := "a " + strings.Repeat("b", columns) + "\n\n| " + strings.Repeat("b ", columns) + "|\n    " + strings.Repeat("c ", columns)
	if lines, over := count.Prose([]byte(text), columns); lines != 1 || len(over) != 1 {
		t.Errorf("of one line of prose that is too long: %d lines, %v too long", lines, over)
	}
}

// TestPackageComments fails on a package without a comment, and on one where a
// reader would not look for it.
func TestPackageComments(t *testing.T) {
	t.Parallel()
	has := map[string]int{}
	for _, f := range goFiles(t) {
		if f.Test() || strings.HasPrefix(f.Name, runtimePort) {
			continue
		}
		has[f.Folder()] += 0
		if f.AST.Doc == nil {
			continue
		}
		has[f.Folder()]++
		if !f.HoldsPackageComment() {
			t.Errorf("%s has the package comment: put it into doc.go", f.Name)
		}
	}
	for folder, n := range has {
		if n != 1 {
			t.Errorf("%s has %d package comments", folder, n)
		}
	}
}
