package count

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"strings"
)

// A Phrase is one that this project does not write, and what it writes instead.
type Phrase struct {
	Pattern *regexp.Regexp
	Instead string
}

// A Found is a place with such a phrase.
type Found struct {
	File    string
	Line    int
	Text    string
	Instead string
}

func (f Found) String() string {
	return fmt.Sprintf("%s:%d: %q: write %s", f.File, f.Line, f.Text, f.Instead)
}

// Phrases finds phrases in comments and string literals, import paths left out.
func (f *File) Phrases(list []Phrase) []Found {
	var found []Found
	for _, g := range f.AST.Comments {
		found = append(found, phrases(list, f.Name, f.Fset.Position(g.Pos()).Line, comment(g))...)
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				found = append(found, phrases(list, f.Name, f.Fset.Position(n.Pos()).Line, n.Value)...)
			}
		}
		return true
	})
	return found
}

// comment returns a comment's text with its lines kept, the marks as blanks.
func comment(g *ast.CommentGroup) string {
	var lines []string
	for _, c := range g.List {
		lines = append(lines, strings.NewReplacer("//", " ", "/*", " ", "*/", " ").Replace(c.Text))
	}
	return strings.Join(lines, "\n")
}

// code is what a text quotes: no prose.
var code = regexp.MustCompile("```[^`]*```|`[^`\n]*`")

// TextPhrases finds phrases in a Markdown text; what stands in backquotes is
// left out.
func TextPhrases(list []Phrase, name string, text []byte) []Found {
	blank := code.ReplaceAllStringFunc(string(text), func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == '\n' {
				return r
			}
			return '`'
		}, s)
	})
	return phrases(list, name, 1, blank)
}

// phrases matches over line ends, since a phrase may be broken there.
func phrases(list []Phrase, name string, line int, text string) []Found {
	var found []Found
	for _, p := range list {
		for _, at := range p.Pattern.FindAllStringIndex(text, -1) {
			found = append(found, Found{
				File: name, Line: line + strings.Count(text[:at[0]], "\n"),
				Text: strings.Join(strings.Fields(text[at[0]:at[1]]), " "), Instead: p.Instead,
			})
		}
	}
	return found
}
