package count

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

func parse(t *testing.T, name, src string) File {
	t.Helper()
	f := File{Name: name, Src: []byte(src), Fset: token.NewFileSet()}
	var err error
	if f.AST, err = parser.ParseFile(f.Fset, name, src, parser.ParseComments); err != nil {
		t.Fatal(err)
	}
	return f
}

const sample = `package p

// F is documented.
func F(n int) bool {
	// a comment alone
	if n > 0 && n < 3 || n == 7 { // a comment beside code
		return true
	}
	switch n {
	case 1, 2:
	default:
	}
	for range n {
	}
	return false
}

type T struct{}

func (*T) M() {}
func (t t) N() {}

type t struct{}

/* two
lines */
const (
	A = 1 // by its line
	B = 2
)
`

func TestFile(t *testing.T) {
	t.Parallel()
	f := parse(t, "p/p.go", sample)
	if got := f.CommentLines(); got != 4 {
		t.Errorf("comment lines: %d", got)
	}
	if got := f.LinesOver(40); got != 1 {
		t.Errorf("lines over 40: %d", got)
	}
	fns := f.Functions()
	if len(fns) != 3 || fns[0] != (Function{"F", "p/p.go", 4, 13, 6}) || fns[1].Name != "T.M" {
		t.Errorf("functions: %+v", fns)
	}
	var names, bare []string
	for _, n := range f.Exported() {
		names = append(names, n.Name)
		if !n.Comment {
			bare = append(bare, n.Name)
		}
	}
	if !slices.Equal(names, []string{"F", "T", "T.M", "A", "B"}) || !slices.Equal(bare, []string{"T", "T.M"}) {
		t.Errorf("exported %q, without a comment %q", names, bare)
	}
}

// TestCircle: a uses a function of b, b a method of c, c a constant of a; d uses
// all of them and is used by none.
func TestCircle(t *testing.T) {
	t.Parallel()
	fset := token.NewFileSet()
	var asts []*ast.File
	for name, src := range map[string]string{
		"a.go": "package p\nimport \"slices\"\nconst K = 1\nfunc A(x []T) { B(slices.Clone(x)[0]) }",
		"b.go": "package p\nfunc B(x T) { x.M() }\ntype T struct{ u }",
		"c.go": "package p\ntype u struct{}\nfunc (u) M() int { return K }",
		"d.go": "package p\nvar _, _ = A, K",
	} {
		a, err := parser.ParseFile(fset, name, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		asts = append(asts, a)
	}
	got := largest(uses("p", fset, asts, importer.ForCompiler(fset, "source", nil)))
	if !slices.Equal(got, []string{"a.go", "b.go", "c.go"}) {
		t.Errorf("circle %q", got)
	}
	if got := largest(map[string][]string{"a": {"b"}, "b": {"c"}, "d": {"a"}}); got != nil {
		t.Errorf("no circle, but %q", got)
	}
}
