package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestPackages builds each package twice and reads it with dpkg-deb.
func TestPackages(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds programs twice: not with -short")
	}
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb is not installed (package dpkg)")
	}
	for _, p := range packages {
		a, err := p.build(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.build(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		one, _ := os.ReadFile(a)
		two, _ := os.ReadFile(b)
		if len(one) == 0 || !bytes.Equal(one, two) {
			t.Errorf("%s: two builds give %d and %d bytes that are not the same", p.name, len(one), len(two))
		}
		if out, err := exec.Command("dpkg-deb", "--info", a).CombinedOutput(); err != nil || !strings.Contains(string(out), "Package: "+p.name) {
			t.Errorf("%s: %v\n%s", p.name, err, out)
		}
		list, err := exec.Command("dpkg-deb", "--contents", a).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, list)
		}
		for name := range p.programs {
			if !strings.Contains(string(list), "-rwxr-xr-x root/root") || !strings.Contains(string(list), "./"+name+"\n") {
				t.Errorf("%s: %s is not in:\n%s", p.name, name, list)
			}
		}
		for name := range p.images {
			if !strings.Contains(string(list), "./"+name+"\n") {
				t.Errorf("%s: %s is not in:\n%s", p.name, name, list)
			}
		}
		for name := range p.printed {
			if !strings.Contains(string(list), "./"+name+"\n") {
				t.Errorf("%s: %s is not in:\n%s", p.name, name, list)
			}
		}
		if p.pages != "" && (!strings.Contains(string(list), "./usr/share/man/man8/stubtpm-mgr.8\n") || !strings.Contains(string(list), "./"+p.manifest+"\n")) {
			t.Errorf("%s: manual pages or manifest are not in:\n%s", p.name, list)
		}
		for name := range p.files {
			if !strings.Contains(string(list), "./"+name+"\n") {
				t.Errorf("%s: %s is not in:\n%s", p.name, name, list)
			}
		}
	}
}

// TestUnits checks the units with systemd.
func TestUnits(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed (package systemd)")
	}
	for _, p := range packages {
		dir := t.TempDir()
		for to, from := range p.files {
			name, ok := strings.CutPrefix(to, "lib/systemd/system/")
			if !ok {
				continue
			}
			text, err := files.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			// The programs are not installed here.
			for program := range p.programs {
				for _, end := range []string{" ", "\n"} {
					text = bytes.ReplaceAll(text, []byte("/"+program+end), []byte("/bin/true"+end))
				}
			}
			if err := os.WriteFile(dir+"/"+name, text, 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(analyze, "verify", "--man=no", dir+"/"+name).CombinedOutput()
			if err != nil || strings.Contains(string(out), name) {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	for _, args := range [][]string{nil, {"nothing"}, {"-x"}} {
		if code := run(args, &out, &out); code != 2 {
			t.Errorf("%q: code %d", args, code)
		}
	}
}
