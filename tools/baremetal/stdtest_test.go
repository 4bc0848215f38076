package main

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestStdBoard fails on a package of this module that the board of the standard
// library's tests imports and its tree would lack.
func TestStdBoard(t *testing.T) {
	t.Parallel()
	for _, name := range stdBoard {
		files, err := filepath.Glob("../../board/" + name + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("board/%s: no files, %v", name, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range f.Imports {
				path, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if ours, ok := strings.CutPrefix(path, "stubtpm/"); ok && !slices.Contains(stdBoard[:], strings.TrimPrefix(ours, "board/")) {
					t.Errorf("%s imports %s", file, path)
				}
			}
		}
	}
}
