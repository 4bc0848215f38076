package scenario

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestScriptsOnSwtpm runs the guest's scripts on the host with swtpm, to find mistakes
// in them within seconds, without Xen.
func TestScriptsOnSwtpm(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: runs tens of commands of tpm2-tools")
	}
	for _, p := range []string{"swtpm", "tpm2_getcap", "busybox"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed (make deps)", p)
		}
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	os.Mkdir(bin, 0o755)
	busybox, _ := exec.LookPath("busybox")
	for _, a := range []string{"sh", "cat", "cut", "dd", "xxd", "sha256sum", "tar", "sync", "cmp", "od", "tr", "grep", "printf"} {
		if err := os.Symlink(busybox, filepath.Join(bin, a)); err != nil {
			t.Fatal(err)
		}
	}
	work, state := filepath.Join(dir, "root"), filepath.Join(dir, "state")
	for _, d := range []string{work, state} {
		os.Mkdir(d, 0o755)
	}
	runBoot := func(boot int, steps []guestStep) {
		tcti, stop := startSwtpm(t, state)
		defer stop() // the next boot uses the same state
		for _, s := range steps {
			c := exec.Command(filepath.Join(bin, "sh"), "-c", tools+s.script)
			c.Dir = work
			c.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "TPM2TOOLS_TCTI=" + tcti, "STORE=" + filepath.Join(dir, "store.tar")}
			out, err := c.CombinedOutput()
			if err != nil || !strings.Contains(string(out), s.want) {
				t.Fatalf("boot %d: %s: %v, want %q in:\n%s", boot, s.title, err, s.want, out)
			}
			if s.keep != nil {
				if k := s.keep(string(out)); strings.TrimSpace(k) == "" {
					t.Errorf("boot %d: %s: nothing of the output is shown:\n%s", boot, s.title, out)
				}
			}
		}
	}
	runBoot(1, firstBoot)
	runBoot(2, secondBoot)
	runBoot(3, everyday)
}

// startSwtpm starts swtpm on two free neighbouring ports, sends the start-up
// command, and returns how tpm2-tools reach it.
func startSwtpm(t *testing.T, state string) (tcti string, stop func()) {
	t.Helper()
	for try := 0; try < 20; try++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		ctx, cancel := context.WithCancel(context.Background())
		c := exec.CommandContext(ctx, "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--flags", "startup-clear",
			"--server", "type=tcp,port="+strconv.Itoa(port), "--ctrl", "type=tcp,port="+strconv.Itoa(port+1))
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		stop = func() { cancel(); c.Wait() }
		for i := 0; i < 50; i++ {
			time.Sleep(20 * time.Millisecond)
			conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port+1))
			if err != nil {
				continue
			}
			conn.Close()
			return "swtpm:host=127.0.0.1,port=" + strconv.Itoa(port), stop
		}
		stop()
	}
	t.Fatal("swtpm did not start")
	return "", nil
}
