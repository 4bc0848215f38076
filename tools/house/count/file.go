package count

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A File is one Go file of a module, parsed with its comments.
type File struct {
	Name string // relative to the root, with slashes
	Src  []byte
	Fset *token.FileSet
	AST  *ast.File
}

// Files parses each Go file below root, whatever its build tags. Folders named
// build, testdata and .git are left out.
func Files(root string) ([]File, error) {
	var files []File
	err := Walk(root, ".go", func(name string, src []byte) error {
		f := File{Name: name, Src: src, Fset: token.NewFileSet()}
		var err error
		if f.AST, err = parser.ParseFile(f.Fset, name, src, parser.ParseComments); err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// Walk calls f with the name (relative to root, with slashes) and the content of
// each file below root whose name ends in suffix.
func Walk(root, suffix string, f func(name string, content []byte) error) error {
	return filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			if n := e.Name(); n == "build" || n == ".git" || n == "testdata" {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(p, suffix):
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(p)
		if err != nil {
			return fmt.Errorf("count: %w", err)
		}
		return f(filepath.ToSlash(rel), content)
	})
}

// Test reports whether the file is part of a test.
func (f *File) Test() bool { return strings.HasSuffix(f.Name, "_test.go") }

// Folder returns the folder of the file's package, relative to the root.
func (f *File) Folder() string { return filepath.ToSlash(filepath.Dir(f.Name)) }

// Lines returns the number of lines.
func (f *File) Lines() int { return bytes.Count(f.Src, []byte("\n")) }

// LinesOver returns the number of lines with more than columns characters, a tab
// being one.
func (f *File) LinesOver(columns int) int { return linesOver(f.Src, columns) }

func linesOver(text []byte, columns int) int {
	n := 0
	for line := range bytes.Lines(text) {
		if len([]rune(strings.TrimRight(string(line), "\n"))) > columns {
			n++
		}
	}
	return n
}

// CommentLines returns the number of lines that hold a comment and no code.
func (f *File) CommentLines() int {
	code := map[int]bool{}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n.(type) {
		case nil, *ast.Comment, *ast.CommentGroup:
			return false
		}
		code[f.Fset.Position(n.Pos()).Line] = true
		return true
	})
	n := 0
	for _, g := range f.AST.Comments {
		for _, c := range g.List {
			for l := f.Fset.Position(c.Pos()).Line; l <= f.Fset.Position(c.End()).Line; l++ {
				if !code[l] {
					n++
				}
			}
		}
	}
	return n
}
