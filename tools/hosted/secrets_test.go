package hosted

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// After each save no file of the directory holds a secret that is not in the
// state: through random states of every length, failed saves, volatile states,
// crashes and starts, in a directory and in a file of its own.
func TestErasedSecrets(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		open := func() *StateDir {
			var s *StateDir
			var err error
			if seed%2 == 0 {
				s, err = OpenStateDir(dir, StateOptions{NoSync: true})
			} else {
				s, err = OpenStateFile(filepath.Join(dir, "state"), StateOptions{NoSync: true})
			}
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		secret := 0
		state := func(most int) ([]byte, string) {
			secret++
			mark := fmt.Sprintf("SECRET-%d-%06d", seed, secret)
			b := bytes.Repeat([]byte{0xA5}, r.IntN(most))
			at := r.IntN(len(b) + 1)
			return append(append(bytes.Clone(b[:at]), mark...), b[at:]...), mark
		}
		var now string
		volatile := ""
		for step := range 60 {
			switch k := r.IntN(10); {
			case k < 6 || step == 0:
				b, mark := state([]int{100, 5000, 60_000, 200_000}[r.IntN(4)])
				if err := s.Save(b); err != nil {
					t.Fatal(err)
				}
				now, volatile = mark, ""
			case k == 6:
				b, mark := state(80_000)
				if err := s.saveVolatile(b); err != nil {
					t.Fatal(err)
				}
				volatile = mark
			case k == 7:
				if err := s.RemoveVolatile(); err != nil {
					t.Fatal(err)
				}
				volatile = ""
			case k == 8: // a save that fails
				whole := s.slots.f
				broken, err := os.Open(s.file())
				if err != nil {
					t.Fatal(err)
				}
				s.slots.f = broken
				b, _ := state(1000)
				if s.known && s.Save(b) == nil {
					t.Fatal("a save that cannot be written succeeded")
				}
				broken.Close()
				s.slots.f = whole
			default:
				s.Close()
				s = open()
				if b, err := s.Load(BlobPermanent); err != nil || !bytes.Contains(b, []byte(now)) {
					t.Fatalf("seed %d step %d: state is not the last one: %v", seed, step, err)
				}
			}
			wantSecrets(t, dir, now, volatile)
		}
		s.Close()
	}
}

// wantSecrets looks for planted secrets in all files below dir.
func wantSecrets(t *testing.T, dir string, allowed ...string) {
	t.Helper()
	filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, a := range allowed {
			if a != "" {
				b = bytes.ReplaceAll(b, []byte(a), nil)
			}
		}
		if i := bytes.Index(b, []byte("SECRET-")); i >= 0 {
			t.Fatalf("%s: %q is left in the file at %d (state has %q)", path, b[i:i+16], i, allowed)
		}
		return nil
	})
}
