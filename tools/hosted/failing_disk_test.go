package hosted

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A failingFile is a state file whose operations from number first to number last
// fail: writes and flushes are counted, from 0. Of a write that fails the first
// half is written if torn is set.
type failingFile struct {
	*os.File
	first, last int
	torn        bool
	count       int
	failed      []string // operations
}

func (f *failingFile) fails(what string) bool {
	f.count++
	if n := f.count - 1; n < f.first || n > f.last {
		return false
	}
	f.failed = append(f.failed, what)
	return true
}

func (f *failingFile) WriteAt(b []byte, at int64) (int, error) {
	if !f.fails("write") {
		return f.File.WriteAt(b, at)
	}
	if !f.torn {
		return 0, errors.New("disk: write error")
	}
	n, _ := f.File.WriteAt(b[:len(b)/2], at)
	return n, errors.New("disk: no space is left")
}

// Fd is what is flushed: no descriptor where that fails.
func (f *failingFile) Fd() uintptr {
	if f.fails("flush") {
		return ^uintptr(0)
	}
	return f.File.Fd()
}

// Whichever operations of a save fail: a save that returns an error left the old
// state, one that does not the new state, at once and after a new start. What
// could not be erased is on the log. The next save succeeds, and leaves no older
// state.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	unerased := 0
	for length := range 3 { // how many operations fail
		for first := range 6 {
			for _, torn := range []bool{false, true} {
				for _, volatile := range []bool{false, true} {
					name := fmt.Sprintf("operations %d to %d, torn %v, volatile %v", first, first+length, torn, volatile)
					unerased += failingSave(t, name, volatile, failingFile{first: first, last: first + length, torn: torn})
				}
			}
		}
	}
	if unerased < 10 {
		t.Errorf("only %d saves failed to erase", unerased)
	}
}

// failingSave returns 1 if the save succeeded without erasing.
func failingSave(t *testing.T, name string, volatile bool, broken failingFile) (unerased int) {
	dir := t.TempDir()
	var l logged
	s, err := OpenStateDir(dir, StateOptions{Log: l.log})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	if err := errors.Join(s.Save([]byte("SECRET-first....")), s.Save([]byte("SECRET-old......"))); err != nil {
		t.Fatal(err)
	}
	if volatile {
		if err := s.saveVolatile([]byte("SECRET-volatile.")); err != nil {
			t.Fatal(err)
		}
	}
	whole := s.slots.f.(*os.File)
	broken.File = whole
	s.slots.f = &broken
	err = s.Save([]byte("SECRET-new......"))
	s.slots.f = whole
	want := "SECRET-new......"
	switch {
	case err != nil:
		want = "SECRET-old......"
	case len(broken.failed) > 0:
		unerased = 1
		if !l.has("cannot be erased") {
			t.Errorf("%s: %q failed, and nothing is logged", name, broken.failed)
		}
	case len(l.lines) > 0:
		t.Errorf("%s: logged %q", name, l.lines)
	}
	if len(broken.failed) > 1 && broken.failed[0] == "flush" && broken.failed[1] == "write" {
		return unerased // written whole, and neither flushed nor erased: a new start may take it
	}
	wantState := func(when, want string) {
		t.Helper()
		b, err := s.Load(BlobPermanent)
		if err != nil || string(b) != want {
			t.Errorf("%s: %q failed: state %s is %q, %v; want %q", name, broken.failed, when, b, err, want)
		}
		v, err := s.Load(BlobVolatile)
		if err != nil || v != nil && (want == "SECRET-next....." || !volatile) {
			t.Errorf("%s: %q failed: volatile state %s is %q, %v", name, broken.failed, when, v, err)
		}
	}
	// A process that ends here leaves this file.
	image := readFile(t, filepath.Join(dir, fileState))
	next := func(when string) {
		wantState(when, want)
		if err := s.Save([]byte("SECRET-next.....")); err != nil {
			t.Errorf("%s: %q failed: next save %s: %v", name, broken.failed, when, err)
		}
		wantState("after the next save, "+when, "SECRET-next.....")
		if b := readFile(t, filepath.Join(dir, fileState)); bytes.Count(b, []byte("SECRET-")) != 1 {
			t.Errorf("%s: %q failed: older states are left by the next save %s", name, broken.failed, when)
		}
	}
	next("at once")
	s.Close()
	os.WriteFile(filepath.Join(dir, fileState), image, 0o600)
	if s, err = OpenStateDir(dir, StateOptions{}); err != nil {
		t.Fatal(err)
	}
	next("after a new start")
	return unerased
}
