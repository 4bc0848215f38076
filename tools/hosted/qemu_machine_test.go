package hosted_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stubtpm/drivers/tpmhw"
	"stubtpm/tools/hosted/qtest"
	"stubtpm/tools/hosted/tpmproc"
)

// A qemu is a virtual machine whose processor is stopped: its registers are
// read and written over QEMU's qtest protocol, and it is governed by QMP.
type qemu struct {
	t   *testing.T
	cmd *exec.Cmd
	tpm *tpmproc.Process
	out strings.Builder

	*qtest.Registers
	qmp *json.Decoder
	ask net.Conn
}

// startQEMU starts a machine with a TPM device, with further options of QEMU.
func startQEMU(t *testing.T, tpm *tpmproc.Process, device string, extra ...string) *qemu {
	t.Helper()
	program, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is not installed (package qemu-system-x86)")
	}
	dir := t.TempDir()
	q := &qemu{t: t, tpm: tpm}
	listen := func(name string) net.Listener {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetDeadline(time.Now().Add(time.Minute))
		return l
	}
	registers, qmp := listen("qtest"), listen("qmp")
	defer registers.Close()
	defer qmp.Close()
	q.cmd = exec.Command(program, append([]string{"-M", "q35", "-accel", "tcg", "-S", "-m", "16", "-nodefaults", "-display", "none",
		"-qtest", "unix:" + filepath.Join(dir, "qtest"), "-qtest-log", "/dev/null", "-qmp", "unix:" + filepath.Join(dir, "qmp"),
		"-chardev", "socket,id=ctl,path=" + tpm.Control, "-tpmdev", "emulator,id=tpm0,chardev=ctl",
		"-device", device + ",tpmdev=tpm0"}, extra...)...)
	q.cmd.Stdout, q.cmd.Stderr = &q.out, &q.out
	if err := q.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.kill)
	c, err := registers.Accept()
	if err != nil {
		t.Fatalf("qtest: %v\nQEMU: %s\nTPM: %s", err, q.out.String(), tpm.Output())
	}
	q.Registers = qtest.New(c)
	if q.ask, err = qmp.Accept(); err != nil {
		t.Fatalf("QMP: %v\nQEMU: %s", err, q.out.String())
	}
	q.qmp = json.NewDecoder(q.ask)
	var greeting struct{ QMP any }
	if err := q.qmp.Decode(&greeting); err != nil {
		t.Fatal(err)
	}
	q.order("qmp_capabilities", nil)
	return q
}

func (q *qemu) kill() {
	q.cmd.Process.Kill()
	q.cmd.Wait()
}

// order gives an order over QMP and returns what it returns.
func (q *qemu) order(name string, args any) map[string]any {
	q.t.Helper()
	m := map[string]any{"execute": name}
	if args != nil {
		m["arguments"] = args
	}
	if err := json.NewEncoder(q.ask).Encode(m); err != nil {
		q.t.Fatalf("%s: %v\nQEMU: %s", name, err, q.out.String())
	}
	for {
		var a map[string]any
		if err := q.qmp.Decode(&a); err != nil {
			q.t.Fatalf("%s: %v\nQEMU: %s", name, err, q.out.String())
		}
		if a["event"] != nil {
			continue
		}
		if e := a["error"]; e != nil {
			q.t.Fatalf("%s: %v", name, e)
		}
		r, _ := a["return"].(map[string]any)
		return r
	}
}

// migrated waits until a migration, outgoing or incoming, has ended.
func (q *qemu) migrated() error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		s := q.order("query-migrate", nil)
		switch s["status"] {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("migration: %v; QEMU: %s; TPM: %s", s, q.out.String(), q.tpm.Output())
		}
	}
	return errors.New("migration does not end")
}

// at returns the TPM as software at a locality drives it. The caller closes it
// before another locality is used.
func (q *qemu) at(locality int) tpmhw.TPM {
	q.t.Helper()
	tpm, err := q.TPM(locality)
	if err != nil {
		q.t.Fatalf("locality %d: %v; QEMU: %s; TPM: %s", locality, err, q.out.String(), q.tpm.Output())
	}
	return tpm
}
