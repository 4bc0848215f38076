package hosted

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// lines keeps what a machine logs.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) log(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, fmt.Sprintf(format, args...))
}

func (l *lines) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.text {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

// TestStoredOnce: the stored volatile state is resumed from only as long as nothing has
// happened since.
func TestStoredOnce(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(m *Machine){
		"a command":  func(m *Machine) { m.Execute(0, tpmCommand(fakeCount)) },
		"a reset":    func(m *Machine) { m.Reset() },
		"HASH_START": func(m *Machine) { m.HashStart() },
		"nothing":    nil,
	} {
		m, _ := control(t)
		if err := m.StoreVolatile(); err != nil {
			t.Fatal(err)
		}
		if happens != nil {
			happens(m)
		}
		b, err := m.files.Load(BlobVolatile)
		if err != nil || (b != nil) != (happens == nil) {
			t.Errorf("%s: %d bytes are stored, %v", name, len(b), err)
		}
	}
}

// TestStoredBesideGivenBlob: a TPM that resumed from the stored volatile state, and was
// given the permanent state anew, has no stored state any more: it is shut down in
// order.
func TestStoredBesideGivenBlob(t *testing.T) {
	t.Parallel()
	for _, given := range []bool{false, true} {
		m, _ := control(t)
		p := getBlob(t, m, BlobPermanent)
		if err := m.StoreVolatile(); err != nil {
			t.Fatal(err)
		}
		m.PowerOff()
		if given {
			m.SetBlob(BlobPermanent, p)
		}
		if err := m.PowerOn(false); err != nil {
			t.Fatal(err)
		}
		if b, err := m.files.Load(BlobVolatile); err != nil || (b != nil) != m.stored {
			t.Errorf("given %v: %d bytes are stored, %v; the machine says %v", given, len(b), err, m.stored)
		}
	}
}

// tpmEstablished is kept by the volatile state, and comes back with it.
func TestEstablishedIsKept(t *testing.T) {
	t.Parallel()
	m, c := control(t)
	talk(t, c, words(cmdHashStart, cmdHashEnd)[:4], 4)
	p, v := getBlob(t, m, BlobPermanent), getBlob(t, m, BlobVolatile)
	other, c2 := control(t)
	for _, set := range []bool{true, false} {
		other.PowerOff()
		other.SetBlob(BlobPermanent, p)
		if b := v; set {
			other.SetBlob(BlobVolatile, b)
		} else {
			other.SetBlob(BlobVolatile, bytes.TrimPrefix(b, []byte("sTM\x01"))) // without the machine's part: nothing changes
		}
		wantBytes(t, "init", talk(t, c2, words(cmdInit, 0), 4), words(0))
		wantBytes(t, "established", talk(t, c2, words(cmdGetTPMEstablished), 8), []byte{0, 0, 0, 0, 1, 0, 0, 0})
	}
	other.PowerOff()
	other.SetBlob(BlobVolatile, append([]byte("sTM\x02"), v...))
	wantBytes(t, "init with a later version", talk(t, c2, words(cmdInit, 0), 4), words(rcFailure))
}

func getBlob(t *testing.T, m *Machine, typ BlobType) []byte {
	t.Helper()
	b, err := m.Blob(typ)
	if err != nil || len(b) == 0 {
		t.Fatalf("blob %d: %d bytes, %v", typ, len(b), err)
	}
	return b
}

// CMD_GET_INFO gives the same, by the same text, with and without power, and
// runs no command on the TPM that the guest uses.
func TestInfoAnyTime(t *testing.T) {
	t.Parallel()
	m, c := control(t)
	m.Execute(3, tpmCommand(0x17B, 0, 4))
	ask := func(flags uint32) string {
		head := talk(t, c, words(cmdGetInfo, 0, flags, 0, 0), 12)
		return string(talk(t, c, nil, int(binary.BigEndian.Uint32(head[8:]))))
	}
	on := ask(7)
	if l := heard(m); l != 3 {
		t.Errorf("the guest's TPM ran a command at locality %d", l)
	}
	talk(t, c, words(cmdStop), 4)
	if off := ask(7); on != off || !strings.HasPrefix(on, `{"TPMSpecification":{"family":"2.0","level":`) ||
		!strings.Contains(on, `},"TPMAttributes":{"manufacturer":"id:`) || strings.Index(on, "version") > strings.Index(on, "model") {
		t.Errorf("info %q, without power %q", on, off)
	}
	if got := ask(8); got != "{}\x00" {
		t.Errorf("info of no part: %q", got)
	}
}

// Commands that come too early are told of by one line of each kind.
func TestEarlyCommandsAreLogged(t *testing.T) {
	t.Parallel()
	m := machine(t)
	l := new(lines)
	m.log = l.log
	cmd := tpmCommand(0x17B, 0, 4)
	m.PowerOff()
	for range 3 {
		m.Execute(0, cmd)
	}
	if n := l.count("CMD_INIT"); n != 1 {
		t.Errorf("without power: %d lines: %q", n, l.text)
	}
	m.PowerOn(false)
	for range 3 {
		m.Execute(0, cmd)
	}
	m.Execute(0, tpmCommand(ccStartup, 0, 0))
	m.Execute(0, cmd)
	if n := l.count("TPM2_Startup"); n != 1 {
		t.Errorf("before TPM2_Startup: %d lines: %q", n, l.text)
	}
}

// The TPM2_Startup of the options is sent once, at the start of the process.
func TestStartupAtStartOnly(t *testing.T) {
	t.Parallel()
	m, c := control(t) // with StartupClear
	cmd := tpmCommand(0x17B, 0, 4)
	wantBytes(t, "after the start", m.Execute(0, cmd)[6:10], words(0))
	wantBytes(t, "init", talk(t, c, words(cmdInit, 0), 4), words(0))
	wantBytes(t, "after CMD_INIT", m.Execute(0, cmd)[6:10], words(rcInitialize))
}

// What keeps a process from serving is the last line of its log, wherever that
// is, once.
func TestErrorsReachTheLog(t *testing.T) {
	used := t.TempDir()
	files, err := OpenStateDir(used, StateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	spoiled := t.TempDir()
	os.WriteFile(filepath.Join(spoiled, fileState), []byte("no state"), 0o600)
	taken := filepath.Join(t.TempDir(), "file")
	os.WriteFile(taken, nil, 0o600)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"directory in use": {[]string{"--tpmstate", "dir=" + used, "--ctrl", "type=unixio,path=" + taken + ".s"}, "in use"},
		"another state":    {[]string{"--tpmstate", "dir=" + spoiled, "--ctrl", "type=unixio,path=" + taken + ".t", "--flags", "startup-clear"}, "damaged"},
		"socket":           {[]string{"--tpmstate", "dir=" + t.TempDir(), "--ctrl", "type=unixio,path=" + taken}, "no socket"},
		"user":             {[]string{"--tpmstate", "dir=" + t.TempDir(), "--ctrl", "type=unixio,path=" + taken, "--runas", "nobody-of-this-name"}, "--runas"},
		"key":              {[]string{"--tpmstate", "dir=" + t.TempDir(), "--ctrl", "type=unixio,path=" + taken, "--key", "file=/nonexistent-key"}, "--key"},
		"nothing to serve": {[]string{"--tpmstate", "dir=" + t.TempDir()}, ""},
	} {
		logFile := filepath.Join(t.TempDir(), "log")
		cmd := exec.Command(os.Args[0], append([]string{"socket", "--tpm2", "--log", "file=" + logFile}, c.args...)...)
		cmd.Env = append(os.Environ(), "HOSTED_TEST_MAIN=1")
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s: it served: %s", name, out)
		}
		b, _ := os.ReadFile(logFile)
		all := strings.Split(strings.TrimSpace(string(b)), "\n")
		last := strings.TrimPrefix(all[len(all)-1], "stubtpm: ")
		if last == "" || !strings.Contains(last, c.want) || !strings.Contains(string(out), last) {
			t.Errorf("%s: log %q, standard error %q", name, b, out)
		}
	}
}
