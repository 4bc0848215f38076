package hosted_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stubtpm/drivers/tpmhw"
	"stubtpm/tools/hosted/tpmproc"
)

// A qemu is a virtual machine whose processor is stopped: its registers are
// read and written over QEMU's qtest protocol, and it is governed by QMP.
type qemu struct {
	t   *testing.T
	cmd *exec.Cmd
	tpm *tpmproc.Process
	out strings.Builder

	mu    sync.Mutex
	qtest *bufio.ReadWriter
	qmp   *json.Decoder
	ask   net.Conn
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
	qtest, qmp := listen("qtest"), listen("qmp")
	defer qtest.Close()
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
	c, err := qtest.Accept()
	if err != nil {
		t.Fatalf("qtest: %v\nQEMU: %s\nTPM: %s", err, q.out.String(), tpm.Output())
	}
	q.qtest = bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c))
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

// access makes one access to a register.
func (q *qemu) access(format string, args ...any) uint32 {
	q.mu.Lock()
	defer q.mu.Unlock()
	fmt.Fprintf(q.qtest, format+"\n", args...)
	if err := q.qtest.Flush(); err != nil {
		q.t.Errorf("qtest: %v; QEMU: %s", err, q.out.String())
		return 0xFFFFFFFF
	}
	for {
		line, err := q.qtest.ReadString('\n')
		if err != nil {
			q.t.Errorf("qtest: %v; QEMU: %s", err, q.out.String())
			return 0xFFFFFFFF
		}
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "IRQ" {
			continue
		}
		if f[0] != "OK" {
			q.t.Errorf("qtest: %s", line)
		}
		if len(f) < 2 {
			return 0
		}
		v, err := strconv.ParseUint(f[1], 0, 64)
		if err != nil {
			q.t.Errorf("qtest: %s", line)
		}
		return uint32(v)
	}
}

// qemu is the TPM's register window.
func (q *qemu) Read8(off int) uint8       { return uint8(q.access("readb %#x", tpmhw.Base+off)) }
func (q *qemu) Read32(off int) uint32     { return q.access("readl %#x", tpmhw.Base+off) }
func (q *qemu) Write8(off int, v uint8)   { q.access("writeb %#x %#x", tpmhw.Base+off, v) }
func (q *qemu) Write32(off int, v uint32) { q.access("writel %#x %#x", tpmhw.Base+off, v) }

// at returns the TPM as software at a locality drives it. The caller closes it
// before another locality is used.
func (q *qemu) at(locality int) tpmhw.TPM {
	q.t.Helper()
	tpm, err := tpmhw.Open(tpmhw.Window(q, locality*0x1000), nil)
	if err != nil {
		q.t.Fatalf("locality %d: %v; QEMU: %s; TPM: %s", locality, err, q.out.String(), q.tpm.Output())
	}
	return tpm
}
