package command_test

import (
	"strings"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// TestStartup: which of PCRs, objects and counters each kind of startup keeps
// (Part 3, 9.3; Part 1, "TPM Startup").
func TestStartup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name            string
		goes            func(*tpmtest.TPM)
		keepsPCR        bool
		resets, restart uint32 // what is added to resetCount, and restartCount then
		safe            bool
	}{
		{"TPM Reset without shutdown", (*tpmtest.TPM).PowerLoss, false, 1, 0, false},
		{"TPM Reset", (*tpmtest.TPM).Reset, false, 1, 0, true},
		{"TPM Restart", (*tpmtest.TPM).Restart, false, 0, 1, true},
		{"TPM Resume", (*tpmtest.TPM).Resume, true, 0, 1, true},
	} {
		tpm := tpmtest.New(t)
		tpm.Do(tcg.TPMCCPCREvent, handles{0}, nil, "code")
		key := tpm.Primary(owner, storage(), none)
		before, extended := readClock(tpm), pcr(tpm, 0)
		c.goes(tpm)
		after := readClock(tpm)
		if after.ClockInfo.ResetCount != before.ClockInfo.ResetCount+c.resets || after.ClockInfo.RestartCount != c.restart {
			t.Errorf("%s: counters were %+v, and are %+v", c.name, before.ClockInfo, after.ClockInfo)
		}
		if after.ClockInfo.Clock < before.ClockInfo.Clock || after.ClockInfo.Safe != c.safe {
			t.Errorf("%s: Clock was %+v, and is %+v", c.name, before.ClockInfo, after.ClockInfo)
		}
		if (pcr(tpm, 0) == extended) != c.keepsPCR {
			t.Errorf("%s: PCR 0 was %s, and is %s", c.name, extended, pcr(tpm, 0))
		}
		if rc := tpm.Run(tcg.TPMCCReadPublic, handles{key.Handle}, nil).Code; rc != tcg.TPMRCReferenceH0 {
			t.Errorf("%s: the transient object answers %v", c.name, rc)
		}
	}
}

// readClock is TPM2_ReadClock.
func readClock(tpm *tpmtest.TPM) (now tcg.TPMSTimeInfo) {
	r := tpm.Do(tcg.TPMCCReadClock, nil, nil)
	now.Unmarshal(&r.Reader)
	return now
}

// TestStartupLocality: PCR 0 says from which locality the TPM was started (Part
// 3, 9.3).
func TestStartupLocality(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Locality = 3
	tpm.PowerLoss()
	if want := strings.Repeat("0", 63) + "3"; pcr(tpm, 0) != want {
		t.Errorf("PCR 0 is %s, not %s", pcr(tpm, 0), want)
	}
}

func TestStartupCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCStartup)
	c.row(tcg.TPMRCInitialize, "it is started already", nil, tcg.TPMSUClear)
	tpm.PowerCycle()
	c.row(tcg.TPMRCValue.P(1), "no such TPM_SU", nil, 2)
	c.row(tcg.TPMRCValue.P(1), "no state was saved", nil, tcg.TPMSUState)
	for _, locality := range []uint8{1, 2, 4} {
		tpm.Locality = locality
		c.row(tcg.TPMRCLocality, "not from locality 0 or 3", nil, tcg.TPMSUClear)
	}
	tpm.Locality = 0
	c.row(tcg.TPMRCSuccess, "after all that", nil, tcg.TPMSUClear)
	tpm.Do(tcg.TPMCCShutdown, nil, nil, tcg.TPMSUClear)
	tpm.PowerCycle()
	c.row(tcg.TPMRCValue.P(1), "no state was saved by Shutdown(CLEAR)", nil, tcg.TPMSUState)
	c.row(tcg.TPMRCSuccess, "", nil, tcg.TPMSUClear)
	tpm.Do(tcg.TPMCCShutdown, nil, nil, tcg.TPMSUState)
	tpm.PowerCycle()
	tpm.Locality = 3
	c.row(tcg.TPMRCLocality, "a resume from another locality than the start before it", nil, tcg.TPMSUState)
	tpm.Locality = 0
	c.row(tcg.TPMRCSuccess, "a resume", nil, tcg.TPMSUState)
	tpm.PowerCycle()
	c.by(tcg.TPMRCAuthContext, "with a session", nil, auths{tpmtest.Password("")}, tcg.TPMSUClear)
}

// TestShutdown: what is changed after it makes the next startup disorderly
// (Part 3, 9.4).
func TestShutdown(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Do(tcg.TPMCCShutdown, nil, nil, tcg.TPMSUState)
	tpm.Do(tcg.TPMCCPCREvent, handles{8}, nil, "late")
	tpm.PowerCycle()
	tpm.Want(tcg.TPMRCValue.P(1), tcg.TPMCCStartup, nil, nil, tcg.TPMSUState)
	tpm.Do(tcg.TPMCCStartup, nil, nil, tcg.TPMSUClear)
	if readClock(tpm).ClockInfo.Safe {
		t.Error("the shutdown counts as an orderly one")
	}
}

func TestShutdownCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCShutdown)
	c.row(tcg.TPMRCValue.P(1), "no such TPM_SU", nil, 2)
	tpm.HashStart()
	c.row(tcg.TPMRCType.P(1), "STATE in a measured launch", nil, tcg.TPMSUState)
	tpm.HashEnd()
	c.row(tcg.TPMRCSuccess, "STATE after it", nil, tcg.TPMSUState)
	tpm.Do(tcg.TPMCCPCRAllocate, handles{platform}, nil, bank(tcg.TPMAlgSHA256, allPCRs()...))
	c.row(tcg.TPMRCType.P(1), "STATE after TPM2_PCR_Allocate", nil, tcg.TPMSUState)
	c.row(tcg.TPMRCSuccess, "CLEAR after TPM2_PCR_Allocate", nil, tcg.TPMSUClear)
}
