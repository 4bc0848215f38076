package hosted

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A command that comes as one message of a device is answered by one, and its
// locality is set by TPM2_SetLocality; the process ends with the device. (A
// socket of messages stands for the kernel's device, which needs a module.)
func TestChardev(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	cmd := exec.Command(os.Args[0], "chardev", "--tpm2", "--tpmstate", "dir="+t.TempDir(), "-f3",
		"--flags", "startup-clear", "--locality", "allow-set-locality")
	cmd.Env = append(os.Environ(), "HOSTED_TEST_MAIN=1")
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	for i, c := range []struct{ send, want []byte }{
		{tpmCommand(fakeCount), errorResponse(1 << 16)},
		{tpmCommand(ccSetLocal, 2), errorResponse(0)},
		{tpmCommand(fakeCount), errorResponse(2 << 16)},
	} {
		wantBytes(t, string(rune('0'+i)), talk(t, conn, c.send, len(c.want)), c.want)
	}
	conn.Close()
	if err := wait(t, cmd); err != nil {
		t.Errorf("exit: %v", err)
	}
}

func TestChardevRefusals(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                       "exactly one of",
		"--vtpm-proxy -c /dev/x": "exactly one of",
		"-c /nonexistent-device": "no such file",
		"-f 99":                  "bad file descriptor",
		"-p 2321":                "options of `stubtpm socket`",
	} {
		out, err := runIn("chardev", t.TempDir(), args)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("chardev %s: %v: %s", args, err, out)
		}
	}
	if out, err := runIn("socket", t.TempDir(), "--vtpm-proxy -p 2321"); err == nil || !strings.Contains(out, "stubtpm chardev") {
		t.Errorf("socket --vtpm-proxy: %v: %s", err, out)
	}
	if _, err := os.Stat("/dev/vtpmx"); errors.Is(err, os.ErrNotExist) {
		if out, err := runIn("chardev", t.TempDir(), "--vtpm-proxy"); err == nil || !strings.Contains(out, "tpm_vtpm_proxy") {
			t.Errorf("no /dev/vtpmx: %v: %s", err, out)
		}
	}
}
