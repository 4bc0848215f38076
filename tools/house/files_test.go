package house

import (
	"bytes"
	"go/ast"
	"go/format"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"stubtpm/tools/house/count"
)

// parsed reads the repository once for all tests.
var parsed = sync.OnceValues(func() ([]count.File, error) { return count.Files(root) })

// goFiles returns every Go file of the repository, whatever its build tags.
func goFiles(t *testing.T) []count.File {
	t.Helper()
	files, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found %d Go files", len(files))
	}
	return files
}

// unsafeFolders is where files named *_unsafe.go may stand: memory that is
// shared with other domains or with hardware, and the one ioctl of Linux' vTPM
// proxy. TestUnsafe fails on a folder that does not need to be here.
var unsafeFolders = []string{"drivers/xen/", "board/", "stubdom/", "tools/vtpmproxy/"}

// runtimePort is the layer below Go's runtime: there is no Go without unsafe
// there. `go run ./tools/baremetal report` counts its lines.
const runtimePort = "tools/baremetal/port/"

// TestUnsafe keeps unsafe where an auditor looks for it.
func TestUnsafe(t *testing.T) {
	t.Parallel()
	var used []string
	needed := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, i := range f.AST.Imports {
			if i.Path.Value != `"unsafe"` || strings.HasPrefix(f.Name, runtimePort) {
				continue
			}
			// A blank import gives only go:linkname, by which a board defines
			// the hooks of runtime/goos; no pointer can be made with it.
			if i.Name != nil && i.Name.Name == "_" && strings.HasPrefix(f.Name, "board/") {
				continue
			}
			folder := inFolder(f.Name, unsafeFolders)
			needed[folder] = true
			base := strings.TrimSuffix(strings.TrimSuffix(f.Name, ".go"), "_test")
			if folder == "" || !strings.HasSuffix(base, "_unsafe") {
				t.Errorf("%s imports unsafe; only *_unsafe.go below %s may", f.Name, strings.Join(unsafeFolders, ", "))
			}
			used = append(used, f.Name)
		}
	}
	for _, folder := range unsafeFolders {
		if !needed[folder] {
			t.Errorf("nothing below %s uses unsafe: take it out of unsafeFolders", folder)
		}
	}
	t.Logf("files that use unsafe: %s", strings.Join(used, " "))
}

func TestGofmt(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		want, err := format.Source(f.Src)
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
		} else if !bytes.Equal(want, f.Src) {
			t.Errorf("%s is not formatted by gofmt", f.Name)
		}
	}
}

// TestSkips fails on a skipped test that does not say why.
func TestSkips(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		if !strings.HasSuffix(f.Name, "_test.go") {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if s, ok := c.Fun.(*ast.SelectorExpr); ok && len(c.Args) == 0 && (s.Sel.Name == "SkipNow" || s.Sel.Name == "Skip") {
					if id, ok := s.X.(*ast.Ident); ok && (id.Name == "t" || id.Name == "f" || id.Name == "b") {
						t.Errorf("%s skips without a reason", f.Fset.Position(c.Pos()))
					}
				}
			}
			return true
		})
	}
}

// TestFuzzSeeds fails on a fuzz target without seeds, for plain go test would
// then run nothing of it.
func TestFuzzSeeds(t *testing.T) {
	t.Parallel()
	targets := 0
	for _, f := range goFiles(t) {
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Fuzz") || !strings.HasSuffix(f.Name, "_test.go") {
				continue
			}
			targets++
			corpus, _ := filepath.Glob(filepath.Join(root, filepath.Dir(f.Name), "testdata/fuzz", fn.Name.Name, "*"))
			seeded := len(corpus) > 0
			ast.Inspect(fn, func(n ast.Node) bool {
				// f.Add(...), or f handed to a helper that adds.
				if c, ok := n.(*ast.CallExpr); ok {
					if s, ok := c.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Add" {
						seeded = true
					}
					for _, a := range c.Args {
						if id, ok := a.(*ast.Ident); ok && id.Name == "f" {
							seeded = true
						}
					}
				}
				return true
			})
			if !seeded {
				t.Errorf("%s: %s has no seeds", f.Name, fn.Name.Name)
			}
		}
	}
	if targets == 0 {
		t.Error("no fuzz target found")
	}
}
