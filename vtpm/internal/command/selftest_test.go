package command

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// TestFailureMode: an algorithm whose known answer is not met puts the device
// in failure mode at its first use, where only two commands still work.
func TestFailureMode(t *testing.T) {
	t.Parallel()
	d, s, tpm := newTestDevice(t)
	d.TestingOnlyFailSelfTest(tpm2AlgECC)
	before := s.saves
	_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	if !errors.Is(err, tpm2.TPMRCFailure) {
		t.Fatalf("first use: %v", err)
	}
	if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(tpm); !errors.Is(err, tpm2.TPMRCFailure) {
		t.Fatalf("another command: %v", err)
	}
	if what, rc := testResult(d); !strings.Contains(what, "self-test") || rc != uint32(tpm2.TPMRCFailure) {
		t.Fatalf("GetTestResult: %q, %#x", what, rc)
	}
	if _, err := (tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: 0x100, PropertyCount: 1}).Execute(tpm); err != nil {
		t.Fatalf("GetCapability: %v", err)
	}
	if s.saves != before {
		t.Fatal("a failed device saved its state")
	}
	d.Init()
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(tpm); err != nil {
		t.Fatalf("after a reset: %v", err)
	}
}

const tpm2AlgECC = 0x23

// testResult runs TPM2_GetTestResult, which go-tpm lacks.
func testResult(d *engine.Device) (what string, rc uint32) {
	r := d.Execute(0, []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x7C})
	if binary.BigEndian.Uint32(r[6:]) != 0 || len(r) < 16 {
		return "no answer", binary.BigEndian.Uint32(r[6:])
	}
	return string(r[12 : len(r)-4]), binary.BigEndian.Uint32(r[len(r)-4:])
}

// stepThrough runs all self-tests, and calls between after each.
func stepThrough(t *testing.T, d *engine.Device, between func()) {
	t.Helper()
	for n := 0; d.SelfTestStep(); n++ {
		if between(); n == 1000 {
			t.Fatal("the self-tests do not end")
		}
	}
}

// TestSelfTestSteps: the steps leave nothing to test, beside commands that use
// algorithms meanwhile.
func TestSelfTestSteps(t *testing.T) {
	t.Parallel()
	d, _, tpm := newTestDevice(t)
	if _, rc := testResult(d); rc != uint32(tcg.TPMRCNeedsTest) {
		t.Fatalf("GetTestResult after Startup: %#x", rc)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := (tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}).Execute(tpm); err != nil &&
				!errors.Is(err, tpm2.TPMRCObjectMemory) {
				t.Errorf("CreatePrimary: %v", err)
			}
			d.Execute(0, []byte{0x80, 0x01, 0, 0, 0, 11, 0, 0, 0x01, 0x43, 0}) // TPM2_SelfTest
			d.Init()
			d.Execute(0, []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0})
		}
	}()
	stepThrough(t, d, func() {})
	close(stop)
	<-stopped
	if what, rc := testResult(d); what != "" || rc != 0 {
		t.Errorf("GetTestResult: %q, %#x", what, rc)
	}
}

// TestSelfTestStepsSuffice: the steps alone test all that TPM2_GetTestResult
// asks for.
func TestSelfTestStepsSuffice(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	stepThrough(t, d, func() {})
	if what, rc := testResult(d); what != "" || rc != 0 {
		t.Errorf("GetTestResult: %q, %#x", what, rc)
	}
}

// TestSelfTestStepHoldsNothing: a command is answered while a step runs.
func TestSelfTestStepHoldsNothing(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	during := 0
	d.Tests.TestingOnlyFail = func(tcg.TPMAlgID) bool {
		testResult(d) // forever, if the step holds a lock
		during++
		return false
	}
	stepThrough(t, d, func() {})
	if during == 0 {
		t.Error("no test ran")
	}
}

// TestSelfTestStepFails: a step whose known answer is not met puts the device
// in failure mode, until it is powered on again.
func TestSelfTestStepFails(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	d.TestingOnlyFailSelfTest(tpm2AlgECC)
	stepThrough(t, d, func() {})
	if what, rc := testResult(d); !strings.Contains(what, "self-test") || rc != uint32(tcg.TPMRCFailure) {
		t.Errorf("GetTestResult: %q, %#x", what, rc)
	}
	if d.SelfTestStep() {
		t.Error("a failed device goes on testing")
	}
}
