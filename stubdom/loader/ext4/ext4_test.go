package ext4_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"

	"stubtpm/stubdom/loader/ext4"
)

// tree makes a directory with files of all kinds that matter, and returns their
// contents.
func tree(t testing.TB) (dir string, want map[string][]byte) {
	t.Helper()
	dir, want = t.TempDir(), map[string][]byte{}
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32()) | 1
		}
		return b
	}
	put := func(name string, b []byte) {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, b, 0o644); err != nil {
			t.Fatal(err)
		}
		want[name] = b
	}
	put("empty", nil)
	put("small", []byte("some text\n"))
	put("block", noise(4096))
	put("odd", noise(70_001))
	put("large", noise(900_000))
	// Holes of all sizes, at the start, between data and at the end.
	holes := make([]byte, 3<<20)
	for _, at := range []int{5000, 40_000, 300_000, 1 << 20, 2<<20 + 12_345} {
		copy(holes[at:], noise(1+at%9000))
	}
	put("sparse", holes)
	put("zeros", make([]byte, 200_000))
	put("loader/entries/a.conf", []byte("title a\n"))
	for i := range 300 {
		put(fmt.Sprintf("many/a-rather-long-name-for-a-file-%04d", i), []byte{byte(i)})
	}
	for name, target := range map[string]string{"link": "small", "loader/up": "../small", "absolute": "/loader/entries", "self": "self",
		"long": "loader/../loader/../loader/../loader/../loader/../loader/../loader/entries/a.conf"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	want["link"], want["loader/up"], want["absolute/a.conf"], want["long"] = want["small"], want["small"], []byte("title a\n"), []byte("title a\n")
	return dir, want
}

// mke2fs makes a file system with the contents of a directory.
func mke2fs(t testing.TB, dir, size string, options ...string) []byte {
	t.Helper()
	program, err := exec.LookPath("mke2fs")
	if err != nil {
		if program, err = exec.LookPath("/sbin/mke2fs"); err != nil {
			t.Skip("mke2fs is not installed (make deps)")
		}
	}
	img := filepath.Join(t.TempDir(), "img")
	args := append(append([]string{"-q", "-d", dir}, options...), img, size)
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs %v: %v\n%s", args, err, out)
	}
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var kinds = [][]string{
	{"-t", "ext4"},
	{"-t", "ext4", "-b", "1024"},
	{"-t", "ext4", "-b", "4096", "-O", "64bit,meta_bg,^resize_inode"},
	{"-t", "ext4", "-b", "1024", "-g", "1024", "-O", "meta_bg,^resize_inode"},
	{"-t", "ext4", "-I", "128", "-O", "^metadata_csum,^64bit"},
	{"-t", "ext3"},
	{"-t", "ext2", "-b", "1024"},
	{"-t", "ext2", "-b", "1024", "-O", "^filetype,^sparse_super,^resize_inode"},
	{"-t", "ext2", "-r", "0", "-b", "2048"},
}

// TestFiles compares file systems by mke2fs with the files that are in them.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir, want := tree(t)
	for _, options := range kinds {
		img := mke2fs(t, dir, "16M", options...)
		f, err := ext4.New(bytes.NewReader(img), int64(len(img)))
		if err != nil {
			t.Errorf("%v: %v", options, err)
			continue
		}
		for name, b := range want {
			got, err := fs.ReadFile(f, name)
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("%v: %s: %d bytes, want %d: %v", options, name, len(got), len(b), err)
			}
		}
		parts(t, f, "sparse", want["sparse"])
		parts(t, f, "large", want["large"])
		if _, err := fs.ReadFile(f, "self"); !errors.Is(err, ext4.ErrUnsupported) {
			t.Errorf("%v: a link to itself: %v", options, err)
		}
		if _, err := fs.ReadFile(f, "small/x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: a file below a file: %v", options, err)
		}
		if l, err := fs.ReadDir(f, "many"); err != nil || len(l) != 300 {
			t.Errorf("%v: %d entries: %v", options, len(l), err)
		}
	}
}

// parts reads pieces of a file at random places.
func parts(t *testing.T, f fs.FS, name string, want []byte) {
	t.Helper()
	file, err := f.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	r := file.(io.ReaderAt)
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		off, n := random.IntN(len(want)), 1+random.IntN(50_000)
		b := make([]byte, n)
		got, err := r.ReadAt(b, int64(off))
		if end := min(len(want), off+n); got != end-off || !bytes.Equal(b[:got], want[off:end]) || (got < n) != errors.Is(err, io.EOF) {
			t.Fatalf("%s: %d bytes of %d at %d: %v", name, got, n, off, err)
		}
	}
}

// TestIsFS runs the standard library's test of an fs.FS.
func TestIsFS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	os.MkdirAll(filepath.Join(dir, "a/b"), 0o755)
	os.WriteFile(filepath.Join(dir, "a/b/file"), []byte("text"), 0o644)
	img := mke2fs(t, dir, "1M", "-t", "ext4")
	f, err := ext4.New(bytes.NewReader(img), int64(len(img)))
	if err != nil {
		t.Fatal(err)
	}
	sub, err := fs.Sub(f, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(sub, "b/file"); err != nil {
		t.Error(err)
	}
}

// visit reads all it can find, a limited amount.
func visit(f *ext4.FS) {
	left := 2000
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
			for _, off := range []int64{0, 4000, 300_000, 1 << 33} {
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
	for _, options := range kinds[:7] {
		img := mke2fs(t, dir, "8M", options...)
		for range 60 {
			bad := bytes.Clone(img)
			for range 1 + random.IntN(300) {
				// Most structures are in the first part.
				at := random.IntN(len(bad) >> (random.IntN(4) * 3))
				switch random.IntN(3) {
				case 0:
					bad[at] = byte(random.Uint32())
				case 1:
					bad[at] ^= 1 << random.IntN(8)
				default:
					copy(bad[at:], bytes.Repeat([]byte{0xff}, 1+random.IntN(8)))
				}
			}
			f, err := ext4.New(bytes.NewReader(bad), int64(len(bad)))
			if err == nil {
				visit(f)
			}
		}
	}
}

func FuzzNew(f *testing.F) {
	dir := f.TempDir()
	os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o644)
	for _, options := range [][]string{{"-t", "ext4", "-b", "1024", "-N", "16"}, {"-t", "ext2", "-b", "1024", "-N", "16"}} {
		f.Add(mke2fs(f, dir, "64K", append(options, "-O", "^has_journal")...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := ext4.New(bytes.NewReader(b), int64(len(b))); err == nil {
			visit(x)
		}
	})
}
