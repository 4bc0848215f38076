package hosted

import (
	"bytes"
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
