package everyday

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

// exitSkip is the exit code of a script whose needs are not met.
const exitSkip = 77

// TestEveryday runs the scripts. EVERYDAY_TPM names another program ("swtpm
// socket"), for a baseline.
func TestEveryday(t *testing.T) {
	if os.Getenv("STUBTPM_EVERYDAY") == "" {
		t.Skip("needs a dozen of Debian's packages: set STUBTPM_EVERYDAY=1, as go run ./tools/check everyday does")
	}
	scripts, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(scripts, "*.sh"))
	if err != nil || len(files) < 6 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	program := strings.Fields(os.Getenv("EVERYDAY_TPM"))
	if len(program) == 0 {
		if program, err = tpmproc.Build(t.TempDir()); err != nil {
			t.Fatal(err)
		}
		program = append(program, "--no-sync")
	}
	tcti := filepath.Join(t.TempDir(), "tcti")
	if b, err := exec.Command("go", "build", "-o", tcti, "stubtpm/tools/hosted/qtest/tcti").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	path, err := exec.LookPath(program[0])
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"SCRIPTS=" + scripts, "TPM_PROGRAM=" + path, "TPM_TCTI=" + tcti}
	trace, err := tpmproc.OpenTrace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trace.Close() })
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".sh")
		if name == "prelude" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, program, env, file, trace)
		})
	}
}

// run runs one script on a new TPM.
func run(t *testing.T, program, env []string, file string, trace *tpmproc.Trace) {
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	state, work := filepath.Join(dir, "s"), filepath.Join(dir, "w")
	if err := errors.Join(os.Mkdir(state, 0o700), os.Mkdir(work, 0o700)); err != nil {
		t.Fatal(err)
	}
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
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-x", "-c", ". $SCRIPTS/prelude.sh\n"+string(script))
	cmd.Dir = work
	cmd.WaitDelay = time.Second
	cmd.Env = append(append(os.Environ(), "TCTI=swtpm:path="+socket), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitSkip {
		t.Skip(tail(string(out), 1))
	}
	if err != nil {
		t.Errorf("%v\n%s\nTPM: %s", err, tail(string(out), 20), tail(tpm.Output(), 3))
	}
}

// tail returns the last n lines of s.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
