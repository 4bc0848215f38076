package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"stubtpm/vtpm/tcg"
)

func TestDocumentIsUpToDate(t *testing.T) {
	t.Parallel()
	want, err := document()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/conformance.md is not what the generator prints: go run ./tools/confdoc -o docs/conformance.md")
	}
}

// TestResults: what is recorded is of suites in which nothing failed.
func TestResults(t *testing.T) {
	t.Parallel()
	r, err := readResults(resultsFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.suites) < 14 || len(r.judged) < 80 {
		t.Errorf("%d suites, %d commands", len(r.suites), len(r.judged))
	}
	for _, s := range r.suites {
		if s.counts[0] == 0 || s.counts[1] != 0 || s.counts[5] != 0 {
			t.Errorf("%s: %v", s.name, s.counts)
		}
	}
	for _, bad := range []string{"suite\tx\t1", "command\txyz\ta", "x", "suite\ta\tb\t1\t2\t3\t4\t5\t6\t7\tx"} {
		if _, err := readResults(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestEachImplementedCommand sends each command that the device lists, with
// handles of the right kind, passwords and no parameters, and each that it does
// not list: only those are TPM_RC_COMMAND_CODE.
func TestEachImplementedCommand(t *testing.T) {
	t.Parallel()
	d, err := newDevice()
	if err != nil {
		t.Fatal(err)
	}
	have, err := implemented(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range commands() {
		d, err := newDevice() // some clear, shut down or lock
		if err != nil {
			t.Fatal(err)
		}
		rc := code(d.Execute(0, bare(s)))
		if unknown := rc == tcg.TPMRCCommandCode; unknown == have[s.Code] {
			t.Errorf("%s: listed %v, answered 0x%03X", s.Name, have[s.Code], uint32(rc))
		}
		if rc == tcg.TPMRCFailure {
			t.Errorf("%s: failure mode", s.Name)
		}
	}
}

// bare is a command with the first handles that its table allows and without
// parameters.
func bare(s *tcg.CommandSpec) []byte {
	body := []byte{}
	for i := range s.Handles {
		for _, h := range []tcg.TPMHandle{tcg.TPMRHOwner, tcg.TPMRHPlatform, tcg.TPMRHEndorsement, tcg.TPMRHLockout, 16, 0x80000000, 0x01500000, 0x03000000, 0x02000000} {
			if s.Handles[i].Check(h) == tcg.TPMRCSuccess {
				body = binary.BigEndian.AppendUint32(body, uint32(h))
				break
			}
		}
	}
	tag := tcg.TPMSTNoSessions
	if n := s.AuthCount(); n > 0 {
		tag = tcg.TPMSTSessions
		body = binary.BigEndian.AppendUint32(body, uint32(9*n))
		for range n {
			body = append(body, 0x40, 0, 0, 9, 0, 0, 0, 0, 0)
		}
	}
	cmd := binary.BigEndian.AppendUint16(nil, uint16(tag))
	cmd = binary.BigEndian.AppendUint32(cmd, uint32(10+len(body)))
	cmd = binary.BigEndian.AppendUint32(cmd, uint32(s.Code))
	return append(cmd, body...)
}
