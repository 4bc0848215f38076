package tpmcrypto

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"stubtpm/vtpm/tcg"
)

func TestKATs(t *testing.T) {
	t.Parallel()
	seen := map[tcg.TPMAlgID]bool{}
	for _, k := range KATs() {
		if seen[k.Alg] {
			t.Errorf("%#x has two tests", k.Alg)
		}
		seen[k.Alg] = true
		start := time.Now()
		if err := k.Run(); err != nil {
			t.Errorf("%#x: %v", k.Alg, err)
		}
		t.Logf("%#04x %v", uint16(k.Alg), time.Since(start))
	}
	for _, alg := range Hashes() {
		if !seen[alg] {
			t.Errorf("hash %#x has no test", alg)
		}
	}
	for _, c := range cipherCases() {
		if !seen[c.alg] {
			t.Errorf("cipher %#x has no test", c.alg)
		}
	}
	for _, m := range modes {
		if !seen[m] {
			t.Errorf("mode %#x has no test", m)
		}
	}
}

func TestSelfTest(t *testing.T) {
	t.Parallel()
	var s SelfTest
	all := len(s.ToDo())
	if all != len(KATs())-1 {
		t.Errorf("%d to do of %d", all, len(KATs()))
	}
	if err := s.Need(tcg.TPMAlgSHA256, tcg.TPMAlgCFB, tcg.TPMAlgKeyedHash, tcg.TPMAlgNull); err != nil {
		t.Fatal(err)
	}
	if todo := s.ToDo(); len(todo) != all-2 || slices.Contains(todo, tcg.TPMAlgCFB) {
		t.Errorf("%d to do of %d after two", len(todo), all)
	}
	if err := s.All(false); err != nil || len(s.ToDo()) != 0 || s.Failed() != nil {
		t.Errorf("%v, to do %v", err, s.ToDo())
	}
}

// Every test can fail, is not run again once it passed unless asked, and its
// failure stays.
func TestSimulatedFailure(t *testing.T) {
	t.Parallel()
	for _, k := range KATs() {
		asked := 0
		s := SelfTest{TestingOnlyFail: func(alg tcg.TPMAlgID) bool {
			if alg == k.Alg {
				asked++
			}
			return alg == k.Alg
		}}
		err := s.Need(k.Alg)
		var e *SelfTestError
		if !errors.As(err, &e) || e.Alg != k.Alg || !errors.Is(err, errSimulated) || !strings.Contains(err.Error(), "0x") {
			t.Fatalf("%#x: %v", k.Alg, err)
		}
		if s.Need(tcg.TPMAlgSHA1) != err || s.Need(k.Alg) != err || s.All(true) != err || s.Failed() != err || asked != 1 {
			t.Errorf("%#x: the failure does not stay", k.Alg)
		}
	}
	runs := 0
	s := SelfTest{TestingOnlyFail: func(tcg.TPMAlgID) bool { runs++; return false }}
	for range 3 {
		s.Need(tcg.TPMAlgSHA256)
	}
	if runs != 1 {
		t.Errorf("one test run %d times", runs)
	}
	s.All(false)
	if runs != len(KATs()) {
		t.Errorf("%d runs", runs)
	}
	s.All(true)
	if runs != 2*len(KATs()) {
		t.Errorf("a full test runs %d", runs)
	}
}

// A wrong constant is noticed: the tests do compare.
func TestKnown(t *testing.T) {
	t.Parallel()
	if known("0102", []byte{1}, []byte{2}) != nil || known("0102", []byte{1}) == nil || known("", []byte{1}) == nil {
		t.Error("known")
	}
	if err := katBlock(tcg.TPMAlgAES, katKey, "00112233445566778899aabbccddeeff", "00112233445566778899aabbccddeeff"); err == nil {
		t.Error("a wrong block is accepted")
	}
	if wrongSignature(nil, nil) == nil || wrongSignature(ErrSignature, ErrSignature) == nil || wrongSignature(nil, ErrSignature) != nil {
		t.Error("wrongSignature")
	}
}

func BenchmarkSelfTestAll(b *testing.B) {
	for b.Loop() {
		var s SelfTest
		if err := s.All(true); err != nil {
			b.Fatal(err)
		}
	}
}
