package hosted

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start runs this test binary as stubtpm and waits for a socket.
func start(t *testing.T, socket string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "HOSTED_TEST_MAIN=1")
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	await(t, socket)
	return cmd, out
}

func await(t *testing.T, socket string) {
	t.Helper()
	for range 500 {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nobody listens on %s", socket)
}

// wait returns when the process has ended, and its error.
func wait(t *testing.T, cmd *exec.Cmd) error {
	t.Helper()
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	select {
	case err := <-end:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("the process did not end")
		return nil
	}
}

// TestSwtpmIoctl drives the control channel by Debian's swtpm_ioctl.
func TestSwtpmIoctl(t *testing.T) {
	tool, err := exec.LookPath("swtpm_ioctl")
	if err != nil {
		t.Skip("swtpm_ioctl is not installed (package swtpm-tools)")
	}
	dir := t.TempDir()
	ctrl, blob := filepath.Join(dir, "ctrl"), filepath.Join(dir, "blob")
	cmd, out := start(t, ctrl, "socket", "--tpm2", "--tpmstate", "dir="+dir, "--ctrl", "type=unixio,path="+ctrl,
		"--server", "type=unixio,path="+filepath.Join(dir, "data"), "--flags", "startup-clear")
	for _, s := range []struct{ args, want string }{
		{"-c", "ptm capability is 0x1ffff"},
		{"-e", "tpmEstablished is 0"},
		{"-h abc", ""},
		{"-e", "tpmEstablished is 1"},
		{"-r 3", ""},
		{"-e", "tpmEstablished is 0"},
		{"-l 2", ""},
		{"-g", "flags: 0x0"},
		{"-b 0", "TPM buffersize: 4096"},
		{"-C", ""},
		{"--info 2", `"model":"stubtpm"`},
		{"-v", ""},
		{"--save permanent " + blob, ""},
		{"--save volatile " + blob + "v", ""},
		{"--stop", ""},
		{"--load permanent " + blob, ""},
		{"--load volatile " + blob + "v", ""},
		{"-i", ""},
		{"-e", "tpmEstablished is 0"},
	} {
		args := append([]string{"--unix", ctrl}, strings.Fields(s.args)...)
		b, err := exec.Command(tool, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(b), s.want) {
			t.Errorf("swtpm_ioctl %s: %v: %s (want %q)", s.args, err, b, s.want)
		}
	}
	if b, err := exec.Command(tool, "--unix", ctrl, "-s").CombinedOutput(); err != nil {
		t.Errorf("shutdown: %v: %s", err, b)
	}
	if err := wait(t, cmd); err != nil {
		t.Errorf("exit: %v: %s", err, out)
	}
}

// SIGTERM ends the process with 0, and the next one has the state; a second
// process on the same state is refused.
func TestServeTerm(t *testing.T) {
	dir := t.TempDir()
	sock := filepath.Join(dir, socketData)
	for round := 1; round <= 2; round++ {
		cmd, out := start(t, sock, "serve", "-state", dir, "-no-sync")
		second := exec.Command(os.Args[0], "serve", "-state", dir)
		second.Env = append(os.Environ(), "HOSTED_TEST_MAIN=1")
		if b, err := second.CombinedOutput(); err == nil || !strings.Contains(string(b), "in use") {
			t.Errorf("second process: %v: %s", err, b)
		}
		c, err := net.Dial("unix", sock)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		wantBytes(t, "count", talk(t, c, tpmCommand(fakeCount), 10), errorResponse(uint32(round)<<16))
		cmd.Process.Signal(syscall.SIGTERM)
		if err := wait(t, cmd); err != nil {
			t.Errorf("exit: %v", err)
		}
		c.Close()
		want := map[int]string{1: "manufactured a new TPM", 2: "loaded the TPM"}[round]
		if !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "TPM2TOOLS_TCTI=swtpm:path="+sock) {
			t.Errorf("round %d printed %s", round, out)
		}
	}
}

func TestServeRefusals(t *testing.T) {
	for args, want := range map[string]string{
		"":                                 "-state DIR is missing",
		"-state X -tcp -addr 0.0.0.0":      "-allow-remote",
		"-state X -startup maybe":          "clear, state or none",
		"-state X -existing":               "holds no TPM",
		"-state X extra":                   "unexpected",
		"-state X -key /dev/null":          "0 bytes",
		"-state X -key a -pwdfile b":       "exclude",
		"-state X -key /nonexistent-file1": "no such file",
	} {
		args = strings.Replace(args, "X", t.TempDir(), 1)
		cmd := exec.Command(os.Args[0], append([]string{"serve"}, strings.Fields(args)...)...)
		cmd.Env = append(os.Environ(), "HOSTED_TEST_MAIN=1")
		if b, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(b), want) {
			t.Errorf("serve %s: %v: %s", args, err, b)
		}
	}
}

// --daemon returns when the process in the background serves; --pid names it;
// --terminate ends it when the client leaves.
func TestDaemonTerminate(t *testing.T) {
	dir := t.TempDir()
	sock, pid := filepath.Join(dir, "data"), filepath.Join(dir, "pid")
	cmd := exec.Command(os.Args[0], "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+sock,
		"--flags", "startup-clear", "-d", "-t", "--pid", "file="+pid, "--log", "file="+filepath.Join(dir, "log"))
	cmd.Env = append(os.Environ(), "HOSTED_TEST_MAIN=1")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n == cmd.Process.Pid {
		t.Fatalf("pid file %q", b)
	}
	defer syscall.Kill(n, syscall.SIGKILL)
	c, err := net.Dial("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(5 * time.Second))
	talk(t, c, tpmCommand(0x17B, 0, 4), 16)
	c.Close()
	for range 500 {
		// The process is not our child: ask /proc, and count a zombie as gone.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the process did not end when its client left")
}

// Options that ask a question answer it and end.
func TestQuestions(t *testing.T) {
	for args, want := range map[string]string{
		"--tpm2 --print-capabilities": `"tpm-send-command-header"`,
		"--tpm2 --print-profiles":     `{"Name":"default-v1"`,
		"--tpm2 --print-info 3":       `"model":"stubtpm"`,
		"--version":                   "TPM emulator version",
		"--help":                      "--tpmstate",
		"--tpm2 --tpmstate dir=/nonexistent --print-states": `"states": []`,
	} {
		var out bytes.Buffer
		if err := RunSocket(strings.Fields(args), fakeFactory, "1", &out, &out); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v: %s", args, err, out.String())
		}
	}
}

// With terminate the process ends when the client of the control channel
// left, and without it does not.
func TestControlTerminate(t *testing.T) {
	dir := t.TempDir()
	ctrl := filepath.Join(dir, "ctrl")
	cmd := exec.Command(os.Args[0], "socket", "--tpm2", "--tpmstate", "dir="+dir, "--ctrl", "type=unixio,terminate,mode=0600,path="+ctrl)
	cmd.Env = append(os.Environ(), "HOSTED_TEST_MAIN=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	await(t, ctrl) // its connection is the client
	if err := wait(t, cmd); err != nil {
		t.Errorf("exit: %v", err)
	}
	start(t, ctrl, "socket", "--tpm2", "--tpmstate", "dir="+dir, "--ctrl", "type=unixio,mode=0600,path="+ctrl)
	if info, err := os.Lstat(ctrl); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the socket: %v, %v", info, err)
	}
	if _, err := net.Dial("unix", ctrl); err != nil {
		t.Errorf("without terminate: %v", err)
	}
}

// All files are below the directory of --chroot.
func TestChroot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "state"), 0o777); err != nil {
		t.Fatal(err)
	}
	start(t, filepath.Join(root, "data"), "socket", "--tpm2", "--chroot", root, "--tpmstate", "dir=/state", "--log", "file=/log",
		"--server", "type=unixio,path=/data", "--flags", "startup-clear", "--pid", "file=/pid")
	c, err := net.Dial("unix", filepath.Join(root, "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	talk(t, c, tpmCommand(fakeCount), 10) // an answer means that it has started
	for _, name := range []string{"log", "pid", "state/" + fileState} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
}
