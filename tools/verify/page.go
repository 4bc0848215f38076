package verify

import (
	_ "embed"
	"html/template"
	"os"
)

//go:embed page.html
var page string

// writePage writes an outcome as a page without scripts or references.
func (o *outcome) writePage(file string) error {
	t, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := t.Execute(f, o); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
