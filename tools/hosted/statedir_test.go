package hosted

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A state in a file of its own: made where there was nothing, an empty file or
// zeros, still locked after it was replaced by a longer one, and released by Unlock.
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

func TestStateDirLocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := OpenStateDir(dir, StateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStateDir(dir, StateOptions{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second lock: %v", err)
	}
	if err := s.Save([]byte("one")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s, err = OpenStateDir(dir, StateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if b, err := s.Load(BlobPermanent); err != nil || string(b) != "one" {
		t.Errorf("state %q, %v", b, err)
	}
	if b, err := s.Load(BlobVolatile); err != nil || b != nil {
		t.Errorf("volatile state %q, %v", b, err)
	}
}

func TestStateDirRefusesSwtpm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, fileState), make([]byte, 1315), 0o600)
	if _, err := OpenStateDir(dir, StateOptions{}); err == nil || !strings.Contains(err.Error(), "swtpm") {
		t.Errorf("swtpm's directory: %v", err)
	}
	dir = t.TempDir()
	os.WriteFile(filepath.Join(dir, "tpm2.state.b"), make([]byte, 1315), 0o600)
	if _, err := OpenStateDir(dir, StateOptions{}); err == nil || !strings.Contains(err.Error(), "earlier version") {
		t.Errorf("earlier directory: %v", err)
	}
}
