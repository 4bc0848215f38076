package count

import "go/ast"

// A Name is an exported name of a package, or an exported method of an exported
// type.
type Name struct {
	Name    string // a method with its receiver's type
	File    string
	Line    int
	Comment bool // has a doc comment, or a comment of its group or line
	Method  bool
}

// Exported lists the exported names that the file declares, fields left out.
func (f *File) Exported() []Name {
	var list []Name
	add := func(name string, id *ast.Ident, method bool, comments ...*ast.CommentGroup) {
		if !id.IsExported() {
			return
		}
		n := Name{Name: name, File: f.Name, Line: f.Fset.Position(id.Pos()).Line, Method: method}
		for _, c := range comments {
			n.Comment = n.Comment || c != nil
		}
		list = append(list, n)
	}
	for _, d := range f.AST.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			r := receiver(d)
			switch {
			case d.Recv == nil:
				add(d.Name.Name, d.Name, false, d.Doc)
			case ast.IsExported(r):
				add(r+"."+d.Name.Name, d.Name, true, d.Doc)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					add(s.Name.Name, s.Name, false, d.Doc, s.Doc, s.Comment)
				case *ast.ValueSpec:
					for _, id := range s.Names {
						add(id.Name, id, false, d.Doc, s.Doc, s.Comment)
					}
				}
			}
		}
	}
	return list
}
