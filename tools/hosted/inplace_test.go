package hosted

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A save sees whether the name still leads to what it writes.
func TestSaveFollowsName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do    func(dir, file string) error
		saved bool // by writing a new file
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
