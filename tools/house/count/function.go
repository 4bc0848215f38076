package count

import (
	"go/ast"
	"go/token"
)

// A Function is a declared function or method.
type Function struct {
	Name       string // with its receiver's type, as in "Device.Execute"
	File       string
	Line       int
	Lines      int // with signature and braces
	Cyclomatic int // 1, and 1 for each branch
}

// Functions lists the functions that have a body.
func (f *File) Functions() []Function {
	var list []Function
	for _, d := range f.AST.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		from, to := f.Fset.Position(fn.Pos()).Line, f.Fset.Position(fn.End()).Line
		name := fn.Name.Name
		if r := receiver(fn); r != "" {
			name = r + "." + name
		}
		list = append(list, Function{name, f.Name, from, to - from + 1, cyclomatic(fn)})
	}
	return list
}

// cyclomatic counts if, for, each case that is not the default, && and ||; those
// of functions inside fn too.
func cyclomatic(fn *ast.FuncDecl) int {
	n := 1
	ast.Inspect(fn.Body, func(node ast.Node) bool {
		switch x := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if x.List != nil {
				n++
			}
		case *ast.CommClause:
			if x.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if x.Op == token.LAND || x.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

// receiver returns the name of the type whose method fn is, or "".
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return ""
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
