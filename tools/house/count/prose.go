package count

import (
	"path"
	"strings"
)

// Prose counts the lines of a Markdown text that are neither of a table nor
// indented or fenced code, and returns the numbers of those with more than
// columns characters. A line without a blank to break it at does not count.
func Prose(text []byte, columns int) (lines int, over []int) {
	fenced := false
	for i, l := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(l, "```") {
			fenced = !fenced
			continue
		}
		if fenced || l == "" || strings.HasPrefix(l, "|") || strings.HasPrefix(l, "    ") {
			continue
		}
		lines++
		if len([]rune(l)) > columns && strings.Contains(strings.TrimLeft(l, " -*#>0123456789."), " ") {
			over = append(over, i+1)
		}
	}
	return lines, over
}

// HoldsPackageComment reports whether the package comment belongs into this
// file: doc.go, main.go of a command, or the file of the package's name.
func (f *File) HoldsPackageComment() bool {
	base, pkg := path.Base(f.Name), f.AST.Name.Name
	switch base {
	case "doc.go", pkg + ".go", pkg + "_test.go", path.Base(f.Folder()) + ".go":
		return true
	case "main.go":
		return pkg == "main"
	}
	return false
}
