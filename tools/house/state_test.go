package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"strings"
	"testing"

	"stubtpm/tools/house/count"
)

// pure lists the folders whose packages keep no state of their own: a device is
// a value, and a thousand of them live side by side.
var pure = []string{"vtpm", "vtpmmgr", "drivers", "image"}

// machine lists variables that hold what the machine is, which is one for the
// whole program.
var machine = map[string]string{
	"drivers/xen/hvm.amd": "which instruction is the hypercall; set once, before Go's runtime runs",
}

// TestNoPackageState fails on a package variable that is changed after its
// declaration: assigned, incremented, or an element or field of it assigned.
// Tables and error values stay allowed.
func TestNoPackageState(t *testing.T) {
	t.Parallel()
	packages := map[string][]count.File{}
	for _, f := range goFiles(t) {
		top, _, _ := strings.Cut(f.Name, "/")
		for _, p := range pure {
			if top == p && !f.Test() {
				packages[f.Folder()] = append(packages[f.Folder()], f)
			}
		}
	}
	for dir, files := range packages {
		for _, found := range changedVariables(dir, files) {
			t.Error(found)
		}
	}
}

// TestPackageStateIsFound breaks the rule on purpose.
func TestPackageStateIsFound(t *testing.T) {
	t.Parallel()
	src := "package p\nvar n int\nvar m = map[int]int{}\nvar ok = []int{1}\nfunc f() { n++; m[1] = 2; n := 3; _ = n; _ = ok[0] }\n"
	if got := changedVariables("p", []count.File{{Name: "p/p.go", Src: []byte(src)}}); len(got) != 2 {
		t.Errorf("want n and m, got %q", got)
	}
}

// changedVariables type-checks a package without its imports, which suffices to
// tell package variables from local ones of the same name.
func changedVariables(dir string, files []count.File) []string {
	var found []string
	fset := token.NewFileSet()
	var asts []*ast.File
	for _, f := range files {
		parsed, err := parser.ParseFile(fset, f.Name, f.Src, 0)
		if err != nil {
			return []string{err.Error()}
		}
		asts = append(asts, parsed)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: nothing{}, Error: func(error) {}, DisableUnusedImportCheck: true}
	pkg, _ := conf.Check(dir, fset, asts, info)
	isState := func(e ast.Expr) *ast.Ident {
		id := rootOf(e)
		if id == nil {
			return nil
		}
		if v, ok := info.Uses[id].(*types.Var); ok && pkg != nil && v.Parent() == pkg.Scope() {
			return id
		}
		return nil
	}
	note := func(e ast.Expr) {
		if id := isState(e); id != nil && machine[dir+"."+id.Name] == "" {
			found = append(found, fmt.Sprintf("%s: package variable %s is changed", fset.Position(id.Pos()), id.Name))
		}
	}
	for _, a := range asts {
		ast.Inspect(a, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, l := range n.Lhs {
					note(l)
				}
			case *ast.IncDecStmt:
				note(n.X)
			}
			return true
		})
	}
	return found
}

// rootOf returns the variable at the root of a.b[c].d, or nil.
func rootOf(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// nothing imports empty packages: what the imported names mean does not matter
// here.
type nothing struct{}

func (nothing) Import(p string) (*types.Package, error) {
	pkg := types.NewPackage(p, path.Base(p))
	pkg.MarkComplete()
	return pkg, nil
}
