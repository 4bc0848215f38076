package hosted

import (
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

// Commands that come too early are logged by one line of each kind.
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

// Each reason for which a command is refused is logged, also where the response
// code is the same.
func TestRefusalsAreLogged(t *testing.T) {
	t.Parallel()
	m := machine(t)
	l := new(lines)
	m.log = l.log
	if err := m.files.Unlock(); err != nil {
		t.Fatal(err)
	}
	other, err := OpenStateDir(m.files.String(), StateOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	refused := func() { wantBytes(t, "count", m.Execute(0, tpmCommand(fakeCount)), errorResponse(rcFailure)) }
	refused()
	if err := other.Save([]byte{0, 0, 0, 9}); err != nil {
		t.Fatal(err)
	}
	refused()
	other.Close()
	refused()
	refused()
	refused()
	for part, want := range map[string]int{"in use": 1, "changed by another process": 1, "CMD_INIT": 1} {
		if n := l.count(part); n != want {
			t.Errorf("%d lines with %q, want %d: %q", n, part, want, l.text)
		}
	}
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

// logged collects the lines of a log.
type logged struct{ lines []string }

func (l *logged) log(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *logged) has(words ...string) bool {
	all := strings.Join(l.lines, "\n")
	for _, w := range words {
		if !strings.Contains(all, w) {
			return false
		}
	}
	return true
}
