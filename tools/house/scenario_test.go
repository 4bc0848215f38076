package house

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestScenarioWords fails if a test on Xen looks for words that no program prints any
// more. Those tests take minutes, and would tell last.
func TestScenarioWords(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	wanted := map[string]int{}
	for _, f := range goFiles(t) {
		text, err := os.ReadFile(filepath.Join(root, f.Name))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
		if f.Folder() == "tools/xenlab/scenario" {
			ast.Inspect(f.AST, func(n ast.Node) bool {
				if c, ok := n.(*ast.CallExpr); ok {
					if s := lookedFor(c); strings.Contains(strings.TrimSpace(s), " ") {
						wanted[s]++
					}
				}
				return true
			})
		}
	}
	if len(wanted) < 4 {
		t.Fatalf("found %d texts", len(wanted))
	}
	for s, n := range wanted {
		if strings.Count(all.String(), s) <= n {
			t.Errorf("tools/xenlab/scenario looks for %q, which no program prints", s)
		}
	}
}

// lookedFor returns the text that a call looks for in an output: the last argument of
// strings.Contains, strings.Count and the scenarios' refused.
func lookedFor(c *ast.CallExpr) string {
	name := ""
	switch f := c.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	if name != "Contains" && name != "Count" && name != "refused" || len(c.Args) == 0 {
		return ""
	}
	lit, ok := c.Args[len(c.Args)-1].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}
