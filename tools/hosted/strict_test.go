package hosted

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A stored volatile state that is damaged is refused by --strict, which leaves the
// file as it is. Otherwise it is logged and erased, and the TPM starts as after a
// loss of power.
func TestDamagedVolatile(t *testing.T) {
	t.Parallel()
	region := func(b []byte) []byte { return b[regionVolatile*minRegion:] }
	for name, damage := range map[string]func(b []byte){
		"none":                  func([]byte) {},
		"erased":                func(b []byte) { clear(region(b)) },
		"a bit of the state":    func(b []byte) { region(b)[fileHeader+1] ^= 1 },
		"torn":                  func(b []byte) { clear(region(b)[fileHeader+8:]) },
		"no header":             func(b []byte) { copy(region(b), "something else") },
		"a permanent state":     func(b []byte) { copy(region(b), b[:2*minRegion][firstSlot(b):][:minRegion]) },
		"an impossible length":  func(b []byte) { region(b)[12] = 0xFF },
		"encrypted":             func(b []byte) { region(b)[10] = protectGCM },
		"of unknown protection": func(b []byte) { region(b)[10] = 9 },
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, fileState)
		start := func(strict bool) (l logged, damaged []byte, err error) {
			files, err := OpenStateDir(dir, StateOptions{NoSync: true, Strict: strict, Log: l.log})
			if err != nil {
				t.Fatal(err)
			}
			defer files.Close()
			m := NewMachine(openFake, files, l.log)
			err = m.PowerOn(false)
			return l, readFile(t, file), err
		}
		files, err := OpenStateDir(dir, StateOptions{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		m := NewMachine(openFake, files, nil)
		if err := m.Start(false, StartupClear); err != nil {
			t.Fatal(err)
		}
		if err := m.StoreVolatile(); err != nil {
			t.Fatal(err)
		}
		files.Close()
		b := readFile(t, file)
		damage(b)
		os.WriteFile(file, b, 0o600)
		sound := name == "none" || name == "erased"

		_, after, err := start(true)
		switch {
		case sound && err != nil:
			t.Errorf("%s: --strict: %v", name, err)
		case !sound && (err == nil || !strings.Contains(err.Error(), "volatile state") || !strings.Contains(err.Error(), "--strict")):
			t.Errorf("%s: --strict started: %v", name, err)
		case !bytes.Equal(after, b):
			t.Errorf("%s: --strict changed the file", name)
		}
		l, after, err := start(false)
		if err != nil || l.has("cannot be resumed from") == sound {
			t.Errorf("%s: %v, log %q", name, err, l.lines)
		}
		if !sound && !isErased(region(after)) {
			t.Errorf("%s: it was not erased", name)
		}
		if _, _, err := start(true); err != nil {
			t.Errorf("%s: --strict after a start without: %v", name, err)
		}
	}
}

// firstSlot is the offset of the slot that is in use.
func firstSlot(b []byte) int {
	if isErased(b[:minRegion]) {
		return minRegion
	}
	return 0
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A slot that cannot be read beside one that can is logged with both sequence
// numbers, and refused by --strict.
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
	if b, err := s.Load(BlobPermanent); !errors.Is(err, errDamaged) {
		t.Errorf("rolled back to %q, %v", b, err)
	}
}
