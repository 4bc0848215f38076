package count

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A Circle is the largest set of a package's files, without its tests, in which
// each file depends on every other, directly or by way of others. A file depends on
// another if it uses a name that the other declares at package level, or a
// method that it declares.
type Circle struct {
	Package string // folder relative to the root
	Files   int    // of the package
	Circle  []string
}

// A listed is what go list prints about a package.
type listed struct {
	Dir, ImportPath, Export string
	GoFiles                 []string
	DepOnly                 bool
}

// Circles returns the circle of each package below root, as it is on linux/amd64
// with the given build tags. The module must compile.
func Circles(root, tags string) ([]Circle, error) {
	c := exec.Command("go", "list", "-e", "-export", "-deps", "-tags", tags, "-json=Dir,ImportPath,Export,GoFiles,DepOnly", "./...")
	c.Dir = root
	c.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("count: go list: %w", err)
	}
	var all []listed
	export := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("count: go list: %w", err)
		}
		all = append(all, p)
		export[p.ImportPath] = p.Export
	}
	top, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(export[path]) })
	var list []Circle
	for _, p := range all {
		if p.DepOnly || len(p.GoFiles) == 0 {
			continue
		}
		var asts []*ast.File
		for _, name := range p.GoFiles {
			a, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			asts = append(asts, a)
		}
		folder, err := filepath.Rel(top, p.Dir)
		if err != nil {
			return nil, err
		}
		list = append(list, Circle{filepath.ToSlash(folder), len(p.GoFiles), largest(uses(p.ImportPath, fset, asts, imports))})
	}
	return list, nil
}

// uses maps each file of a package to those that it depends on. What an import
// does not resolve is left out.
func uses(path string, fset *token.FileSet, asts []*ast.File, imports types.Importer) map[string][]string {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: imports, Error: func(error) {}}
	pkg, _ := conf.Check(path, fset, asts, info) // errors leave uses out
	file := func(p token.Pos) string { return filepath.Base(fset.Position(p).Filename) }
	edges := map[string][]string{}
	for id, o := range info.Uses {
		if o.Pkg() != pkg {
			continue
		}
		if f, ok := o.(*types.Func); ok {
			o = f.Origin()
			if f.Signature().Recv() == nil && o.Parent() != pkg.Scope() {
				continue
			}
		} else if o.Parent() != pkg.Scope() {
			continue
		}
		if from, to := file(id.Pos()), file(o.Pos()); from != to && !slices.Contains(edges[from], to) {
			edges[from] = append(edges[from], to)
		}
	}
	return edges
}

// largest returns the largest set of nodes that all reach each other, sorted, or
// nil if no two do.
func largest(edges map[string][]string) []string {
	reached := map[string]map[string]bool{}
	for n := range edges {
		seen := map[string]bool{}
		todo := []string{n}
		for len(todo) > 0 {
			next := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for _, m := range edges[next] {
				if !seen[m] {
					seen[m] = true
					todo = append(todo, m)
				}
			}
		}
		reached[n] = seen
	}
	var best []string
	for n := range reached {
		var circle []string
		for m := range reached[n] {
			if reached[m][n] {
				circle = append(circle, m)
			}
		}
		slices.Sort(circle)
		if len(circle) > len(best) || len(circle) == len(best) && strings.Join(circle, " ") < strings.Join(best, " ") {
			best = circle
		}
	}
	return best
}
