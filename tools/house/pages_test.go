package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stubtpm/tools/house/count"
)

// pages returns the Markdown texts of the repository by name.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := count.Walk(root, ".md", func(name string, text []byte) error {
		all[name] = string(text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	testName   = regexp.MustCompile("`(?:(\\w+)\\.)?((?:Test|Fuzz|Example)[A-Z]\\w*)`") // of a package, or not
	inCode     = regexp.MustCompile("`([^`\n]+)`")
	link       = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	pathInRepo = regexp.MustCompile(`^(?:vtpm|vtpmmgr|drivers|board|stubdom|image|tools|docs)/[\w./*<>-]+$`)
)

// TestPagesNameTests: a test that a page names exists. Where several packages have one
// of its name, the page says which: package.TestName.
func TestPagesNameTests(t *testing.T) {
	t.Parallel()
	folders := map[string][]string{} // that have a test of the name
	for _, f := range goFiles(t) {
		for _, fn := range f.Functions() {
			if f.Test() {
				folders[fn.Name] = append(folders[fn.Name], f.Folder())
			}
		}
	}
	for name, text := range pages(t) {
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			of := slices.DeleteFunc(slices.Clone(folders[m[2]]), func(f string) bool { return m[1] != "" && path.Base(f) != m[1] })
			if len(of) == 0 {
				t.Errorf("%s names %s, which does not exist", name, m[0])
			} else if len(of) > 1 { // one of them could go, and the page would still pass
				t.Errorf("%s names %s, which is in %s: write its package before it", name, m[0], strings.Join(of, " and "))
			}
		}
	}
}

// TestPagesNameFiles: a file or folder that a page names or links to exists.
func TestPagesNameFiles(t *testing.T) {
	t.Parallel()
	for name, text := range pages(t) {
		for _, m := range inCode.FindAllStringSubmatch(text, -1) {
			p := m[1]
			if !pathInRepo.MatchString(p) || strings.Contains(p, "<") {
				continue
			}
			found, err := filepath.Glob(filepath.Join(root, p))
			if err == nil && len(found) == 0 { // a package, and a function of it: vtpm/tcg.Reader
				found, err = filepath.Glob(filepath.Join(root, strings.TrimSuffix(p, path.Ext(p))))
			}
			if err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which does not exist", name, p)
			}
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, path.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
			}
		}
	}
}

// TestThreatMessages: a message in the last column of docs/threat-model.md is
// one that a program prints, or the name of an error.
func TestThreatMessages(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	for _, f := range goFiles(t) {
		if !f.Test() {
			source.Write(f.Src)
		}
	}
	messages, column := 0, false
	for _, line := range strings.Split(pages(t)["docs/threat-model.md"], "\n") {
		if !strings.HasPrefix(line, "|") {
			column = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), "|")
		last := cells[len(cells)-1]
		column = column || strings.TrimSpace(last) == "message"
		if !column || !strings.HasSuffix(line, " |") {
			continue
		}
		for _, m := range inCode.FindAllStringSubmatch(last, -1) {
			if testName.MatchString(m[0]) { // the row has no message
				continue
			}
			if messages++; !strings.Contains(source.String(), m[1]) {
				t.Errorf("docs/threat-model.md has the message %q, which no program prints", m[1])
			}
		}
	}
	if messages < 10 {
		t.Errorf("found %d messages", messages)
	}
}

// TestProtocolPage: docs/manager-protocol.md has each ordinal with its name, and
// each status.
func TestProtocolPage(t *testing.T) {
	t.Parallel()
	page := pages(t)["docs/manager-protocol.md"]
	ordinals, statuses := typedConstants(t, "vtpmmgr/proto/", "Ordinal"), typedConstants(t, "vtpmmgr/proto/", "Code")
	if len(ordinals) < 20 || len(statuses) < 20 {
		t.Fatalf("found %d ordinals and %d statuses", len(ordinals), len(statuses))
	}
	for name, value := range ordinals {
		if !strings.Contains(page, fmt.Sprintf("| 0x%08X | %s", value, upperSnake(name))) {
			t.Errorf("docs/manager-protocol.md has no row for %#x %s", value, upperSnake(name))
		}
	}
	for name, value := range statuses {
		if !strings.Contains(page, fmt.Sprintf("\n| %d | ", value)) {
			t.Errorf("docs/manager-protocol.md has no row for status %d, %s", value, name)
		}
	}
}

// typedConstants returns the constants of a type that the files of a folder
// declare with their values.
func typedConstants(t *testing.T, folder, typ string) map[string]uint64 {
	t.Helper()
	found := map[string]uint64{}
	for _, f := range goFiles(t) {
		if !strings.HasPrefix(f.Name, folder) || f.Test() {
			continue
		}
		for _, d := range f.AST.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				if id, ok := v.Type.(*ast.Ident); !ok || id.Name != typ {
					for _, e := range v.Values { // Made = Ordinal(3)
						if c, ok := e.(*ast.CallExpr); ok && isIdent(c.Fun, typ) {
							t.Errorf("%s: %s has its type by a conversion: write the type before its number", f.Name, v.Names[0].Name)
						}
					}
					continue
				}
				if len(v.Names) != 1 || len(v.Values) != 1 {
					t.Errorf("%s: %s and its value need a line of their own", f.Name, v.Names[0].Name)
					continue
				}
				lit, ok := v.Values[0].(*ast.BasicLit)
				if !ok { // the tests of the pages would not see it
					t.Errorf("%s: %s is not a number: write it as one", f.Name, v.Names[0].Name)
					continue
				}
				n, err := strconv.ParseUint(lit.Value, 0, 64)
				if err != nil {
					t.Fatal(err)
				}
				found[v.Names[0].Name] = n
			}
		}
	}
	return found
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// upperSnake writes CreateGroup as CREATE_GROUP.
func upperSnake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// TestStatePage: docs/state-format.md says which versions are written, and which
// file has a permanent state of each.
func TestStatePage(t *testing.T) {
	t.Parallel()
	page := pages(t)["docs/state-format.md"]
	for _, c := range []struct{ folder, constant, row string }{
		{"vtpm/", "stateVersion", "| permanent state | %d |"},
		{"vtpm/", "VolatileVersion", "| volatile state | %d |"},
		{"tools/hosted/", "fileVersion", "| hosted state file | %d |"},
	} {
		if want := fmt.Sprintf(c.row, number(t, c.folder, c.constant)); !strings.Contains(page, want) {
			t.Errorf("docs/state-format.md has no %q, which %s says", want, c.constant)
		}
	}
	fixtures, err := filepath.Glob(filepath.Join(root, "vtpm/internal/command/testdata/state-v*.bin"))
	if err != nil || len(fixtures) < 2 {
		t.Fatalf("%d fixtures, %v", len(fixtures), err)
	}
	for _, f := range fixtures {
		if !strings.Contains(page, filepath.Base(f)) {
			t.Errorf("docs/state-format.md does not name %s", filepath.Base(f))
		}
	}
	for n := range number(t, "vtpm/", "stateVersion") {
		name := fmt.Sprintf("state-v%d.bin", n+1)
		if _, err := os.Stat(filepath.Join(root, "vtpm/internal/command/testdata", name)); err != nil {
			t.Errorf("version %d of the permanent state has no fixture %s", n+1, name)
		}
	}
}

// number returns the value of a constant that one file below a folder declares.
func number(t *testing.T, folder, constant string) int {
	t.Helper()
	declared := regexp.MustCompile(`\n\s*(?:const )?` + constant + `\s*=\s*(\d+)`)
	value, found := 0, 0
	for _, f := range goFiles(t) {
		m := declared.FindSubmatch(f.Src)
		if m == nil || !strings.HasPrefix(f.Name, folder) || f.Test() {
			continue
		}
		var err error
		if value, err = strconv.Atoi(string(m[1])); err != nil {
			t.Fatal(err)
		}
		found++
	}
	if found != 1 {
		t.Fatalf("%s is declared %d times below %s", constant, found, folder)
	}
	return value
}
