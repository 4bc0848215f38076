package hosted

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

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

// A process that is told so takes the power away without TPM2_Shutdown.
func TestNoShutdown(t *testing.T) {
	t.Parallel()
	for _, no := range []bool{false, true} {
		m := machine(t)
		m.noShutdown = no
		fake := m.tpm.(*fakeTPM)
		m.Execute(0, tpmCommand(fakeCount))
		m.PowerOff()
		if sent := fake.shutdowns > 0; sent == no {
			t.Errorf("disable-auto-shutdown %v: TPM2_Shutdown was sent: %v", no, sent)
		}
	}
}
