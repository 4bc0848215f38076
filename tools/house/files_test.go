package house

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file is one Go file of the repository, parsed.
type file struct {
	name string // relative to the root, with slashes
	src  []byte
	fset *token.FileSet
	ast  *ast.File
}

// goFiles parses every Go file of the repository, whatever its build tags.
func goFiles(t *testing.T) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		if e.IsDir() {
			if n := e.Name(); n == "build" || n == ".git" || n == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f := file{name: filepath.ToSlash(rel), src: src, fset: token.NewFileSet()}
		if f.ast, err = parser.ParseFile(f.fset, p, src, parser.ParseComments); err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
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
// proxy.
var unsafeFolders = []string{"drivers/xen/", "drivers/tis/", "drivers/crb/", "board/", "stubdom/", "tools/vtpmproxy/"}

// runtimePort is the layer below Go's runtime: there is no Go without unsafe
// there. Its lines are counted by `make report`.
const runtimePort = "tools/baremetal/port/"

// TestUnsafe keeps unsafe where an auditor looks for it.
func TestUnsafe(t *testing.T) {
	t.Parallel()
	var used []string
	for _, f := range goFiles(t) {
		for _, i := range f.ast.Imports {
			if i.Path.Value != `"unsafe"` || strings.HasPrefix(f.name, runtimePort) {
				continue
			}
			// A blank import gives only go:linkname, by which a board defines
			// the hooks of runtime/goos; no pointer can be made with it.
			if i.Name != nil && i.Name.Name == "_" && strings.HasPrefix(f.name, "board/") {
				continue
			}
			allowed := false
			for _, d := range unsafeFolders {
				allowed = allowed || strings.HasPrefix(f.name, d)
			}
			base := strings.TrimSuffix(strings.TrimSuffix(f.name, ".go"), "_test")
			if !allowed || !strings.HasSuffix(base, "_unsafe") {
				t.Errorf("%s imports unsafe; only *_unsafe.go below %s may", f.name, strings.Join(unsafeFolders, ", "))
			}
			used = append(used, f.name)
		}
	}
	t.Logf("files that use unsafe: %s", strings.Join(used, " "))
}

func TestGofmt(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		want, err := format.Source(f.src)
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
		} else if !bytes.Equal(want, f.src) {
			t.Errorf("%s is not formatted by gofmt", f.name)
		}
	}
}

// TestSkips fails on a skipped test that does not say why.
func TestSkips(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		if !strings.HasSuffix(f.name, "_test.go") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if s, ok := c.Fun.(*ast.SelectorExpr); ok && len(c.Args) == 0 && (s.Sel.Name == "SkipNow" || s.Sel.Name == "Skip") {
					if id, ok := s.X.(*ast.Ident); ok && (id.Name == "t" || id.Name == "f" || id.Name == "b") {
						t.Errorf("%s skips without a reason", f.fset.Position(c.Pos()))
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
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Fuzz") || !strings.HasSuffix(f.name, "_test.go") {
				continue
			}
			targets++
			corpus, _ := filepath.Glob(filepath.Join(root, filepath.Dir(f.name), "testdata/fuzz", fn.Name.Name, "*"))
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
				t.Errorf("%s: %s has no seeds", f.name, fn.Name.Name)
			}
		}
	}
	if targets == 0 {
		t.Error("no fuzz target found")
	}
}
