package command_test

import (
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// bySession begins the rows of a command with those that each has whose first
// handle is a policy session, and returns such a session.
func bySession(c *codes, params ...any) handles {
	c.t.Helper()
	mac := c.tpm.StartSession(tpmtest.SessionParams{}).Handle
	s := c.tpm.StartSession(tpmtest.SessionParams{Type: tcg.TPMSETrial}).Handle
	c.row(tcg.TPMRCReferenceH0, "no such session", handles{s + 1}, params...)
	c.row(tcg.TPMRCValue.H(1), "an HMAC session", handles{mac}, params...)
	c.row(tcg.TPMRCSuccess, "a trial session", handles{s}, params...)
	c.tpm.Flush(mac, s)
	return handles{c.tpm.StartPolicy().Handle}
}

// TestPolicyPlainCodes has the commands in which only the session can be wrong.
func TestPolicyPlainCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	for _, c := range []*codes{
		codesOf(t, tpm, tcg.TPMCCPolicyAuthValue),
		codesOf(t, tpm, tcg.TPMCCPolicyPassword),
		codesOf(t, tpm, tcg.TPMCCPolicyPhysicalPresence),
		codesOf(t, tpm, tcg.TPMCCPolicyGetDigest),
	} {
		h := bySession(c)
		c.row(tcg.TPMRCSuccess, "a policy session", h)
		c.row(tcg.TPMRCSize, "a parameter", h, tpmtest.Raw{0})
	}
}

func TestPolicyORCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCPolicyOR)
	h := bySession(c, digests("a", "b"))
	c.row(tcg.TPMRCSize.P(1), "one branch", h, digests(string(zero)))
	c.row(tcg.TPMRCSize.P(1), "nine branches", h, digests("", "", "", "", "", "", "", "", string(zero)))
	c.row(tcg.TPMRCSize.P(1), "longer than any digest", h, digests(string(make([]byte, 65)), string(zero)))
	c.row(tcg.TPMRCValue.P(1), "no branch is the session's digest", h, digests("a", string(zero[1:])))
	c.row(tcg.TPMRCSuccess, "eight branches", h, digests("", "", "", "", "", "", "", string(zero)))
	c.row(tcg.TPMRCValue.P(1), "the session's digest is another now", h, digests("a", string(zero)))
}

func TestPolicyPCRCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPolicyPCR)
	pcrs := bank(tcg.TPMAlgSHA256, 8)
	h := bySession(c, someHash, pcrs)
	c.row(tcg.TPMRCValue.P(1), "another value", h, someHash, pcrs)
	c.row(tcg.TPMRCSuccess, "the value", h, hash(zero), pcrs)
	c.row(tcg.TPMRCSuccess, "no value", h, nil, pcrs)
	tpm.Do(tcg.TPMCCPCREvent, handles{16}, nil, "event")
	c.row(tcg.TPMRCSuccess, "after an event that is not counted", h, nil, pcrs)
	tpm.Do(tcg.TPMCCPCREvent, handles{9}, nil, "event")
	c.row(tcg.TPMRCPCRChanged, "after an event in another PCR", h, nil, pcrs)
	tpm.Do(tcg.TPMCCPolicyRestart, h, nil)
	c.row(tcg.TPMRCSuccess, "begun again", h, nil, pcrs)
	tpm.Do(tcg.TPMCCClear, handles{platform}, nil)
	c.row(tcg.TPMRCPCRChanged, "after TPM2_Clear", h, nil, pcrs)
}

func TestPolicyLocalityCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPolicyLocality)
	h := bySession(c, 1)
	c.row(tcg.TPMRCRange.P(1), "no locality", h, 0)
	c.row(tcg.TPMRCSuccess, "0 to 2", h, 7)
	c.row(tcg.TPMRCRange.P(1), "an extended one", h, 32)
	c.row(tcg.TPMRCSuccess, "1 and 3", h, 10)
	c.row(tcg.TPMRCRange.P(1), "2, which is excluded", h, 4)
	c.row(tcg.TPMRCSuccess, "1", h, 2)
	tpm.Do(tcg.TPMCCPolicyRestart, h, nil)
	c.row(tcg.TPMRCSuccess, "an extended one first", h, 32)
	c.row(tcg.TPMRCRange.P(1), "another extended one", h, 33)
	c.row(tcg.TPMRCRange.P(1), "one that is not", h, 1)
	c.row(tcg.TPMRCSuccess, "the same", h, 32)
}

func TestPolicyCommandCodeCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPolicyCommandCode)
	h := bySession(c, tcg.TPMCCSign)
	for _, cc := range []tcg.TPMCC{0, 0x20000000, tcg.TPMCCFieldUpgradeStart} {
		c.row(tcg.TPMRCPolicyCC.P(1), "not implemented", h, cc)
	}
	c.row(tcg.TPMRCSuccess, "implemented", h, tcg.TPMCCSign)
	c.row(tcg.TPMRCValue.P(1), "another", h, tcg.TPMCCUnseal)
	c.row(tcg.TPMRCSuccess, "the same", h, tcg.TPMCCSign)
}

// TestPolicyHashCodes: of the commands that restrict a session by a hash one may
// be used, and only two of them again (Part 3, 23.13, 23.14, 23.15, 23.21 and
// 23.24).
func TestPolicyHashCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	commands := []*codes{
		codesOf(t, tpm, tcg.TPMCCPolicyCpHash),
		codesOf(t, tpm, tcg.TPMCCPolicyNameHash),
		codesOf(t, tpm, tcg.TPMCCPolicyTemplate),
		codesOf(t, tpm, tcg.TPMCCPolicyParameters),
	}
	selects := codesOf(t, tpm, tcg.TPMCCPolicyDuplicationSelect)
	for _, first := range commands {
		h := bySession(first, someHash)
		first.row(tcg.TPMRCSize.P(1), "31 bytes", h, someHash[1:])
		first.row(tcg.TPMRCSize.P(1), "none", h, nil)
		first.row(tcg.TPMRCSuccess, "alone", h, someHash)
		for _, second := range commands {
			same, other := tcg.TPMRCCPHash, tcg.TPMRCCPHash
			if first == second && first.cc == tcg.TPMCCPolicyTemplate {
				same, other = tcg.TPMRCSuccess, tcg.TPMRCValue.P(1)
			}
			if first == second && first.cc == tcg.TPMCCPolicyCpHash {
				same = tcg.TPMRCSuccess
			}
			second.row(other, "another hash after "+first.cc.String(), h, hash(someHash))
			second.row(same, "the same hash after "+first.cc.String(), h, someHash)
		}
		selects.row(tcg.TPMRCCPHash, "after "+first.cc.String(), h, someName, someName, true)
		tpm.Flush(h[0])
	}
	h := bySession(selects, someName, someName, true)
	selects.row(tcg.TPMRCSize.P(1), "a Name that is longer than any", h, make([]byte, 67), someName, true)
	selects.row(tcg.TPMRCValue.P(3), "neither yes nor no", h, someName, someName, tpmtest.Raw{2})
	selects.row(tcg.TPMRCSuccess, "alone", h, someName, someName, true)
	for _, c := range commands {
		c.row(tcg.TPMRCCPHash, "after TPM2_PolicyDuplicationSelect", h, someHash)
	}
	for cc, rc := range map[tcg.TPMCC]tcg.TPMRC{tcg.TPMCCUnseal: tcg.TPMRCPolicyCC, tcg.TPMCCDuplicate: tcg.TPMRCSuccess} {
		s := tpm.StartPolicy()
		step(tcg.TPMCCPolicyCommandCode, cc)(tpm, s)
		selects.row(rc, "after TPM2_PolicyCommandCode", handles{s.Handle}, someName, someName, false)
	}
}

func TestPolicyNvWrittenCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCPolicyNvWritten)
	h := bySession(c, true)
	c.row(tcg.TPMRCValue.P(1), "neither yes nor no", h, 2)
	c.row(tcg.TPMRCSuccess, "written", h, true)
	c.row(tcg.TPMRCValue.P(1), "not written", h, false)
	c.row(tcg.TPMRCSuccess, "written again", h, true)
}
