package hosted_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stubtpm/tools/hosted/tpmproc"
)

// TestTools runs Debian's tpm2-tools on the hosted device: each script of
// testdata/tpm2tools on a new TPM. HOSTED_TPM names another program ("swtpm
// socket"), for a baseline.
func TestTools(t *testing.T) {
	if testing.Short() {
		t.Skip("runs hundreds of programs: not with -short")
	}
	for _, name := range []string{"tpm2_getcap", "openssl", "bash", "xxd"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name + " is not installed (packages tpm2-tools, openssl, bash, xxd)")
		}
	}
	scripts, err := filepath.Glob("testdata/tpm2tools/*.sh")
	if err != nil || len(scripts) < 10 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	program := strings.Fields(os.Getenv("HOSTED_TPM"))
	if len(program) == 0 {
		if program, err = tpmproc.Build(t.TempDir()); err != nil {
			t.Fatal(err)
		}
		program = append(program, "--no-sync")
	}
	trace, err := tpmproc.OpenTrace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trace.Close() })
	prelude, err := filepath.Abs("testdata/tpm2tools/prelude.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		name := strings.TrimSuffix(filepath.Base(s), ".sh")
		if name == "prelude" {
			continue
		}
		script, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			state, work := filepath.Join(dir, "s"), filepath.Join(dir, "w")
			os.Mkdir(state, 0o700)
			os.Mkdir(work, 0o700)
			tpm, err := tpmproc.Start(program, state)
			if err != nil {
				t.Fatal(err)
			}
			defer tpm.Stop()
			socket := tpm.Data
			if trace != nil {
				tap, end, err := tpm.Tap(dir, trace)
				if err != nil {
					t.Fatal(err)
				}
				defer end()
				socket = tap
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "bash", "-x", "-c", ". "+prelude+"\n"+string(script))
			cmd.Dir = work
			cmd.WaitDelay = time.Second
			cmd.Env = append(os.Environ(), "TPM2TOOLS_TCTI=swtpm:path="+socket, "TSS2_LOG=all+none")
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == exitSkip {
				t.Skip(tail(string(out), 2))
			}
			if err != nil {
				t.Errorf("%v\n%s\nTPM: %s", err, tail(string(out), 12), tail(tpm.Output(), 3))
			}
		})
	}
}

// exitSkip is the exit code of a script whose needs are not met.
const exitSkip = 77

// tail is the last n lines.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
