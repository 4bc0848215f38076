package hosted

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// --print-states lists what is there without a key.
func TestStoredStates(t *testing.T) {
	t.Parallel()
	key, _ := newKey(bytes.Repeat([]byte{7}, 32))
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
	s, err := OpenStateDir(dir, StateOptions{key: key})
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
