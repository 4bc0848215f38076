package hosted

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tryForbidden is a process that confines itself and then does what an intruder
// would. It prints what it could not do.
func tryForbidden(what, dir, action string) error {
	files, err := OpenStateDir(dir, StateOptions{})
	if err != nil {
		return err
	}
	if err := files.Save([]byte("one")); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	sock := filepath.Join(dir, "..", "sockets", "s")
	u, err := net.Listen("unix", sock)
	if err != nil {
		return err
	}
	c := confinement{action: action, state: files, sockets: []string{sock}, strict: true}
	if err := c.apply(func(string, ...any) {}); err != nil {
		return err
	}
	switch what {
	case "nothing":
		os.Remove(files.file())
		return errors.Join(files.Save([]byte("two")), files.saveVolatile([]byte("v")), files.Save(make([]byte, 200_000)),
			files.Unlock(), files.Lock(0), u.Close())
	case "read":
		_, err = os.ReadFile("/etc/passwd")
	case "write":
		err = os.WriteFile(filepath.Join(dir, "..", "sockets", "x"), nil, 0o600)
	case "connect":
		_, err = net.Dial("tcp", l.Addr().String())
	case "listen":
		_, err = net.Listen("tcp", "127.0.0.1:0")
	case "exec":
		err = syscall.Exec("/bin/true", []string{"true"}, nil)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("forbidden: %w", err)
}

// A confined process can do what serving needs, and nothing else.
func TestConfinement(t *testing.T) {
	if out, err := forbidden(t, "nothing", "kill"); err != nil && strings.Contains(out, "this kernel has no") {
		t.Skip("the kernel cannot confine: " + out)
	}
	for what, want := range map[string]string{
		"nothing": "", "read": "permission denied", "write": "permission denied", "connect": "not permitted|permission denied",
		"listen": "not permitted|permission denied", "exec": "bad system call",
	} {
		out, err := forbidden(t, what, seccompKill)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v: %s", what, err, out)
			}
			continue
		}
		found := false
		for _, w := range strings.Split(want, "|") {
			found = found || strings.Contains(out, w) || err != nil && strings.Contains(err.Error(), w)
		}
		if err == nil || !found {
			t.Errorf("%s: %v: %s; want %q", what, err, out, want)
		}
		if out, err := forbidden(t, what, seccompNone); err != nil {
			t.Errorf("%s, not confined: %v: %s", what, err, out)
		}
	}
	if out, err := forbidden(t, "exec", seccompLog); err != nil {
		t.Errorf("exec with log: %v: %s", err, out)
	}
}

func forbidden(t *testing.T, what, action string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sockets"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "forbidden", what, filepath.Join(dir, "state"), action)
	cmd.Env = append(os.Environ(), "HOSTED_TEST_MAIN=1")
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// A process that serves is confined, without an option, and with the commands
// and controls that there are.
func TestServesConfined(t *testing.T) {
	dir := t.TempDir()
	ctrl, data := filepath.Join(dir, "ctrl"), filepath.Join(dir, "data")
	cmd, out := start(t, ctrl, "socket", "--tpm2", "--tpmstate", "dir="+dir, "--ctrl", "type=unixio,path="+ctrl,
		"--server", "type=unixio,path="+data, "--flags", "startup-clear", "--strict")
	c, err := net.Dial("unix", data)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	wantBytes(t, "count", talk(t, c, tpmCommand(fakeCount), 10), errorResponse(1<<16))
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Seccomp:\t2", "NoNewPrivs:\t1"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("status of the process has no %q", want)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := wait(t, cmd); err != nil {
		t.Errorf("exit: %v: %s", err, out)
	}
	for _, s := range []string{ctrl, data} {
		if _, err := os.Lstat(s); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", s, err)
		}
	}
}
