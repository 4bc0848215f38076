package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestScan(t *testing.T) {
	const head = "TEXT f(SB) x\n"
	for _, c := range []struct {
		name, text, want string
	}{
		{"plain", "  a.go:1\t0x10\t90\tNOPL\n", ""},
		{"syscall", "  a.go:1\t0x10\t0f05\tSYSCALL\n", "SYSCALL"},
		{"sysenter", "  a.s:1\t0x10\t0f34\tSYSENTER\n", "SYSENTER"},
		{"int80", "  a.s:1\t0x10\tcd80\tINT $0x80\n", "INT 0x80"},
		{"behind another", "  a.s:1\t0x10\t90\tNOP\n  a.s:2\t0x11\t0f05\tSYSCALL\n", "SYSCALL"},
		{"number in Go", "  a.go:1\t0x10\te85b0f0500\tCALL x\n", ""},
		{"inside assembly", "  a.s:1\t0x10\te85b0f0500\tCALL x\n", "SYSCALL"},
		{"decoder out of step", "  a.s:1\t0x10\t900f\t?\n  a.s:2\t0x12\t0590\tADD\n", "SYSCALL"},
		{"second function", "  a.go:1\t0x10\t90\tNOPL\n" + head + "  a.go:1\t0x10\t0f05\tSYSCALL\n", "SYSCALL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := scan(strings.NewReader(head + c.text))
			if c.want == "" && (err != nil || n == 0) {
				t.Errorf("%d instructions, error %v", n, err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

// TestScanSource: in assembly of the standard library the source decides.
func TestScanSource(t *testing.T) {
	for file, clean := range map[string]bool{
		"crypto/internal/fips140/sha256/sha256block_amd64.s":                   true,
		"vendor/golang.org/x/crypto/chacha20poly1305/chacha20poly1305_amd64.s": true,
		"internal/runtime/syscall/linux/asm_linux_amd64.s":                     false,
		"runtime/sys_linux_amd64.s":                                            false,
		"crypto/no/such/file_amd64.s":                                          false,
		"../../etc/passwd":                                                     false,
		"stubtpm/board/pvh/vector_amd64.s":                                     false,
	} {
		text := "TEXT f(SB) " + file + "\n  a_amd64.s:1\t0x10\t900f\tNOP\n  a_amd64.s:2\t0x12\t0590\tADD\n"
		if _, err := scan(strings.NewReader(text)); (err == nil) != clean {
			t.Errorf("%s: error %v", file, err)
		}
	}
}

func TestWritesCall(t *testing.T) {
	for source, want := range map[string]bool{
		"":                                   false,
		"BYTE $0x0f; BYTE $0x04":             false,
		"BYTE $0x0f\n\tADDQ AX, BX\nBYTE $5": true,
		"WORD $0x050f":                       true,
		"LONG $0x00050f00":                   true,
		"LONG $0x0f050000; BYTE $5":          true,
		"QUAD $0x80cd":                       true,
		"BYTE $x":                            true,
		"#define B(x) BYTE x":                true,
		"WORD $0x340f; WORD $0":              true,
	} {
		if got := writesCall([]byte(source)); got != want {
			t.Errorf("%q: %v", source, got)
		}
	}
}

// TestScanFindsLinux: a host program, this test, makes system calls; a scan that
// does not find them is blind.
func TestScanFindsLinux(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "main")
	cmd := exec.Command("go", "build", "-o", exe, src)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := scanImage(exe); err == nil || !strings.Contains(err.Error(), "SYSCALL") {
		t.Errorf("error %v, want a SYSCALL", err)
	}
}
