package tpmcrypto

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	"stubtpm/vtpm/tcg"
)

// A KAT is a known-answer test of one algorithm.
type KAT struct {
	// Alg names the algorithm as TPM2_IncrementalSelfTest does, and is
	// TPM_ALG_NULL for the random number generator.
	Alg tcg.TPMAlgID
	// Run returns an error if an answer is not the known one.
	Run func() error
}

// KATs lists the known-answer tests, one for each algorithm, in the order in
// which they rest on each other.
func KATs() []KAT {
	var out []KAT
	for _, alg := range Hashes() {
		out = append(out, KAT{alg, func() error { return katHash(alg) }})
	}
	rsa := new(katRSA)
	out = append(out,
		KAT{tcg.TPMAlgHMAC, katHMAC},
		KAT{tcg.TPMAlgNull, katDRBG},
		KAT{tcg.TPMAlgKDF1SP800108, katKDFa},
		KAT{tcg.TPMAlgKDF1SP80056A, katKDFe},
		KAT{tcg.TPMAlgMGF1, katMGF1},
		KAT{tcg.TPMAlgKDF2, katKDF2},
		KAT{tcg.TPMAlgXOR, katXOR},
		KAT{tcg.TPMAlgAES, katAES},
		KAT{tcg.TPMAlgTDES, katTDES},
		KAT{tcg.TPMAlgCamellia, katCamellia},
		KAT{tcg.TPMAlgCTR, func() error { return katMode(tcg.TPMAlgCTR) }},
		KAT{tcg.TPMAlgOFB, func() error { return katMode(tcg.TPMAlgOFB) }},
		KAT{tcg.TPMAlgCBC, func() error { return katMode(tcg.TPMAlgCBC) }},
		KAT{tcg.TPMAlgCFB, func() error { return katMode(tcg.TPMAlgCFB) }},
		KAT{tcg.TPMAlgECB, func() error { return katMode(tcg.TPMAlgECB) }},
		KAT{tcg.TPMAlgCMAC, katCMAC},
		KAT{tcg.TPMAlgRSA, rsa.raw},
		KAT{tcg.TPMAlgRSASSA, rsa.ssa},
		KAT{tcg.TPMAlgRSAPSS, rsa.pss},
		KAT{tcg.TPMAlgRSAES, rsa.es},
		KAT{tcg.TPMAlgOAEP, rsa.oaep},
		KAT{tcg.TPMAlgECC, katECC},
		KAT{tcg.TPMAlgECDSA, katECDSA},
		KAT{tcg.TPMAlgECDH, katECDH},
		KAT{tcg.TPMAlgECDAA, katECDAA},
		KAT{tcg.TPMAlgECSchnorr, katSchnorr},
		KAT{tcg.TPMAlgECMQV, katECMQV},
		KAT{tcg.TPMAlgHKDF, katHKDF},
		KAT{tcg.TPMAlgMLKEM, katMLKEM},
		KAT{tcg.TPMAlgMLDSA, katMLDSA},
		KAT{tcg.TPMAlgHashMLDSA, katHashMLDSA},
	)
	return append(out, katsSM()...)
}

// A SelfTestError says which algorithm gave a wrong answer. The device that
// sees one enters failure mode.
type SelfTestError struct {
	Alg tcg.TPMAlgID
	Err error
}

func (e *SelfTestError) Error() string {
	return fmt.Sprintf("tpmcrypto: self-test of algorithm %#04x: %v", uint16(e.Alg), e.Err)
}

// Unwrap returns what the test said.
func (e *SelfTestError) Unwrap() error { return e.Err }

// A SelfTest remembers, for one device, which algorithms have passed their
// known-answer tests. The zero value remembers nothing. It may be used by
// several goroutines at once.
type SelfTest struct {
	// TestingOnlyFail, if set, is asked before each test, and lets the test of
	// an algorithm fail for which it returns true.
	TestingOnlyFail func(tcg.TPMAlgID) bool

	mu     sync.Mutex
	passed []tcg.TPMAlgID
	failed error
}

// errSimulated is what a test that TestingOnlyFail chose says.
var errSimulated = fmt.Errorf("simulated failure")

// Need tests algorithms that have not passed yet, before their first use.
// Algorithms without a test are passed over. The error is a *SelfTestError;
// once one has been returned, it is returned forever.
func (s *SelfTest) Need(algs ...tcg.TPMAlgID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, alg := range algs {
		if s.failed == nil && !slices.Contains(s.passed, alg) {
			s.run(func(k KAT) bool { return k.Alg == alg })
		}
	}
	return s.failed
}

// All tests every algorithm: those that have not passed yet, or with full all
// over again (TPM2_SelfTest). Error as Need.
func (s *SelfTest) All(full bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if full && s.failed == nil {
		s.passed = nil
	}
	s.run(func(k KAT) bool { return !slices.Contains(s.passed, k.Alg) })
	return s.failed
}

func (s *SelfTest) run(which func(KAT) bool) {
	for _, k := range KATs() {
		if s.failed != nil {
			return
		}
		if !which(k) {
			continue
		}
		s.record(k.Alg, s.simulated(k).Run())
	}
}

// simulated is k, made to fail if TestingOnlyFail says so.
func (s *SelfTest) simulated(k KAT) KAT {
	fail, run := s.TestingOnlyFail, k.Run
	if fail == nil {
		return k
	}
	return KAT{k.Alg, func() error {
		if fail(k.Alg) {
			return errSimulated
		}
		return run()
	}}
}

func (s *SelfTest) record(alg tcg.TPMAlgID, err error) {
	switch {
	case s.failed != nil:
	case err != nil:
		s.failed = &SelfTestError{alg, err}
	case !slices.Contains(s.passed, alg):
		s.passed = append(s.passed, alg)
	}
}

// Next returns a test that has not passed yet, of an algorithm that want
// accepts, or false if none is left or one failed. It is the caller's to run,
// without holding anything up, and Record takes what it returned.
func (s *SelfTest) Next(want func(tcg.TPMAlgID) bool) (KAT, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return KAT{}, false
	}
	for _, k := range KATs() {
		if !slices.Contains(s.passed, k.Alg) && want(k.Alg) {
			return s.simulated(k), true
		}
	}
	return KAT{}, false
}

// Record notes what the test of an algorithm returned. Error as Need.
func (s *SelfTest) Record(alg tcg.TPMAlgID, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record(alg, err)
	return s.failed
}

// ToDo lists the algorithms that have not passed yet, but for the random
// number generator, which has no id (TPM2_IncrementalSelfTest).
func (s *SelfTest) ToDo() []tcg.TPMAlgID {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []tcg.TPMAlgID{}
	for _, k := range KATs() {
		if k.Alg != tcg.TPMAlgNull && !slices.Contains(s.passed, k.Alg) {
			out = append(out, k.Alg)
		}
	}
	return out
}

// Failed returns the error of the test that failed, or nil.
func (s *SelfTest) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// errAnswer is a wrong answer.
type errAnswer struct{ got, want []byte }

func (e errAnswer) Error() string { return fmt.Sprintf("got %x, want %x", e.got, e.want) }

// known compares parts, one after the other, with an answer in hexadecimal.
func known(want string, got ...[]byte) error {
	w, g := fromHex(want), bytes.Join(got, nil)
	if !bytes.Equal(g, w) {
		return errAnswer{g, w}
	}
	return nil
}

// fromHex decodes a constant of a test.
func fromHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("tpmcrypto: internal error: constant of a self-test")
	}
	return b
}
