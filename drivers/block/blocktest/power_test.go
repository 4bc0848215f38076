package blocktest

import (
	"bytes"
	"errors"
	"testing"

	"stubtpm/drivers/block"
)

// TestPower checks each kind of loss against what it may leave.
func TestPower(t *testing.T) {
	t.Parallel()
	one, two := bytes.Repeat([]byte{1}, block.SectorSize), bytes.Repeat([]byte{2}, block.SectorSize)
	seen := map[Loss]map[string]bool{}
	for how := range Losses {
		seen[how] = map[string]bool{}
		for seed := range uint64(64) {
			p := NewPower(make([]byte, 4*block.SectorSize))
			p.WriteAt(one, 0)
			if err := p.Flush(); err != nil {
				t.Fatal(err)
			}
			p.WriteAt(bytes.Repeat(two, 3), block.SectorSize)
			got := make([]byte, block.SectorSize)
			if p.ReadAt(got, block.SectorSize); !bytes.Equal(got, two) {
				t.Fatal("the cache is not read")
			}
			d := p.Cut(how, seed)
			if !bytes.Equal(d[:block.SectorSize], one) {
				t.Fatalf("%v: what was flushed is gone", how)
			}
			if !bytes.Equal(d, p.Cut(how, seed)) {
				t.Fatalf("%v: not the same twice", how)
			}
			if _, err := p.WriteAt(one, 0); !errors.Is(err, ErrPower) {
				t.Fatalf("a write without power: %v", err)
			}
			kind := ""
			for at := block.SectorSize; at < len(d); at += block.SectorSize {
				switch n := bytes.Count(d[at:at+block.SectorSize], []byte{2}); n {
				case 0, block.SectorSize:
					kind += string(rune('0' + n/block.SectorSize))
				default:
					kind += "t"
				}
			}
			seen[how][kind] = true
		}
	}
	for how, want := range map[Loss][]string{
		Drop: {"000"}, Keep: {"111"}, Prefix: {"000", "100", "110", "111"},
		Reorder: {"000", "001", "010", "011", "100", "101", "110", "111"},
	} {
		if len(seen[how]) != len(want) {
			t.Errorf("%v left %v, want %v", how, seen[how], want)
		}
		for _, k := range want {
			if !seen[how][k] {
				t.Errorf("%v never left %s", how, k)
			}
		}
	}
	if !seen[Tear]["t1t"] && !seen[Tear]["1t1"] && !seen[Tear]["ttt"] {
		t.Errorf("nothing was torn: %v", seen[Tear])
	}
}

// TestPowerBefore cuts before a chosen sector and before a flush.
func TestPowerBefore(t *testing.T) {
	t.Parallel()
	for at := range 5 {
		p, n := NewPower(make([]byte, 4*block.SectorSize)), 0
		p.Before = func(bool) bool { n++; return n <= at }
		_, err := p.WriteAt(bytes.Repeat([]byte{1}, 4*block.SectorSize), 0)
		if err == nil {
			err = p.Flush()
		}
		if !errors.Is(err, ErrPower) {
			t.Fatalf("at %d: %v", at, err)
		}
		if d := p.Cut(Keep, 0); bytes.Count(d, []byte{1}) != at*block.SectorSize {
			t.Errorf("cut at %d: %d bytes", at, bytes.Count(d, []byte{1}))
		}
	}
	p := NewPower(make([]byte, block.SectorSize))
	p.IgnoreFlush = true
	p.WriteAt(bytes.Repeat([]byte{1}, block.SectorSize), 0)
	p.Flush()
	if d := p.Cut(Drop, 0); d[0] != 0 {
		t.Error("a flush that does nothing made something durable")
	}
}
