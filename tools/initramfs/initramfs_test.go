package initramfs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build returns an archive with one entry of each kind.
func build(t *testing.T) *Archive {
	t.Helper()
	src := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(src, []byte("from the host\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	a := New()
	a.File("/etc/odd", 0o600, []byte("seven b"))
	a.File("/bin/tool", 0o755, []byte("merged"))
	a.Link("/bin/other", "tool")
	if err := a.Copy("/deep/down/copy", src); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestReadByCpio unpacks an archive with busybox, an independent implementation.
func TestReadByCpio(t *testing.T) {
	t.Parallel()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed (make deps)")
	}
	var b bytes.Buffer
	n, err := build(t).WriteTo(&b)
	if err != nil || n != int64(b.Len()) || n%4 != 0 {
		t.Fatalf("wrote %d bytes, counted %d: %v", b.Len(), n, err)
	}
	list := func(args ...string) (string, string) {
		c := exec.Command(busybox, append([]string{"cpio"}, args...)...)
		c.Stdin = bytes.NewReader(b.Bytes())
		c.Dir = t.TempDir()
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("cpio %v: %v\n%s", args, err, out)
		}
		return string(out), c.Dir
	}
	names, _ := list("-t")
	for _, want := range []string{"dev/console", "etc/odd", "usr/bin/tool", "usr/bin/other", "deep/down/copy", "deep/down", "bin"} {
		if !strings.Contains("\n"+names, "\n"+want+"\n") {
			t.Errorf("%s is not in the archive:\n%s", want, names)
		}
	}
	_, dir := list("-id", "etc/odd", "bin", "usr/bin/*", "deep/*")
	for name, want := range map[string]string{"etc/odd": "seven b", "bin/other": "merged", "deep/down/copy": "from the host\n"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "etc/odd")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("etc/odd: %v, %v", info, err)
	}
}

// TestSameBytes keeps times, owners and map order out of the archive.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	var a, b bytes.Buffer
	build(t).WriteTo(&a)
	build(t).WriteTo(&b)
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two archives of the same contents differ")
	}
}

// TestProgram follows the libraries of a dynamic program of this host.
func TestProgram(t *testing.T) {
	t.Parallel()
	a := New()
	if err := a.Program("/bin/ls"); err != nil {
		t.Skipf("/bin/ls cannot be collected here: %v", err)
	}
	var libs []string
	for n := range a.nodes {
		if strings.Contains(n, ".so") {
			libs = append(libs, n)
		}
	}
	all := strings.Join(libs, " ")
	for _, want := range []string{"libc.so", "ld-linux"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not among %s", want, all)
		}
	}
	if err := a.Program("/no/such/program"); err == nil {
		t.Error("a program that does not exist was added")
	}
}

// otherRoot returns a root with a copy of this host's /bin/ls, its loader and libraries.
func otherRoot(t *testing.T) string {
	t.Helper()
	host := New()
	if err := host.Program("/bin/ls"); err != nil {
		t.Skipf("/bin/ls cannot be collected here: %v", err)
	}
	root := t.TempDir()
	for name, n := range host.nodes {
		if n.source == "" {
			continue
		}
		b, err := os.ReadFile(n.source)
		if err != nil {
			t.Fatal(err)
		}
		place := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(place), 0o755), os.WriteFile(place, b, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+l, filepath.Join(root, l)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestOtherRoot takes a program, its loader and its libraries from another system, and
// nothing from this one.
func TestOtherRoot(t *testing.T) {
	t.Parallel()
	root := otherRoot(t)
	from := func() *Archive {
		a, err := From(root)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := from()
	if err := a.Programs([]string{"/bin"}, "ls"); err != nil {
		t.Fatal(err)
	}
	files := 0
	for name, n := range a.nodes {
		if n.source != "" {
			files++
			if !strings.HasPrefix(n.source, root+"/") {
				t.Errorf("%s is taken from %s", name, n.source)
			}
		}
	}
	if files < 3 || !a.Has("/usr/bin/ls") || !a.Has("/lib64/ld-linux-x86-64.so.2") {
		t.Errorf("%d files of the other root", files)
	}
	if err := a.Tree("/lib/x86_64-linux-gnu"); err != nil || a.Tree("/none") == nil {
		t.Errorf("a directory of the root: %v", err)
	}
	// What only this host has is not found, by its name or by a link to it.
	if err := from().Program("/bin/sh"); !errors.Is(err, ErrNoProgram) {
		t.Errorf("a program that the root does not have: %v", err)
	}
	if err := os.Symlink("/bin/sh", filepath.Join(root, "bin/sh")); err != nil {
		t.Fatal(err)
	}
	if err := from().Program("/bin/sh"); err == nil || !strings.Contains(err.Error(), "out of") {
		t.Errorf("a link to a program of this host: %v", err)
	}
	libc, err := filepath.Glob(filepath.Join(root, "usr/lib/x86_64-linux-gnu/libc.so.*"))
	if err != nil || len(libc) != 1 {
		t.Fatalf("%v, %v", libc, err)
	}
	if err := os.Remove(libc[0]); err != nil {
		t.Fatal(err)
	}
	if err := from().Program("/bin/ls"); !errors.Is(err, ErrNoProgram) {
		t.Errorf("a library that the root does not have: %v", err)
	}
	if _, err := From(filepath.Join(root, "nothing")); err == nil {
		t.Error("a root that does not exist was taken")
	}
}

// TestCompressedModules reads the dependencies of Debian 13's modules, which are
// compressed and below /usr.
func TestCompressedModules(t *testing.T) {
	t.Parallel()
	k, err := FindKernel(InRepository(SysrootTrixie))
	if err != nil {
		t.Skipf("%v: go run ./tools/deps -for trixie", err)
	}
	a := New()
	order, err := a.AddModules(k, "ext4")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(order, " ")
	if !strings.HasSuffix(all, "/ext4.ko.xz") || !strings.Contains(all, "/jbd2.ko.xz ") {
		t.Errorf("order: %s", all)
	}
	for _, name := range order {
		if !a.Has(name) {
			t.Errorf("%s is not in the archive", name)
		}
	}
}

// TestDamagedModule refuses modules that do not unpack.
func TestDamagedModule(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "odd.ko.xz")
	for _, b := range []string{"", "\xfd7zXZ\x00", "no module"} {
		if err := os.WriteFile(file, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := moduleDeps(file); err == nil {
			t.Errorf("%q was taken for a module", b)
		}
	}
}

func TestVersionLess(t *testing.T) {
	t.Parallel()
	order := []string{"vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64", "vmlinuz-6.1.12-1-amd64", "vmlinuz-6.12.0-1-amd64", "vmlinuz-10.0"}
	for i, a := range order {
		for j, b := range order {
			if versionLess(a, b) != (i < j) {
				t.Errorf("versionLess(%s, %s) = %v", a, b, i >= j)
			}
		}
	}
}

// TestModules loads a module's dependencies before the module.
func TestModules(t *testing.T) {
	t.Parallel()
	k, err := FindKernel()
	if err != nil {
		t.Skipf("no Debian kernel here: %v", err)
	}
	a := New()
	order, err := a.AddModules(k, "ext4")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range order {
		names = append(names, moduleName(o))
	}
	all := strings.Join(names, " ")
	if !strings.HasSuffix(all, " ext4") || !strings.Contains(all, "jbd2") {
		t.Errorf("order: %s", all)
	}
	if _, err := a.AddModules(k, "no-such-module"); err == nil {
		t.Error("a module that does not exist was added")
	}
}
