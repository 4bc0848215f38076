package house

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the layers into docs/architecture.md")

const (
	figureBegin = "<!-- layers: written by go test ./tools/house -run TestLayersFigure -update -->\n"
	figureEnd   = "<!-- end of layers -->"
)

// TestLayersFigure: the layers in docs/architecture.md are those that TestLayers
// keeps.
func TestLayersFigure(t *testing.T) {
	t.Parallel()
	name := filepath.Join(root, "docs/architecture.md")
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), figureBegin)
	old, after, ok2 := strings.Cut(rest, figureEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the layers", name)
	}
	figure := rulesFigure()
	if figure == old {
		return
	}
	if !*update {
		t.Fatalf("the layers in %s are stale: go test ./tools/house -run TestLayersFigure -update", name)
	}
	if err := os.WriteFile(name, []byte(before+figureBegin+figure+figureEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// rulesFigure is the table of layers as Markdown.
func rulesFigure() string {
	var b strings.Builder
	b.WriteString("A package imports only what the table allows to the folder that it is in; a test in `tools/house`\nkeeps it.\n\n" +
		"| below | may import, of this module, besides itself | of other modules | not, of the standard library |\n|---|---|---|---|\n")
	names := func(all []string) string {
		var out []string
		for _, n := range all {
			out = append(out, strings.TrimSuffix(n, "/..."))
		}
		return strings.Join(slices.Compact(out), ", ")
	}
	for _, l := range layers {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", l.folder, names(l.ours), names(l.others), names(l.not))
	}
	return b.String()
}
