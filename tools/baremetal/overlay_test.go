package main

import (
	"strings"
	"testing"
)

func TestApply(t *testing.T) {
	got, err := apply("f", "a b a", []edit{{"a", 2, "c"}, {"b", 1, ""}})
	if err != nil || got != "c  c" {
		t.Errorf("%q, %v", got, err)
	}
	for _, n := range []int{0, 1, 3} {
		_, err := apply("stock.go", "a b a", []edit{{"a", n, "c"}})
		if err == nil || !strings.Contains(err.Error(), "stock.go") {
			t.Errorf("count %d: error %v, want the file's name", n, err)
		}
	}
}

// TestOverlay: the installed Go is the one the port was made for.
func TestOverlay(t *testing.T) {
	goroot, err := goEnv("GOROOT")
	if err != nil {
		t.Fatal(err)
	}
	files, err := overlayFiles(goroot, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < len(changes) {
		t.Errorf("%d files for %d changes", len(files), len(changes))
	}
	if _, err := overlayFiles(t.TempDir(), t.TempDir()); err == nil {
		t.Error("an empty tree was accepted as GOROOT")
	}
}
