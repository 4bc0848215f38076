package command_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"stubtpm/vtpm/tcg"
)

// sources are where the handlers and their table are.
var sources = []string{"*.go"}

// A handlerSet is what the sources say of the handlers.
type handlerSet struct {
	constants map[string]tcg.TPMCC // by their names
	function  map[tcg.TPMCC]string // of each command
	doc       map[string]string    // comments by function
}

var readHandlers = sync.OnceValues(func() (*handlerSet, error) {
	codes, err := constants()
	if err != nil {
		return nil, err
	}
	s := &handlerSet{codes, map[tcg.TPMCC]string{}, map[string]string{}}
	for _, pattern := range sources {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				return nil, err
			}
			s.add(f)
		}
	}
	return s, nil
})

func handlers(t testing.TB) *handlerSet {
	t.Helper()
	s, err := readHandlers()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// add finds functions with their comments, and the tables whose keys are command
// codes and whose values are functions.
func (s *handlerSet) add(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			s.doc[n.Name.Name] = n.Doc.Text()
		case *ast.KeyValueExpr:
			cc := s.code(n.Key)
			switch v := n.Value.(type) {
			case *ast.Ident:
				s.function[cc] = v.Name
			case *ast.SelectorExpr:
				s.function[cc] = v.Sel.Name
			}
		}
		return true
	})
}

// code returns the command code that an expression such as tcg.TPMCCQuote
// names, or 0.
func (s *handlerSet) code(e ast.Expr) tcg.TPMCC {
	if e, ok := e.(*ast.SelectorExpr); ok {
		return s.constants[e.Sel.Name]
	}
	return 0
}

var (
	codeName  = regexp.MustCompile(`TPM_RC_[A-Z0-9_]+`)
	codesElse = regexp.MustCompile(`(?i)codes\s+are\s+those\s+of\s+(\w+)`)
)

// codesOf returns the names of the codes that the table in the comment of a
// command's handler lists, and those of other functions.
func (s *handlerSet) codesOf(t testing.TB, cc tcg.TPMCC, functions ...string) (codes []string) {
	t.Helper()
	handler := s.function[cc]
	if handler == "" {
		t.Fatalf("no handler of %v found in %v", cc, sources)
	}
	for queue := append(functions, handler); len(queue) > 0; queue = queue[1:] {
		doc, ok := s.doc[queue[0]]
		if !ok {
			t.Fatalf("%v: no function %s", cc, queue[0])
		}
		for line := range strings.Lines(doc) {
			codes = append(codes, leading(line)...)
		}
		if m := codesElse.FindStringSubmatch(doc); m != nil {
			queue = append(queue, m[1])
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// leading returns the codes that a line of a table begins with: before what they
// mean. A table is indented.
func leading(line string) (codes []string) {
	if !strings.HasPrefix(line, "\t") {
		return nil
	}
	for _, word := range strings.Fields(line) {
		if !codeName.MatchString(word) {
			break
		}
		codes = append(codes, strings.TrimSuffix(word, ","))
	}
	return codes
}

// constants returns the command codes by the names of their constants.
func constants() (map[string]tcg.TPMCC, error) {
	f, err := parser.ParseFile(token.NewFileSet(), "../../tcg/cc.go", nil, 0)
	if err != nil {
		return nil, err
	}
	codes := map[string]tcg.TPMCC{}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		switch x := v.Values[0].(type) {
		case *ast.BasicLit:
			if cc, err := strconv.ParseUint(x.Value, 0, 32); err == nil {
				codes[v.Names[0].Name] = tcg.TPMCC(cc)
			}
		case *ast.Ident: // another name of the same
			codes[v.Names[0].Name] = codes[x.Name]
		}
		return true
	})
	return codes, nil
}

// TestEveryCommand fails for a command without rows for its response codes.
func TestEveryCommand(t *testing.T) {
	t.Parallel()
	s := handlers(t)
	tested := map[tcg.TPMCC]bool{}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok && len(c.Args) >= 3 {
				if f, ok := c.Fun.(*ast.Ident); ok && f.Name == "codesOf" {
					tested[s.code(c.Args[2])] = true
				}
			}
			return true
		})
	}
	if len(s.function) < 100 {
		t.Fatalf("only %d commands found", len(s.function))
	}
	for cc := range s.function {
		switch {
		case cc == 0:
		case !tested[cc] && !slices.Contains(pending, cc):
			t.Errorf("%v has no rows for its response codes", cc)
		case tested[cc] && slices.Contains(pending, cc):
			t.Errorf("%v has rows: it is not pending", cc)
		}
	}
}

// pending are commands whose tests are yet to be written.
var pending = []tcg.TPMCC{}

// TestCommentsSayWhatCommandsDo: the comment of a handler begins with the name of
// its command and with what the command does.
func TestCommentsSayWhatCommandsDo(t *testing.T) {
	t.Parallel()
	s := handlers(t)
	begins := regexp.MustCompile(`^\w+ is TPM2_\w+(, and with an HMAC key TPM2_\w+)?,\swhich\s`)
	for cc, name := range s.function {
		if doc, ok := s.doc[name]; ok && !begins.MatchString(doc) {
			t.Errorf("%v: the comment of %s does not say what the command does: %q", cc, name, doc)
		}
	}
}
