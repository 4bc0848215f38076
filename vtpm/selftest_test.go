package vtpm

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
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
func testResult(d *Device) (what string, rc uint32) {
	r := d.Execute(0, []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x7C})
	if be32(r[6:]) != 0 || len(r) < 16 {
		return "no answer", be32(r[6:])
	}
	return string(r[12 : len(r)-4]), be32(r[len(r)-4:])
}

func TestSelfTestPasses(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	if r := d.Execute(0, []byte{0x80, 0x01, 0, 0, 0, 11, 0, 0, 0x01, 0x43, 1}); be32(r[6:]) != 0 {
		t.Fatalf("SelfTest: %#x", be32(r[6:]))
	}
	if what, rc := testResult(d); what != "" || rc != 0 {
		t.Fatalf("GetTestResult: %q, %#x", what, rc)
	}
}
