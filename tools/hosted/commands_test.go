package hosted_test

import (
	"encoding/binary"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"stubtpm/tools/hosted/tpmproc"
	"stubtpm/vtpm/tcg"
)

// TestCommandsOverSocket: tpm2_getcap lists the commands that the device
// answers, each of the specification's sent over the socket, and no others;
// attributes and names are those of the specification's table.
func TestCommandsOverSocket(t *testing.T) {
	t.Parallel()
	program, err := tpmproc.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	program = append(program, "--no-sync", "--profile", "name=default-v2") // with all commands
	tpm, err := tpmproc.Start(program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer tpm.Stop()
	conn, err := tpmproc.Dial(tpm.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	listed := listCommands(t, conn)
	if len(listed) < 128 {
		t.Errorf("%d commands are listed", len(listed))
	}
	for code, attributes := range listed {
		s := tcg.CommandByCode(code)
		if s == nil {
			t.Errorf("0x%X is listed and in no specification", uint32(code))
			continue
		}
		if n := int(attributes >> 25 & 7); n != len(s.Handles) {
			t.Errorf("%s: %d handles", s.Name, n)
		}
	}
	sent := 0
	for code := tcg.TPMCCFirst; code <= tcg.TPMCCLast; code++ {
		s := tcg.CommandByCode(code)
		if s == nil {
			continue
		}
		// Some commands clear or lock: each is sent to a TPM that is as new.
		send(t, conn, []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x45, 0, 0})
		if err := tpm.PowerCycle(); err != nil {
			t.Fatal(err)
		}
		send(t, conn, []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0})
		rc := send(t, conn, bareCommand(s))
		sent++
		if _, have := listed[code]; have == (rc == tcg.TPMRCCommandCode) {
			t.Errorf("%s: listed %v, answered 0x%03X", s.Name, have, uint32(rc))
		}
		if rc == tcg.TPMRCFailure {
			t.Errorf("%s: failure mode", s.Name)
		}
	}
	if sent < len(listed) {
		t.Errorf("%d commands were sent, %d are listed", sent, len(listed))
	}
}

// TestGetcapCommands: tpm2_getcap names the commands that TPM2_GetCapability
// lists.
func TestGetcapCommands(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("tpm2_getcap"); err != nil {
		t.Skip("tpm2-tools is not installed")
	}
	program, err := tpmproc.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tpm, err := tpmproc.Start(append(program, "--no-sync"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer tpm.Stop()
	cmd := exec.Command("tpm2_getcap", "commands")
	cmd.Env = append(os.Environ(), "TPM2TOOLS_TCTI=swtpm:path="+tpm.Data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[tcg.TPMCC]uint32{}
	for _, m := range regexp.MustCompile(`(?m)^\S+:\n  value: +0x([0-9A-F]+)\n  commandIndex: +0x([0-9a-f]+)`).FindAllSubmatch(out, -1) {
		attributes, err := strconv.ParseUint(string(m[1]), 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		got[tcg.TPMCC(attributes&0xFFFF)] = uint32(attributes)
	}
	conn, err := tpmproc.Dial(tpm.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if want := listCommands(t, conn); !maps.Equal(got, want) {
		t.Errorf("tpm2_getcap has %d commands, the device %d:\n%v\n%v", len(got), len(want), slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// listCommands asks for TPM_CAP_COMMANDS: code and attributes.
func listCommands(t *testing.T, conn *tpmproc.Conn) map[tcg.TPMCC]uint32 {
	t.Helper()
	rsp, err := conn.Send([]byte{0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7A, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 4, 0})
	if err != nil || len(rsp) < 19 || rsp[10] != 0 {
		t.Fatalf("TPM2_GetCapability: %x, %v", rsp, err)
	}
	l := map[tcg.TPMCC]uint32{}
	for b := rsp[19:]; len(b) >= 4; b = b[4:] {
		a := binary.BigEndian.Uint32(b)
		l[tcg.TPMCC(a&0xFFFF)] = a
	}
	return l
}

func send(t *testing.T, conn *tpmproc.Conn, cmd []byte) tcg.TPMRC {
	t.Helper()
	rsp, err := conn.Send(cmd)
	if err != nil {
		t.Fatalf("%x: %v", cmd, err)
	}
	return tcg.TPMRC(binary.BigEndian.Uint32(rsp[6:]))
}

// bareCommand has the first handles that the table allows, passwords and no
// parameters.
func bareCommand(s *tcg.CommandSpec) []byte {
	var body []byte
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
