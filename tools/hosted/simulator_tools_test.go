package hosted_test

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"stubtpm/tools/hosted/tpmproc"
)

// TestToolsBySimulator has tpm2-tools speak the Microsoft simulator's protocol
// to `stubtpm serve -tcp`.
func TestToolsBySimulator(t *testing.T) {
	if _, err := exec.LookPath("tpm2_getrandom"); err != nil {
		t.Skip("tpm2-tools is not installed")
	}
	program, err := tpmproc.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	port := freePorts(t)
	var out bytes.Buffer
	cmd := exec.Command(program[0], "serve", "-state", t.TempDir(), "-tcp", "-port", fmt.Sprint(port), "-no-sync")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("exit: %v: %s", err, out.String())
		}
	}()
	for range 500 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port+1)); err == nil {
			c.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	tcti := fmt.Sprintf("TPM2TOOLS_TCTI=mssim:host=127.0.0.1,port=%d", port)
	for _, args := range []string{"tpm2_getrandom --hex 8", "tpm2_pcrextend 16:sha256=" + strings.Repeat("ab", 32), "tpm2_pcrread sha256:16"} {
		f := strings.Fields(args)
		tool := exec.Command(f[0], f[1:]...)
		tool.Env = append(tool.Environ(), tcti)
		if b, err := tool.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", args, err, b)
		}
	}
}

// freePorts finds two neighbouring ports that nobody uses.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 20 {
		a, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := a.Addr().(*net.TCPAddr).Port
		b, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		a.Close()
		if err == nil {
			b.Close()
			return port
		}
	}
	t.Fatal("no two neighbouring ports are free")
	return 0
}
