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
	// A half-written file of a crash is not looked at.
	os.WriteFile(filepath.Join(dir, filePermanent+fileTemp), []byte("half"), 0o600)
	if b, _ := s.Load(BlobPermanent); string(b) != "one" {
		t.Errorf("state %q after a crash", b)
	}
}

func TestStateDirRefusesSwtpm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, fileSwtpm), []byte{1}, 0o600)
	if _, err := OpenStateDir(dir, StateOptions{}); err == nil || !strings.Contains(err.Error(), "swtpm") {
		t.Errorf("swtpm's directory: %v", err)
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
		good, err := sealFile(BlobPermanent, state, k)
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
	sealed, _ := sealFile(BlobPermanent, state, key)
	plain, _ := sealFile(BlobPermanent, state, nil)
	phrase, _ := sealFile(BlobPermanent, state, pass)
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
	b, _ := sealFile(BlobPermanent, []byte("state"), nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, in []byte) {
		state, err := openFile(BlobPermanent, in, nil)
		if err != nil {
			return
		}
		again, err := sealFile(BlobPermanent, state, nil)
		if err != nil || len(again) != len(in) {
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
	if err := os.Mkdir(filepath.Join(m.files.dir, filePermanent+fileTemp), 0o700); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "count", m.Execute(0, tpmCommand(fakeCount)), errorResponse(rcFailure))
	if b, err := m.files.Load(BlobPermanent); err != nil || b[3] != 1 {
		t.Errorf("state %x, %v", b, err)
	}
}
