package statedisk

import (
	"bytes"
	"errors"
	"testing"

	"stubtpm/drivers/block/blocktest"
)

// TestClaimAfterCut cuts the power at every sector of the making of a TPM: until
// its first state is confirmed, the disk can be claimed again.
func TestClaimAfterCut(t *testing.T) {
	t.Parallel()
	state := bytes.Repeat([]byte{1}, 3000)
	cuts := 0
	for at := 0; ; at++ {
		d := blocktest.NewMem(MinDisk)
		n := 0
		d.Hook = func() error {
			if n++; n > at {
				return errors.New("power cut")
			}
			return nil
		}
		s := open(t, d, testUUID)
		err := s.Claim()
		if err == nil {
			_, err = s.Save(testKey, 1, state)
		}
		d.Hook = nil
		again := open(t, d, testUUID)
		if e := again.Claim(); e != nil {
			t.Fatalf("cut at sector %d (%v): %v", at, err, e)
		}
		if err == nil {
			break
		}
		cuts++
	}
	if cuts < 8 {
		t.Errorf("only %d cuts", cuts)
	}
}

// TestClaimInUse: whatever else is on the disk, Claim writes nothing and returns
// the reason; Replace overwrites it.
func TestClaimInUse(t *testing.T) {
	t.Parallel()
	saved := func(uuid [16]byte, states uint64) func(t *testing.T, d *blocktest.Mem) {
		return func(t *testing.T, d *blocktest.Mem) {
			s := open(t, d, uuid)
			if err := s.Claim(); err != nil {
				t.Fatal(err)
			}
			for n := range states {
				if _, err := s.Save(bytes.Repeat([]byte{byte(n)}, KeySize), n+1, []byte("state")); err != nil {
					t.Fatal(err)
				}
				s.Confirm()
			}
		}
	}
	byteAt := func(at int) func(t *testing.T, d *blocktest.Mem) {
		return func(_ *testing.T, d *blocktest.Mem) { d.Data[at] = 1 }
	}
	for _, c := range []struct {
		name string
		put  func(t *testing.T, d *blocktest.Mem)
		want error
	}{
		{"two states, with keys that are lost", saved(testUUID, 2), nil},
		{"nine states", saved(testUUID, 9), nil},
		{"another TPM's first state", saved([16]byte{9}, 1), ErrForeign},
		{"another purpose", func(t *testing.T, d *blocktest.Mem) {
			saved(testUUID, 3)(t, d)
			d.Data[offPurpose+3] = 2
		}, ErrForeign},
		{"a file system, whose first sectors are zeros", byteAt(1024 + 56), ErrFormat},
		{"one byte at the end of slot 0", byteAt(MinDisk/2 - 1), ErrFormat},
		{"one byte in slot 1", byteAt(MinDisk/2 + 7000), ErrFormat},
		{"one byte at the end of slot 1", byteAt(MinDisk - 1), ErrFormat},
		{"a disk label", byteAt(0), ErrFormat},
	} {
		d := blocktest.NewMem(MinDisk)
		c.put(t, d)
		before := bytes.Clone(d.Data)
		err := open(t, d, testUUID).Claim()
		if !errors.Is(err, ErrInUse) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if !bytes.Equal(d.Data, before) {
			t.Errorf("%s: was written over", c.name)
		}
		s := open(t, d, testUUID)
		held, err := s.Replace()
		if err != nil || !errors.Is(held, ErrInUse) {
			t.Errorf("%s: replace: %v, %v", c.name, held, err)
		}
		v, err := s.Save(testKey, 1, []byte("new"))
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := open(t, d, testUUID).Load(testKey, &v); err != nil || string(got) != "new" {
			t.Errorf("%s: replaced: %q, %v", c.name, got, err)
		}
	}
}
