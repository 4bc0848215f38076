//go:build !tamago

// The tests build the unikernel with tools/baremetal and run it in QEMU.
package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const qemu = "qemu-system-x86_64"

// machine is the machine that board/qemu requires. 24 MiB is the aim for a vTPM
// domain.
var machine = []string{"-M", "microvm,rtc=on", "-cpu", "max", "-m", "24", "-nodefaults", "-no-reboot",
	"-display", "none", "-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"}

// needQEMU fails the test, rather than skipping it, where QEMU is missing. With
// -short it skips the test.
func needQEMU(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: the unikernel is neither built nor run")
	}
	if _, err := exec.LookPath(qemu); err != nil {
		t.Fatalf("%s is not installed (Debian: qemu-system-x86): %v", qemu, err)
	}
}

func buildImage(t *testing.T) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "runtimetest.elf")
	out, err := exec.Command("go", "run", "stubtpm/tools/baremetal", "build", "-o", image, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return image
}

// A result is how a run ended.
type result struct {
	console string
	code    int // the unikernel's exit code
	cpu     time.Duration
	took    time.Duration
}

func boot(t *testing.T, image, args string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemu, append(machine[:len(machine):len(machine)], "-kernel", image, "-append", args)...)
	var console strings.Builder
	cmd.Stdout, cmd.Stderr = &console, &console
	start := time.Now()
	err := cmd.Run()
	r := result{console: console.String(), took: time.Since(start)}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() < 0 {
		// The exit device never ends QEMU with status 0.
		t.Fatalf("%s: %v\n%s", args, err, r.console)
	}
	r.code = exit.ExitCode() >> 1
	r.cpu = exit.UserTime() + exit.SystemTime()
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		t.Fatalf("%s: killed\n%s", args, r.console)
	}
	return r
}

// TestRuntime runs all tests of the unikernel. RUNTIMETEST_GC=60s keeps the
// garbage collector under pressure for that long.
func TestRuntime(t *testing.T) {
	needQEMU(t)
	args := ""
	if d := os.Getenv("RUNTIMETEST_GC"); d != "" {
		args = "gc=" + d
	}
	r := boot(t, buildImage(t), args)
	t.Logf("%v\n%s", r.took, r.console)
	if r.code != 0 || !strings.Contains(r.console, " 0 failed") {
		t.Errorf("exit code %d", r.code)
	}
	if n := strings.Count(r.console, "\nok "); n < 32 {
		t.Errorf("%d tests passed, expected at least 32", n)
	}
}

// TestEnds: each scenario has its exit code and its report.
func TestEnds(t *testing.T) {
	needQEMU(t)
	image := buildImage(t)
	for _, c := range []struct {
		name string
		code int
		want []string
	}{
		{"exit0", 0, nil},
		{"exit7", 7, nil},
		{"return", 0, nil},
		{"panic", 2, []string{"panic: deliberate", "goroutine 1 [running]", "main.runScenario"}},
		{"nil", 2, []string{"nil pointer dereference", "main.writeNil()"}},
		{"goroutine", 2, []string{"panic: in a goroutine", "created by main."}},
		{"oom", 2, []string{"out of memory", "main.exhaust"}},
		{"deadlock", 2, []string{"all goroutines are asleep - deadlock!"}},
		{"overflow", 2, []string{"stack overflow", "main.endless"}},
		{"text", 2, []string{"unexpected fault address", "main.writeText"}},
		{"execute", 2, []string{"unexpected fault address", "main.executeData"}},
		{"ud2", 127, []string{"invalid opcode", "rip 0x"}},
		{"system", 127, []string{"page fault", "address 0x8"}},
		{"guard", 127, []string{"the scheduler's stack has overflowed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := boot(t, image, "scenario="+c.name)
			if r.code != c.code {
				t.Errorf("exit code %d, want %d", r.code, c.code)
			}
			for _, w := range c.want {
				if !strings.Contains(r.console, w) {
					t.Errorf("the console lacks %q", w)
				}
			}
			if t.Failed() {
				t.Log(r.console)
			}
		})
	}
}

// TestIdle: a unikernel that sleeps for 5 s uses almost no processor time.
func TestIdle(t *testing.T) {
	needQEMU(t)
	r := boot(t, buildImage(t), "scenario=idle")
	t.Logf("%v of processor time in %v, QEMU's start included", r.cpu, r.took)
	if r.code != 0 || r.took < 5*time.Second {
		t.Fatalf("exit code %d after %v\n%s", r.code, r.took, r.console)
	}
	if r.cpu > 2*time.Second {
		t.Errorf("%v of processor time", r.cpu)
	}
}
