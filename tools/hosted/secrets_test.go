package hosted

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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

// After each save no file of the directory holds a secret that is not in the
// state: through random states of every length, failed saves, volatile states,
// crashes and starts, in a directory and in a file of its own.
func TestErasedSecrets(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		open := func() *StateDir {
			var s *StateDir
			var err error
			if seed%2 == 0 {
				s, err = OpenStateDir(dir, StateOptions{NoSync: true})
			} else {
				s, err = OpenStateFile(filepath.Join(dir, "state"), StateOptions{NoSync: true})
			}
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		secret := 0
		state := func(most int) ([]byte, string) {
			secret++
			mark := fmt.Sprintf("SECRET-%d-%06d", seed, secret)
			b := bytes.Repeat([]byte{0xA5}, r.IntN(most))
			at := r.IntN(len(b) + 1)
			return append(append(bytes.Clone(b[:at]), mark...), b[at:]...), mark
		}
		var now string
		volatile := ""
		for step := range 60 {
			switch k := r.IntN(10); {
			case k < 6 || step == 0:
				b, mark := state([]int{100, 5000, 60_000, 200_000}[r.IntN(4)])
				if err := s.Save(b); err != nil {
					t.Fatal(err)
				}
				now, volatile = mark, ""
			case k == 6:
				b, mark := state(80_000)
				if err := s.saveVolatile(b); err != nil {
					t.Fatal(err)
				}
				volatile = mark
			case k == 7:
				if err := s.RemoveVolatile(); err != nil {
					t.Fatal(err)
				}
				volatile = ""
			case k == 8: // a save that fails
				whole := s.slots.f
				broken, err := os.Open(s.file())
				if err != nil {
					t.Fatal(err)
				}
				s.slots.f = broken
				b, _ := state(1000)
				if s.known && s.Save(b) == nil {
					t.Fatal("a save that cannot be written succeeded")
				}
				broken.Close()
				s.slots.f = whole
			default:
				s.Close()
				s = open()
				if b, err := s.Load(BlobPermanent); err != nil || !bytes.Contains(b, []byte(now)) {
					t.Fatalf("seed %d step %d: state is not the last one: %v", seed, step, err)
				}
			}
			wantSecrets(t, dir, now, volatile)
		}
		s.Close()
	}
}

// wantSecrets looks for planted secrets in all files below dir.
func wantSecrets(t *testing.T, dir string, allowed ...string) {
	t.Helper()
	filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, a := range allowed {
			if a != "" {
				b = bytes.ReplaceAll(b, []byte(a), nil)
			}
		}
		if i := bytes.Index(b, []byte("SECRET-")); i >= 0 {
			t.Fatalf("%s: %q is left in the file at %d (state has %q)", path, b[i:i+16], i, allowed)
		}
		return nil
	})
}

// A slot that cannot be read beside one that can is told with both sequences,
// and refused by --strict.
func TestSkippedSlot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, fileState)
	s, err := OpenStateDir(dir, StateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var images [][]byte
	for range 5 {
		if err := s.Save([]byte("state")); err != nil {
			t.Fatal(err)
		}
		b, _ := os.ReadFile(file)
		images = append(images, b)
	}
	s.Close()
	// As a crash in the fifth save leaves it: both slots, the newer one torn.
	torn := bytes.Clone(images[3])
	copy(torn[:minRegion], images[4][:fileHeader+2])
	os.WriteFile(file, torn, 0o640)
	var l logged
	if s, err = OpenStateDir(dir, StateOptions{Log: l.log}); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Load(BlobPermanent); err != nil || string(b) != "state" || s.seq != 4 {
		t.Errorf("state %q of %d, %v", b, s.seq, err)
	}
	s.Load(BlobPermanent)
	s.Close()
	if !l.has("sequence 5", "sequence 4") || len(l.lines) != 1 {
		t.Errorf("log: %q", l.lines)
	}
	if s, err = OpenStateDir(dir, StateOptions{Strict: true}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Load(BlobPermanent); err == nil || !strings.Contains(err.Error(), "--strict") {
		t.Errorf("strict: %v", err)
	}
	if s.Save([]byte("new")) == nil {
		t.Error("strict: saved over what was refused")
	}
	// One spoiled byte of the only slot gives no older state.
	spoiled := bytes.Clone(images[4])
	spoiled[fileHeader] ^= 1
	os.WriteFile(file, spoiled, 0o640)
	if b, err := s.Load(BlobPermanent); !errors.Is(err, ErrDamaged) {
		t.Errorf("rolled back to %q, %v", b, err)
	}
}

// A save sees whether the name still leads to what it writes.
func TestSaveFollowsName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do    func(dir, file string) error
		saved bool // by writing anew
	}{
		"removed":      {func(_, file string) error { return os.Remove(file) }, true},
		"lock removed": {func(dir, _ string) error { return os.Remove(filepath.Join(dir, fileLock)) }, true},
		"hard link":    {func(dir, file string) error { return os.Link(file, filepath.Join(dir, "backup")) }, true},
		"replaced":     {replaceFile, false},
		"written over": {overwriteFile, false},
		"symbolic link": {func(dir, file string) error {
			return errors.Join(os.Rename(file, file+".x"), os.Symlink(file+".x", file))
		}, false},
		"directory gone": {func(dir, _ string) error { return os.RemoveAll(dir) }, false},
		"directory moved": {func(dir, _ string) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700))
		}, false},
		"moved to a new directory": {func(dir, file string) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700), os.Rename(filepath.Join(dir+".old", fileState), file))
		}, false},
	} {
		dir := filepath.Join(t.TempDir(), "state")
		file := filepath.Join(dir, fileState)
		s, err := OpenStateDir(dir, StateOptions{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Save([]byte("one")), s.Save([]byte("two"))); err != nil {
			t.Fatal(err)
		}
		if err := c.do(dir, file); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(file)
		err = s.Save([]byte("three"))
		if (err == nil) != c.saved {
			t.Errorf("%s: saved with %v", name, err)
		}
		s.Close()
		if !c.saved {
			if after, _ := os.ReadFile(file); !bytes.Equal(before, after) {
				t.Errorf("%s: what took the name was written over", name)
			}
			continue
		}
		if b, err := os.ReadFile(filepath.Join(dir, "backup")); err == nil && bytes.Contains(b, []byte("three")) {
			t.Errorf("%s: the backup changed", name)
		}
		if s, err = OpenStateDir(dir, StateOptions{NoSync: true}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if b, err := s.Load(BlobPermanent); err != nil || string(b) != "three" {
			t.Errorf("%s: then %q, %v", name, b, err)
		}
		s.Close()
	}
}

// A state in a file of its own: made where there was nothing, an empty file or
// zeros, locked also when it was written anew, and given up by Unlock.
func TestStateFile(t *testing.T) {
	t.Parallel()
	for name, content := range map[string][]byte{"nothing": nil, "empty": {}, "zeros": make([]byte, 1<<20)} {
		file := filepath.Join(t.TempDir(), "tpm")
		if content != nil {
			os.WriteFile(file, content, 0o600)
		}
		s, err := OpenStateFile(file, StateOptions{})
		if err != nil {
			t.Fatal(name, err)
		}
		for _, state := range [][]byte{[]byte("one"), make([]byte, 500_000), []byte("three")} {
			if b, err := s.Load(BlobPermanent); err != nil {
				t.Fatalf("%s: %q, %v", name, b, err)
			}
			if err := s.Save(state); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := OpenStateFile(file, StateOptions{}); err == nil || !strings.Contains(err.Error(), "in use") {
				t.Fatalf("%s: two processes: %v", name, err)
			}
		}
		if err := errors.Join(s.Unlock(), s.Lock(0), s.Unlock()); err != nil {
			t.Fatal(name, err)
		}
		other, err := OpenStateFile(file, StateOptions{})
		if err != nil {
			t.Fatal(name, err)
		}
		if b, err := other.Load(BlobPermanent); err != nil || string(b) != "three" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		other.Close()
		s.Close()
	}
}

func replaceFile(dir, file string) error {
	b, err := os.ReadFile(file)
	return errors.Join(err, os.WriteFile(file+".x", b, 0o600), os.Rename(file+".x", file))
}

func overwriteFile(dir, file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{7}, 3*minRegion), 0)
	return errors.Join(err, f.Close())
}

// Symbolic links as names of files are not followed; modes and owners are
// looked at; a typo is no new TPM.
func TestStateNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{fileState, fileLock} {
		dir := t.TempDir()
		target := filepath.Join(t.TempDir(), "target")
		os.WriteFile(target, nil, 0o600)
		os.Symlink(target, filepath.Join(dir, name))
		if s, err := OpenStateDir(dir, StateOptions{}); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	dir := t.TempDir()
	target := filepath.Join(t.TempDir(), "target")
	os.Symlink(target, filepath.Join(dir, fileState+fileTemp))
	s, err := OpenStateDir(dir, StateOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save([]byte("state")); err != nil {
		t.Error(err)
	}
	s.Close()
	if _, err := os.Stat(target); err == nil {
		t.Error("the state was written through a link")
	}
	if _, err := OpenStateDir(filepath.Join(dir, "typo", "x"), StateOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing parents: %v", err)
	}
	file := filepath.Join(dir, fileState)
	for _, c := range []struct{ have, ask, want os.FileMode }{{0o666, 0, 0o640}, {0o600, 0, 0o600}, {0o666, 0o600, 0o600}, {0o600, 0o644, 0o644}} {
		os.Chmod(file, c.have)
		if s, err = OpenStateDir(dir, StateOptions{Mode: c.ask}); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if info, _ := os.Stat(file); info.Mode().Perm() != c.want {
			t.Errorf("mode %o with mode=%o becomes %o", c.have, c.ask, info.Mode().Perm())
		}
	}
	os.Chmod(dir, 0o777)
	var l logged
	if s, err = OpenStateDir(dir, StateOptions{Log: l.log}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if !l.has("writable by every user") {
		t.Errorf("directory of mode 0777: %q", l.lines)
	}
	if _, err := OpenStateDir(dir, StateOptions{Strict: true}); err == nil {
		t.Error("strict: directory of mode 0777 taken")
	}
}

// --print-states tells what is there without a key.
func TestStoredStates(t *testing.T) {
	t.Parallel()
	key, _ := NewKey(bytes.Repeat([]byte{7}, 32))
	dir := t.TempDir()
	file := filepath.Join(dir, fileState)
	want := func(what, list string) {
		t.Helper()
		got, err := storedStates(file)
		if s := fmt.Sprint(got); err != nil || s != list {
			t.Errorf("%s: %s, %v; want %s", what, s, err, list)
		}
	}
	want("nothing", "[]")
	s, err := OpenStateDir(dir, StateOptions{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	s.Save([]byte("state"))
	want("encrypted", "[{permall 5}]")
	s.saveVolatile([]byte("volatile"))
	want("with volatile", "[{permall 5} {volatile 8}]")
	s.Save([]byte("longer state"))
	want("saved again", "[{permall 12}]")
	s.Close()
	os.WriteFile(file, make([]byte, 1315), 0o600)
	want("foreign", "[{permall 1315}]")
	os.WriteFile(file, bytes.Repeat([]byte{1}, 3*minRegion), 0o600)
	want("damaged", fmt.Sprintf("[{permall %d}]", 3*minRegion))
}
