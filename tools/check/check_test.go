package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCounts runs a small module whose tests pass, fail and skip.
func TestCounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string]string{
		"go.mod": "module m\n\ngo 1.21\n",
		"a_test.go": `package m
import "testing"
func TestGood(t *testing.T) { t.Run("sub", func(t *testing.T) {}) }
func TestBad(t *testing.T) { t.Error("as it must") }
func TestSkipped(t *testing.T) { t.Skip("for a reason") }
`,
		"b/b_test.go": "package b\nfunc broken( {\n",
	}
	for name, text := range files {
		f := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(f), 0o755)
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var log, out bytes.Buffer
	c := command{dir: dir, env: []string{"GOWORK=off", "GOFLAGS="}, argv: []string{"go", "test", "./..."}}
	r := c.goTest(&log, &out)
	if r != (result{passed: 1, failed: 2, skipped: 1}) {
		t.Errorf("counted %+v\n%s\n%s", r, out.String(), log.String())
	}
	for _, want := range []string{"FAIL m TestBad", "as it must", "TestSkipped", "for a reason", "FAIL m/b"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out.String())
		}
	}
	if r := (&command{argv: []string{"false"}}).plain(&log, &out); r.failed != 1 {
		t.Errorf("a command that fails: %+v", r)
	}
	if r := (&command{argv: []string{"true"}}).plain(&log, &out); r != (result{passed: 1}) {
		t.Errorf("a command that succeeds: %+v", r)
	}
	c = command{argv: []string{"sh", "-c", "echo 'suite a 7 passed 1 failed 2 skipped'; echo 'b: 3 passed, 0 failed'; exit 1"}}
	if r := c.plain(&log, &out); r != (result{10, 1, 2}) {
		t.Errorf("a command that counts: %+v", r)
	}
}
