package hwtpm

import (
	"bytes"
	"testing"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
)

// FuzzIntent: whatever is on the disk, indices of no other range are named, and what
// is read is what would be written.
func FuzzIntent(f *testing.F) {
	c := newChip(&testing.T{})
	tpm, err := Open(c, Options{})
	if err != nil {
		f.Fatal(err)
	}
	r, err := tpm.Create(testID, newKey(), Policy{}, nil)
	if err != nil {
		f.Fatal(err)
	}
	disk := blocktest.NewMem(Area)
	if err := WriteIntent(disk, r); err != nil {
		f.Fatal(err)
	}
	sector := disk.Data[markAt : markAt+block.SectorSize]
	if parseIntent(sector) == nil {
		f.Fatal("what was written is not read")
	}
	f.Add(bytes.Clone(sector))
	f.Add(make([]byte, block.SectorSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := parseIntent(b)
		if s == nil {
			return
		}
		for _, h := range s.indices {
			if h < firstIndex || h >= firstIndex+2*maxPairs {
				t.Fatalf("index %#x", h)
			}
		}
		d := blocktest.NewMem(Area)
		if err := WriteIntent(d, &Record{indices: s.indices, object: s.object}); err != nil {
			t.Fatal(err)
		}
		if again := parseIntent(d.Data[markAt : markAt+block.SectorSize]); again == nil || again.indices != s.indices || !bytes.Equal(again.object.public, s.object.public) {
			t.Fatal("another one when written again")
		}
	})
}

// TestLimits reads what a chip says of its NV memory.
func TestLimits(t *testing.T) {
	t.Parallel()
	tpm := open(t, newChip(t))
	before := tpm.Limits()
	if _, err := tpm.Create(testID, newKey(), Policy{}, nil); err != nil {
		t.Fatal(err)
	}
	if l := tpm.Limits(); l.CountersUsed != before.CountersUsed+1 {
		t.Errorf("%+v, before a counter was defined %+v", l, before)
	}
}
