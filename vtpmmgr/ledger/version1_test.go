package ledger

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"os"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
)

// version1Disk reads a ledger that a program of format version 1 wrote, behind
// the value of its anchor: items 1 and 2 in their version 3, item 4 in its 9.
func version1Disk(t *testing.T, name string) (disk []byte, c *chip) {
	t.Helper()
	f, err := os.Open("testdata/v1-" + name + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b[32:], &chip{value: [32]byte(b)}
}

// TestVersion1 opens ledgers of format version 1 in each mode, and goes on: the
// disk is of version 2 then, and the one of before is refused.
func TestVersion1(t *testing.T) {
	t.Parallel()
	want := map[ID]string{id(1): string(body(1, 3)), id(2): string(body(2, 3)), id(4): string(body(4, 9))}
	for name, own := range map[string]Mode{"strict": {}, "bounded": {Bounded: 10 * time.Second}} {
		for _, mode := range []Mode{{}, {Daily: 54}, {Bounded: time.Minute}} {
			disk, c := version1Disk(t, name)
			d := &blocktest.Mem{Data: bytes.Clone(disk)}
			cfg := quiet(d, c, mode)
			s, err := Open(cfg)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !maps.Equal(contents(s), want) {
				t.Fatalf("%s: not what was committed", name)
			}
			if is := s.Mode(); mode.WeakerThan(own) && is != own || own.WeakerThan(mode) && is != mode {
				t.Errorf("%s, opened as %v: %v", name, mode, is)
			}
			if w := s.Wear(); w.Writes == 0 {
				t.Errorf("%s: its writes are forgotten", name)
			}
			if err := s.Weaken(mode); err != nil {
				t.Fatal(err)
			}
			commit(t, s, Change{id(5), body(5, 1)})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if v := s.encoded[rootVersion+3]; v != version {
				t.Errorf("%s: root of version %d", name, v)
			}
			s = open(t, cfg)
			next := after(want, []Change{{id(5), body(5, 1)}})
			if !maps.Equal(contents(s), next) || s.Mode() != mode {
				t.Fatalf("%s, as %v: opened again, it is %v", name, mode, s.Mode())
			}
			for _, power := range []bool{true, false} {
				if _, err := Open(quiet(&blocktest.Mem{Data: bytes.Clone(disk)}, c.kept(power), mode)); !errors.Is(err, ErrRolledBack) {
					t.Errorf("%s: the disk of version 1 again: %v", name, err)
				}
			}
		}
		// Any bit of its root: refused, or the other copy is taken.
		disk, c := version1Disk(t, name)
		for at := 0; at < rootSize; at += 7 {
			d := &blocktest.Mem{Data: bytes.Clone(disk)}
			for slot := range 2 {
				d.Data[int(rootAt(slot, 0))+at] ^= 1
			}
			s, err := Open(quiet(d, c.kept(true), own))
			if err != nil || !maps.Equal(contents(s), want) {
				t.Fatalf("%s, byte %d of a copy: %v", name, at, err)
			}
		}
	}
}
