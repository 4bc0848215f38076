package command_test

import (
	"testing"
	"time"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// TestClock: Time counts from the start, Clock over all of them, in milliseconds,
// and TPM2_ClockSet sets Clock alone (Part 3, section 29).
func TestClock(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	before := readClock(tpm)
	tpm.Clock.Advance(1500 * time.Millisecond)
	after := readClock(tpm)
	if after.Time-before.Time != 1500 || after.ClockInfo.Clock-before.ClockInfo.Clock != 1500 {
		t.Errorf("1.5 s after %+v it is %+v", before, after)
	}
	tpm.Do(tcg.TPMCCClockSet, handles{owner}, nil, uint64(1)<<40)
	tpm.Clock.Advance(time.Millisecond)
	set := readClock(tpm)
	if set.ClockInfo.Clock != 1<<40+1 || set.Time != after.Time+1 {
		t.Errorf("after TPM2_ClockSet %+v is %+v", after, set)
	}
	// The rate is what it was.
	tpm.Do(tcg.TPMCCClockRateAdjust, handles{platform}, nil, tcg.TPMClockCoarseFaster)
	tpm.Clock.Advance(1000 * time.Second)
	if got := readClock(tpm); got.ClockInfo.Clock != set.ClockInfo.Clock+1_000_000 {
		t.Errorf("1000 s after %+v it is %+v", set, got)
	}
	tpm.PowerLoss()
	if got := readClock(tpm); got.ClockInfo.Clock < 1<<40 || got.Time > 1000 {
		t.Errorf("after a loss of power %+v is %+v", set, got)
	}
}

func TestClockCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	read, set, rate := codesOf(t, tpm, tcg.TPMCCReadClock), codesOf(t, tpm, tcg.TPMCCClockSet), codesOf(t, tpm, tcg.TPMCCClockRateAdjust)
	read.row(tcg.TPMRCSize, "a parameter", nil, tpmtest.Raw{0})
	const most = uint64(0xFFFF000000000000)
	set.row(tcg.TPMRCValue.H(1), "by lockoutAuth", handles{lockout}, most)
	set.row(tcg.TPMRCValue.P(1), "more than is allowed", handles{owner}, most+1)
	tpm.Clock.Advance(time.Second)
	now := readClock(tpm).ClockInfo.Clock
	set.row(tcg.TPMRCValue.P(1), "less than Clock", handles{owner}, now-1)
	set.row(tcg.TPMRCSuccess, "what Clock is", handles{owner}, now)
	set.row(tcg.TPMRCSuccess, "as much as is allowed", handles{platform}, most)
	for _, adjust := range []uint8{0xFC, 4, 0x80} {
		rate.row(tcg.TPMRCValue.P(1), "no such adjustment", handles{owner}, adjust)
	}
	for _, adjust := range []uint8{0xFD, 0xFE, 0xFF, 0, 1, 2, 3} {
		rate.row(tcg.TPMRCSuccess, "", handles{owner}, adjust)
	}
	rate.row(tcg.TPMRCValue.H(1), "by the endorsement hierarchy", handles{endorsement}, 0)
}
