package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Failures are counted by their reason, and one without a reason stays.
func TestJudge(t *testing.T) {
	events := `{"Action":"pass","Test":"TestGood"}
{"Action":"output","Test":"TestA/x","Output":"TPM_RC_COMMAND_CODE: not supported\n"}
{"Action":"fail","Test":"TestA/x"}
{"Action":"fail","Test":"TestA"}
{"Action":"fail","Test":"TestB/known"}
{"Action":"output","Test":"TestB/other","Output":"wrong digest\n"}
{"Action":"fail","Test":"TestB/other"}
{"Action":"fail","Test":"TestB"}
{"Action":"output","Test":"TestC","Output":"    x_test.go:7: no TPM at hand\n"}
{"Action":"output","Test":"TestC","Output":"--- SKIP: TestC (0.00s)\n"}
{"Action":"skip","Test":"TestC"}
not json
`
	r := &result{output: map[string][]string{}}
	r.read(strings.NewReader(events))
	r.judge(map[string]string{"TestB/known": "because"})
	tests, subs := tally{passed: 1, failed: 2, skipped: 1}, tally{failed: 2, known: 1}
	if r.tests != tests || r.subs != subs {
		t.Errorf("tests %v, subtests %v", r.tests, r.subs)
	}
	if len(r.skipped) != 1 || r.skipped[0] != [2]string{"TestC", "no TPM at hand"} {
		t.Errorf("skipped: %q", r.skipped)
	}
}

// The commands of a trace that succeeded, and only those.
func TestSucceeded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace")
	text := "000 80010000000c0000014400001\n100 80010000000c000001440000\n1c4 80010000000c00000145\n000 8001000000\n000 80010000000c0000017b0008\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := succeeded(file)
	if err != nil || !maps.Equal(got, map[uint32]bool{0x144: true, 0x17B: true}) {
		t.Errorf("%v, %v", got, err)
	}
}
