package hosted

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("spoiled by %d bytes: %v", len(spoiled), err)
		}
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

// Each changed bit of a state file is found, with and without a key.
func TestStateFileDamage(t *testing.T) {
	t.Parallel()
	key, err := NewKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := NewKey(bytes.Repeat([]byte{8}, 32))
	pass, _ := NewPassphraseKey([]byte("secret"), KDFPBKDF2, 256)
	again, _ := NewPassphraseKey([]byte("secret"), KDFPBKDF2, 256)
	state := []byte("permanent state")
	for _, k := range []*Key{nil, key} {
		good, err := sealFile(BlobPermanent, 1, state, k)
		if err != nil {
			t.Fatal(err)
		}
		if (k != nil) == bytes.Contains(good, state) {
			t.Error("plain where encrypted is meant, or the other way round")
		}
		if b, err := openFile(BlobPermanent, good, k); err != nil || !bytes.Equal(b, state) {
			t.Fatalf("%q, %v", b, err)
		}
		for i := range len(good) * 8 {
			bad := bytes.Clone(good)
			bad[i/8] ^= 1 << (i % 8)
			if b, err := openFile(BlobPermanent, bad, k); err == nil {
				t.Fatalf("bit %d changed: %q", i, b)
			}
		}
		for n := range good {
			if _, err := openFile(BlobPermanent, good[:n], k); err == nil {
				t.Fatalf("cut to %d bytes: no error", n)
			}
		}
		if _, err := openFile(BlobVolatile, good, k); err == nil {
			t.Error("permanent taken for volatile")
		}
	}
	sealed, _ := sealFile(BlobPermanent, 1, state, key)
	plain, _ := sealFile(BlobPermanent, 1, state, nil)
	phrase, _ := sealFile(BlobPermanent, 1, state, pass)
	if b, err := openFile(BlobPermanent, phrase, again); err != nil || !bytes.Equal(b, state) {
		t.Errorf("passphrase: %q, %v", b, err)
	}
	for _, c := range []struct {
		b    []byte
		k    *Key
		want error
	}{{sealed, other, ErrKey}, {sealed, nil, ErrEncrypted}, {plain, key, ErrPlain}, {phrase, key, ErrKey}} {
		if _, err := openFile(BlobPermanent, c.b, c.k); !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
}

func FuzzStateFile(f *testing.F) {
	b, _ := sealFile(BlobPermanent, 1, []byte("state"), nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, in []byte) {
		state, err := openFile(BlobPermanent, in, nil)
		if err != nil {
			return
		}
		again, err := sealFile(BlobPermanent, 1, state, nil)
		if err != nil || len(again) > len(in) {
			t.Errorf("%x reads as %x", in, state)
		}
	})
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	for in, ok := range map[string]bool{
		strings.Repeat("ab", 32) + "\n": true, "0x" + strings.Repeat("ab", 16): true,
		strings.Repeat("ab", 31): false, "zz": false, "": false,
	} {
		if _, err := ParseKey([]byte(in), "hex"); (err == nil) != ok {
			t.Errorf("%q: %v", in, err)
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
