package movehost

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// disk makes a file with contents.
func disk(t *testing.T, size int, begin []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk")
	b := make([]byte, size)
	copy(b, begin)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestDisk copies disks of the same size and of others.
func TestDisk(t *testing.T) {
	t.Parallel()
	state := make([]byte, 300<<10)
	rand.Read(state)
	packed, err := packDisk(disk(t, 4<<20, state))
	if err != nil {
		t.Fatal(err)
	}
	old := bytes.Repeat([]byte{7}, 5<<20)
	for _, size := range []int{4 << 20, 5<<20 - 4096} {
		to := disk(t, size, old)
		if err := unpackDisk(to, packed); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(to)
		want := make([]byte, size)
		copy(want, state)
		if err != nil || !bytes.Equal(b, want) {
			t.Errorf("a disk of %d bytes has other contents (%v)", size, err)
		}
	}
	if err := unpackDisk(disk(t, 1<<20, nil), packed); !errors.Is(err, ErrDisk) {
		t.Errorf("a smaller disk: %v", err)
	}
	if err := unpackDisk(disk(t, 4<<20, nil), packed[:len(packed)-9]); err == nil {
		t.Error("what is cut off was taken")
	}
	rest := make([]byte, 2<<20)
	rand.Read(rest)
	if _, err := packDisk(disk(t, 4<<20, rest)); !errors.Is(err, ErrDisk) {
		t.Errorf("a disk that does not fit into a frame: %v", err)
	}
}

// FuzzUnpack writes anything to a disk: only what was packed is taken.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		to := disk(t, 8192, []byte("x"))
		if unpackDisk(to, b) != nil {
			return
		}
		if i, err := os.Stat(to); err != nil || i.Size() != 8192 {
			t.Errorf("%v, %v", i, err)
		}
	})
}
