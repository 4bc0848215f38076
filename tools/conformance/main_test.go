package main

import (
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
{"Action":"skip","Test":"TestC"}
not json
`
	for _, strict := range []bool{false, true} {
		r := &result{output: map[string][]string{}}
		r.read(strings.NewReader(events))
		r.judge(map[string]string{"TestB/known": "because"}, strict)
		tests, subs := tally{passed: 1, failed: 1, skipped: 1, known: 1}, tally{failed: 1, known: 2}
		if strict {
			tests, subs = tally{passed: 1, failed: 2, skipped: 1}, tally{failed: 2, known: 1}
		}
		if r.tests != tests || r.subs != subs {
			t.Errorf("strict %v: tests %v, subtests %v", strict, r.tests, r.subs)
		}
	}
}
