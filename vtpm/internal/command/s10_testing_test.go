package command_test

import (
	"slices"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// testResult is TPM2_GetTestResult.
func testResult(tpm *tpmtest.TPM) (what string, rc tcg.TPMRC) {
	r := tpm.Do(tcg.TPMCCGetTestResult, nil, nil)
	what = string(take(r))
	return what, tcg.TPMRC(r.Uint32())
}

// TestSelfTest: what was not tested is, and the result says so (Part 3, 10.2 to
// 10.4).
func TestSelfTest(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{true, false} {
		tpm := tpmtest.New(t)
		if _, rc := testResult(tpm); rc != tcg.TPMRCNeedsTest {
			t.Errorf("before: %v", rc)
		}
		tpm.Do(tcg.TPMCCSelfTest, nil, nil, full)
		if _, rc := testResult(tpm); rc != tcg.TPMRCSuccess {
			t.Errorf("after full %t: %v", full, rc)
		}
	}
}

// failing is a TPM whose known answer for an algorithm will not be met.
func failing(t *testing.T) *tpmtest.TPM {
	tpm := tpmtest.New(t)
	tpm.TestingOnlyFailSelfTest(tcg.TPMAlgAES)
	return tpm
}

func TestSelfTestCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCSelfTest)
	c.row(tcg.TPMRCValue.P(1), "fullTest is neither yes nor no", nil, 2)
	bad := failing(t)
	c.on(bad).row(tcg.TPMRCFailure, "a known answer is not met", nil, true)
	bad.Want(tcg.TPMRCFailure, tcg.TPMCCGetRandom, nil, nil, 1)
}

// TestIncrementalSelfTest: what was asked for is no more to do.
func TestIncrementalSelfTest(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	toDo := func(algs tcg.TPMLAlg) (left tcg.TPMLAlg) {
		r := tpm.Do(tcg.TPMCCIncrementalSelfTest, nil, nil, algs)
		profile := tpm.Profile()
		in := tcg.NewReader(r.Rest(), &profile)
		left.Unmarshal(&in)
		return left
	}
	all := toDo(nil)
	if !slices.Contains(all, tcg.TPMAlgECDSA) {
		t.Fatalf("to be tested: %v", all)
	}
	profile := tpm.Profile()
	for _, alg := range all {
		if !profile.HasAlg(alg) {
			t.Errorf("%v is not in the profile", alg)
		}
	}
	if left := toDo(tcg.TPMLAlg{tcg.TPMAlgECDSA}); slices.Contains(left, tcg.TPMAlgECDSA) || len(left) >= len(all) {
		t.Errorf("left after ECDSA: %v of %v", left, all)
	}
	if left := toDo(all); len(left) != 0 {
		t.Errorf("left after all: %v", left)
	}
}

func TestIncrementalSelfTestCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCIncrementalSelfTest)
	c.row(tcg.TPMRCSize.P(1), "more algorithms than there can be", nil, tpmtest.Raw{0, 1, 0, 0})
	c.row(tcg.TPMRCInsufficient.P(1), "a list that is cut", nil, tpmtest.Raw{0, 0, 0, 2, 0, 6})
	c.on(failing(t)).row(tcg.TPMRCFailure, "a known answer is not met", nil, tcg.TPMLAlg{tcg.TPMAlgAES})
}

func TestGetTestResultCodes(t *testing.T) {
	t.Parallel()
	tpm := failing(t)
	c := codesOf(t, tpm, tcg.TPMCCGetTestResult)
	c.excuse(tcg.TPMRCNeedsTest, "it is a result that is told in a response that is no error: TestSelfTest")
	c.row(tcg.TPMRCSize, "with a parameter", nil, tpmtest.Raw{0})
	tpm.Run(tcg.TPMCCSelfTest, nil, nil, true)
	if what, rc := testResult(tpm); what == "" || rc != tcg.TPMRCFailure {
		t.Errorf("in failure mode: %q, %v", what, rc)
	}
}
