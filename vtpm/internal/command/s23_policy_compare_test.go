package command_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// operations are those of Part 2, "TPM_EO", for numbers of 64 bits.
var operations = map[tcg.TPMEO]func(a, b uint64) bool{
	tcg.TPMEOEq:         func(a, b uint64) bool { return a == b },
	tcg.TPMEONeq:        func(a, b uint64) bool { return a != b },
	tcg.TPMEOSignedGT:   func(a, b uint64) bool { return int64(a) > int64(b) },
	tcg.TPMEOUnsignedGT: func(a, b uint64) bool { return a > b },
	tcg.TPMEOSignedLT:   func(a, b uint64) bool { return int64(a) < int64(b) },
	tcg.TPMEOUnsignedLT: func(a, b uint64) bool { return a < b },
	tcg.TPMEOSignedGE:   func(a, b uint64) bool { return int64(a) >= int64(b) },
	tcg.TPMEOUnsignedGE: func(a, b uint64) bool { return a >= b },
	tcg.TPMEOSignedLE:   func(a, b uint64) bool { return int64(a) <= int64(b) },
	tcg.TPMEOUnsignedLE: func(a, b uint64) bool { return a <= b },
	tcg.TPMEOBitSet:     func(a, b uint64) bool { return a&b == b },
	tcg.TPMEOBitClear:   func(a, b uint64) bool { return a&b == 0 },
}

// TestPolicyNV: the index is compared as Go's numbers are, and a comparison that
// fails changes nothing (Part 3, 23.9).
func TestPolicyNV(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	x := define(tpm, owner, index(10, tcg.TPMANVOwnerRead|tcg.TPMANVOwnerWrite))
	s := tpm.StartPolicy()
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, "          ", 0)
	name := tpm.Name(x)
	numbers := []uint64{0, 1, 0xFE, 0x0100, math.MaxInt64, 1 << 63, math.MaxUint64 - 1, math.MaxUint64}
	for _, a := range numbers {
		tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, be(a), 2)
		for _, b := range numbers {
			for op, holds := range operations {
				want, rc := digest(tpm, s), tcg.TPMRCPolicy
				if holds(a, b) {
					args := hash(be(b, uint16(2), op))
					want, rc = hash(want, be(tcg.TPMCCPolicyNV), args, name), tcg.TPMRCSuccess
				}
				if got := tpm.Run(tcg.TPMCCPolicyNV, handles{owner, x, s.Handle}, nil, be(b), 2, op).Code; got != rc {
					t.Errorf("%#x, operation %d, %#x: %v, not %v", a, op, b, got, rc)
				}
				if got := digest(tpm, s); !bytes.Equal(got, want) {
					t.Fatalf("%#x, operation %d, %#x: the digest is %x, not %x", a, op, b, got, want)
				}
			}
		}
	}
}

func TestPolicyNVCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPolicyNV)
	p := index(4, tcg.TPMANVOwnerRead|tcg.TPMANVOwnerWrite|tcg.TPMANVReadSTClear)
	x := define(tpm, owner, p)
	s := tpm.StartPolicy().Handle
	trial := tpm.StartSession(tpmtest.SessionParams{Type: tcg.TPMSETrial}).Handle
	h := handles{owner, x, s}
	c.row(tcg.TPMRCValue.H(3), "not a policy session", handles{owner, x, tpm.StartSession(tpmtest.SessionParams{}).Handle}, "", 0, 0)
	c.row(tcg.TPMRCHandle.H(2), "no such index", handles{owner, x + 1, s}, "", 0, 0)
	c.row(tcg.TPMRCNVUninitialized, "nothing is written", h, "data", 0, tcg.TPMEOEq)
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, "data", 0)
	c.row(tcg.TPMRCSize.P(1), "longer than any digest", h, make([]byte, 65), 0, tcg.TPMEOEq)
	c.row(tcg.TPMRCValue.P(3), "no such operation", h, "data", 0, 12)
	c.row(tcg.TPMRCPolicy, "other data", h, "DATA", 0, tcg.TPMEOEq)
	c.row(tcg.TPMRCNVRange, "beyond the data", h, "data", 1, tcg.TPMEOEq)
	c.row(tcg.TPMRCValue.P(2), "an offset beyond the data", h, "", 5, tcg.TPMEOEq)
	c.row(tcg.TPMRCSuccess, "at the end of the data", h, "", 4, tcg.TPMEOEq)
	c.row(tcg.TPMRCSuccess, "the data", h, "ta", 2, tcg.TPMEOEq)
	c.row(tcg.TPMRCNVAuthorization, "by the platform", handles{platform, x, s}, "data", 0, tcg.TPMEOEq)
	c.row(tcg.TPMRCAuthUnavailable.S(1), "by the index", handles{x, x, s}, "data", 0, tcg.TPMEOEq)
	tpm.Do(tcg.TPMCCNVReadLock, handles{owner, x}, nil)
	c.row(tcg.TPMRCNVLocked, "it is locked", h, "data", 0, tcg.TPMEOEq)
	c.row(tcg.TPMRCSuccess, "it is locked, but this is a trial", handles{owner, x, trial}, "any data", 99, tcg.TPMEOEq)
	tpm.Do(tcg.TPMCCHierarchyChangeAuth, handles{owner}, nil, "auth")
	c.row(tcg.TPMRCBadAuth.S(1), "a trial, without authorization", handles{owner, x, trial}, "data", 0, tcg.TPMEOEq)
}

// TestPolicyCounterTimer: what is compared is TPMS_TIME_INFO as TPM2_ReadClock
// has it, except that Time below a number is a limit of the session in seconds
// (Part 3, 23.10).
func TestPolicyCounterTimer(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Reset()
	s := tpm.StartPolicy()
	now := tpm.Do(tcg.TPMCCReadClock, nil, nil).Params
	for offset := range now {
		for n := range len(now) - offset + 1 {
			tpm.Do(tcg.TPMCCPolicyCounterTimer, handles{s.Handle}, nil, now[offset:][:n], offset, tcg.TPMEOEq)
		}
	}
	// The shortest limit counts.
	within := func(seconds uint64) {
		tpm.Do(tcg.TPMCCPolicyCounterTimer, handles{s.Handle}, nil, be(seconds), 0, tcg.TPMEOUnsignedLT)
	}
	limits := func(tpm *tpmtest.TPM, with *tpmtest.Session) { s = with; within(20); within(10); within(30) }
	tpm.Clock.Advance(100 * time.Second) // Time is not what the session counts from
	s = ownerBy(tpm, limits)
	tpm.Clock.Advance(10 * time.Second)
	f := tpm.Fork()
	f.Do(tcg.TPMCCClockRateAdjust, handles{owner}, auths{s}, 0)
	tpm.Clock.Advance(time.Millisecond)
	tpm.Want(tcg.TPMRCExpired.S(1), tcg.TPMCCClockRateAdjust, handles{owner}, auths{s}, 0)
}

func TestPolicyCounterTimerCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPolicyCounterTimer)
	h := bySession(c, make([]byte, 64), 99, tcg.TPMEOEq) // a trial compares nothing
	c.row(tcg.TPMRCSize.P(1), "longer than any digest", h, make([]byte, 65), 0, tcg.TPMEOEq)
	c.row(tcg.TPMRCValue.P(3), "no such operation", h, "", 0, 12)
	tpm.Clock.Advance(100 * time.Second)
	c.row(tcg.TPMRCPolicy, "Time was not before", h, be(uint64(1)<<62), 0, tcg.TPMEOUnsignedGE)
	const size = 8 + 8 + 4 + 4 + 1 // of TPMS_TIME_INFO
	c.row(tcg.TPMRCRange, "beyond the structure", h, make([]byte, 2), size-1, tcg.TPMEOUnsignedGE)
	c.row(tcg.TPMRCSuccess, "the last byte", h, make([]byte, 1), size-1, tcg.TPMEOUnsignedGE)
	c.row(tcg.TPMRCSuccess, "at the end", h, "", size, tcg.TPMEOEq)
	c.row(tcg.TPMRCValue.P(2), "an offset beyond it", h, "", size+1, tcg.TPMEOEq)
	c.row(tcg.TPMRCExpired.P(1), "a limit that has passed", h, be(uint64(99)), 0, tcg.TPMEOUnsignedLT)
	c.row(tcg.TPMRCValue.P(1), "a limit of more than 68 years", h, be(uint64(1)<<31), 0, tcg.TPMEOUnsignedLT)
	c.row(tcg.TPMRCSuccess, "a limit of 68 years", h, be(uint64(1)<<31-1), 0, tcg.TPMEOUnsignedLT)
}

// TestPolicyCapability: of every list with properties one entry can be compared,
// as TPM2_GetCapability returns it (Part 3, Table 184).
func TestPolicyCapability(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Do(tcg.TPMCCSetPrimaryPolicy, handles{owner}, nil, someHash, tcg.TPMAlgSHA256)
	s := tpm.StartPolicy()
	for _, c := range []struct {
		capability tcg.TPMCap
		property   uint32
	}{
		{tcg.TPMCapAlgs, uint32(tcg.TPMAlgSHA256)},
		{tcg.TPMCapHandles, uint32(owner)},
		{tcg.TPMCapCommands, uint32(tcg.TPMCCSign)},
		{tcg.TPMCapPPCommands, uint32(tcg.TPMCCPPCommands)},
		{tcg.TPMCapAuditCommands, uint32(tcg.TPMCCSetCommandCodeAuditStatus)},
		{tcg.TPMCapTPMProperties, firmwareYear},
		{tcg.TPMCapPCRProperties, uint32(tcg.TPMPTPCRSave)},
		{tcg.TPMCapECCCurves, uint32(tcg.TPMECCNistP256)},
		{tcg.TPMCapAuthPolicies, uint32(owner)},
		{tcg.TPMCapACT, uint32(tcg.TPMRHACT0)},
	} {
		r := tpm.Do(tcg.TPMCCGetCapability, nil, nil, c.capability, c.property, 1)
		entry := r.Params[1+4+4:]
		compare := func(op tcg.TPMEO, property uint32) tcg.TPMRC {
			return tpm.Run(tcg.TPMCCPolicyCapability, handles{s.Handle}, nil, entry, 0, op, c.capability, property).Code
		}
		if rc := compare(tcg.TPMEOEq, c.property); rc != tcg.TPMRCSuccess {
			t.Errorf("capability %d, property %#x equal to itself: %v", c.capability, c.property, rc)
		}
		if rc := compare(tcg.TPMEONeq, c.property); rc != tcg.TPMRCPolicy {
			t.Errorf("capability %d, property %#x unequal to itself: %v", c.capability, c.property, rc)
		}
		// What is not there differs from everything.
		absent := c.property&^0xFFFFFF | 0x00FFFF
		if rc := compare(tcg.TPMEOEq, absent); rc != tcg.TPMRCPolicy {
			t.Errorf("capability %d, property %#x: %v", c.capability, absent, rc)
		}
		if rc := compare(tcg.TPMEONeq, absent); rc != tcg.TPMRCSuccess {
			t.Errorf("capability %d, property %#x differs: %v", c.capability, absent, rc)
		}
	}
}

func TestPolicyCapabilityCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCPolicyCapability)
	properties := func(b []byte, offset int, op tcg.TPMEO) []any {
		return []any{b, offset, op, tcg.TPMCapTPMProperties, firmwareYear}
	}
	h := bySession(c, properties(make([]byte, 64), 99, tcg.TPMEOEq)...)
	c.row(tcg.TPMRCPolicy, "another property", h, properties(make([]byte, 8), 0, tcg.TPMEOEq)...)
	c.row(tcg.TPMRCRange, "beyond the property", h, properties(make([]byte, 8), 1, tcg.TPMEOEq)...)
	c.row(tcg.TPMRCValue.P(2), "an offset beyond it", h, properties(nil, 9, tcg.TPMEOEq)...)
	c.row(tcg.TPMRCSuccess, "the end of it", h, properties(nil, 8, tcg.TPMEOEq)...)
	c.row(tcg.TPMRCValue.P(3), "no such operation", h, properties(nil, 0, 12)...)
	c.row(tcg.TPMRCValue.P(4), "PCRs", h, nil, 0, tcg.TPMEONeq, tcg.TPMCapPCRs, 0)
	c.row(tcg.TPMRCValue.P(4), "no such capability", h, nil, 0, tcg.TPMEONeq, 0x0D, 0)
	c.row(tcg.TPMRCSuccess, "a capability that has no entry", h, "x", 0, tcg.TPMEONeq, tcg.TPMCapPubKeys, 0)
	c.row(tcg.TPMRCPolicy, "a type of handle that there is not", h, "x", 0, tcg.TPMEOEq, tcg.TPMCapHandles, 0x7F000000)
}

func TestPolicyTransportSPDMCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPolicyTransportSPDM)
	h := bySession(c, someName, nil)
	unknown := append([]byte{0, byte(tcg.TPMAlgAES)}, someHash...)
	c.row(tcg.TPMRCHash.P(1), "the requester's Name has no hash", h, unknown, nil)
	c.row(tcg.TPMRCHash.P(2), "the TPM's Name is of TPM_ALG_NULL", h, nil, be(tcg.TPMAlgNull))
	c.row(tcg.TPMRCInsufficient.P(1), "a Name of one byte", h, "x", nil)
	c.row(tcg.TPMRCSize.P(2), "a Name that is cut", h, someName, someName[:33])
	c.row(tcg.TPMRCSuccess, "two Names", h, someName, someName)
	c.row(tcg.TPMRCValue, "again", h, someName, someName)
}
