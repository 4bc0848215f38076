package hosted

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// At every instant of a save, cut anywhere, the state is the old one or the
// new one; and a save after the crash spoils neither.
func TestSaveCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, fileState)
	states := []string{"the first state, which is long", "second", "the third", "4"}
	open := func() *StateDir {
		s, err := OpenStateDir(dir, StateOptions{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	cuts := 0
	for i, state := range states {
		before, _ := os.ReadFile(file)
		s := open()
		if err := s.Save([]byte(state)); err != nil {
			t.Fatal(err)
		}
		next := s.current
		s.Close()
		after, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			continue // a new file appears as a whole
		}
		try := func(torn []byte, what string, n int) {
			t.Helper()
			os.WriteFile(file, torn, 0o600)
			s := open()
			b, err := s.Load(BlobPermanent)
			if err != nil || string(b) != states[i-1] && string(b) != state {
				t.Fatalf("save %d, %s cut at %d: %q, %v", i, what, n, b, err)
			}
			if err := s.Save([]byte("after")); err != nil {
				t.Fatal(err)
			}
			if b, err := s.Load(BlobPermanent); err != nil || string(b) != "after" {
				t.Fatalf("save %d, %s cut at %d, saved again: %q, %v", i, what, n, b, err)
			}
			s.Close()
			cuts++
		}
		// First the slot is written, then the other one is erased.
		torn := bytes.Clone(before)
		for _, region := range []int{next, 1 - next} {
			at := region * minRegion
			for n := range 120 {
				torn[at+n] = after[at+n]
				try(torn, map[bool]string{true: "slot", false: "erasing"}[region == next], n)
			}
		}
		os.WriteFile(file, after, 0o600)
	}
	if cuts < 100 {
		t.Errorf("only %d cuts were tried", cuts)
	}
	// Spoiled: an error, not a new TPM.
	for _, spoiled := range [][]byte{[]byte("x"), make([]byte, 3*minRegion), bytes.Repeat([]byte{1}, 3*minRegion)} {
		os.WriteFile(file, spoiled, 0o600)
		s, err := OpenStateDir(dir, StateOptions{})
		if err == nil {
			_, err = s.Load(BlobPermanent)
			if s.Save([]byte("new")) == nil {
				t.Error("a save went over slots that cannot be read")
			}
			s.Close()
		}
		if !errors.Is(err, errDamaged) {
			t.Errorf("spoiled by %d bytes: %v", len(spoiled), err)
		}
	}
}

// A failed save leaves the old state.
func TestSaveFails(t *testing.T) {
	t.Parallel()
	m := machine(t)
	m.Execute(0, tpmCommand(fakeCount))
	whole := m.files.slots.f
	broken, err := os.Open(m.files.file()) // not for writing
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	m.files.slots.f = broken
	wantBytes(t, "count", m.Execute(0, tpmCommand(fakeCount)), errorResponse(rcFailure))
	m.files.slots.f = whole
	if b, err := m.files.Load(BlobPermanent); err != nil || b[3] != 1 {
		t.Errorf("state %x, %v", b, err)
	}
}
