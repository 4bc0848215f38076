package hosted

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runIn is runTest with a state directory and further arguments in one string.
func runIn(command, dir, args string) (string, error) {
	return runTest(append([]string{command, "--tpm2", "--tpmstate", "dir=" + dir}, strings.Fields(args)...)...)
}

// runTest runs this test binary as stubtpm until it ends by itself.
func runTest(args ...string) (string, error) {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "HOSTED_TEST_MAIN=1")
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// Files that are written are not written through links, and a start that fails
// leaves no socket.
func TestOutputs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link, hard := filepath.Join(dir, "link"), filepath.Join(dir, "hard")
	os.Symlink(target, link)
	os.Link(target, hard)
	state := filepath.Join(dir, "state")
	data, ctrl := filepath.Join(dir, "data"), filepath.Join(dir, "ctrl")
	for _, c := range []struct{ args, want string }{
		{"--pid file=" + link, "symbolic link"},
		{"--pid file=" + hard, "hard link"},
		{"--log truncate,file=" + link, "symbolic link"},
		{"--log truncate,file=" + hard, "hard link"},
		{"--pid file=" + filepath.Join(dir, "none", "pid"), "no such file"},
	} {
		out, err := runTest(append([]string{"socket", "--tpm2", "--tpmstate", "dir=" + state, "--flags", "startup-clear",
			"--server", "type=unixio,path=" + data, "--ctrl", "type=unixio,path=" + ctrl}, strings.Fields(c.args)...)...)
		if err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v: %s", c.args, err, out)
		}
		if b, _ := os.ReadFile(target); string(b) != "precious" {
			t.Fatalf("%s: the link's target was written over with %q", c.args, b)
		}
		for _, sock := range []string{data, ctrl} {
			if _, err := os.Lstat(sock); err == nil {
				t.Errorf("%s: %s is left", c.args, sock)
			}
		}
	}
}
