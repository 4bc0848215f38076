package fat_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"stubtpm/stubdom/loader/fat"
)

// tree makes a directory with files and returns their contents.
func tree(t testing.TB) (dir string, want map[string][]byte) {
	t.Helper()
	dir, want = t.TempDir(), map[string][]byte{}
	random := rand.New(rand.NewPCG(1, 2))
	put := func(name string, n int) {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		if err := os.WriteFile(p, b, 0o644); err != nil {
			t.Fatal(err)
		}
		want[name] = b
	}
	put("EMPTY", 0)
	put("lower.txt", 10)
	put("EFI/Linux/debian-6.1.0-56-amd64+3-1.efi", 300_000)
	put("EFI/BOOT/BOOTX64.EFI", 4096)
	put("loader/loader.conf", 100)
	put("a name with spaces and ümläuts.conf", 2000)
	for i := range 200 {
		put(fmt.Sprintf("many/a rather long name %04d", i), 1)
	}
	return dir, want
}

// mkfs makes a file system of that size with the contents of a directory.
func mkfs(t testing.TB, dir string, kib int, options ...string) []byte {
	t.Helper()
	for _, p := range []string{"mkfs.vfat", "mcopy"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip(p + " is not installed (make deps)")
		}
	}
	img := filepath.Join(t.TempDir(), "img")
	run := func(name string, args ...string) {
		c := exec.Command(name, args...)
		c.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1", "LC_ALL=C.UTF-8")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	run("mkfs.vfat", append(append([]string{"-C"}, options...), img, fmt.Sprint(kib))...)
	list, err := filepath.Glob(dir + "/*")
	if err != nil || len(list) == 0 {
		t.Fatal("nothing to copy", err)
	}
	run("mcopy", append(append([]string{"-s", "-i", img}, list...), "::")...)
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var kinds = []struct {
	kib     int
	options []string
}{
	{2048, []string{"-F", "12"}},
	{16384, []string{"-F", "16"}},
	{40960, []string{"-F", "32", "-s", "1"}},
	{70000, []string{"-F", "32"}},
	{4096, []string{"-F", "12", "-S", "4096"}},
}

// TestFiles compares file systems by mkfs.vfat and mtools with the files in them.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir, want := tree(t)
	for _, k := range kinds {
		img := mkfs(t, dir, k.kib, k.options...)
		f, err := fat.New(bytes.NewReader(img), int64(len(img)))
		if err != nil {
			t.Errorf("%v: %v", k.options, err)
			continue
		}
		for name, b := range want {
			for _, n := range []string{name, strings.ToUpper(name)} {
				if got, err := fs.ReadFile(f, n); err != nil || !bytes.Equal(got, b) {
					t.Errorf("%v: %s: %d bytes, want %d: %v", k.options, n, len(got), len(b), err)
				}
			}
		}
		if l, err := fs.ReadDir(f, "many"); err != nil || len(l) != 200 || l[7].Name() != "a rather long name 0007" {
			t.Errorf("%v: %d entries: %v", k.options, len(l), err)
		}
		if err := fstest.TestFS(f, "EFI/BOOT/BOOTX64.EFI", "lower.txt", "a name with spaces and ümläuts.conf"); err != nil {
			t.Errorf("%v: %v", k.options, err)
		}
	}
}

// visit reads all it can find, a limited amount.
func visit(f *fat.FS) {
	left := 300
	fs.WalkDir(f, ".", func(name string, d fs.DirEntry, err error) error {
		if left--; left < 0 {
			return fs.SkipAll
		}
		if err != nil || d.IsDir() {
			return nil
		}
		file, err := f.Open(name)
		if err != nil {
			return nil
		}
		if r, ok := file.(io.ReaderAt); ok {
			b := make([]byte, 8192)
			for _, off := range []int64{0, 4000, 200_000, 1 << 33} {
				r.ReadAt(b, off)
			}
		}
		return nil
	})
}

// TestDamaged: whatever bytes of a file system are changed, reading it ends, without a
// panic.
func TestDamaged(t *testing.T) {
	t.Parallel()
	dir, _ := tree(t)
	random := rand.New(rand.NewPCG(5, 6))
	for _, k := range kinds[:3] {
		img := mkfs(t, dir, k.kib, k.options...)
		for range 40 {
			bad := bytes.Clone(img)
			for range 1 + random.IntN(300) {
				at := random.IntN(len(bad) >> (random.IntN(5) * 3))
				if random.IntN(2) == 0 {
					bad[at] = byte(random.Uint32())
				} else {
					bad[at] ^= 1 << random.IntN(8)
				}
			}
			if f, err := fat.New(bytes.NewReader(bad), int64(len(bad))); err == nil {
				visit(f)
			}
		}
	}
}

func FuzzNew(f *testing.F) {
	dir := f.TempDir()
	os.MkdirAll(filepath.Join(dir, "EFI/Linux"), 0o755)
	os.WriteFile(filepath.Join(dir, "EFI/Linux/a long name.efi"), []byte("text"), 0o644)
	f.Add(mkfs(f, dir, 64, "-F", "12"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := fat.New(bytes.NewReader(b), int64(len(b))); err == nil {
			visit(x)
		}
	})
}
