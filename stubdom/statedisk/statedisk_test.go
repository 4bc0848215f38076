package statedisk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
)

var (
	testUUID = [16]byte{1, 2, 3}
	testKey  = bytes.Repeat([]byte{7}, KeySize)
)

func open(t *testing.T, d block.Device, uuid [16]byte) *Disk {
	t.Helper()
	s, err := Open(d, uuid)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCut cuts the power at every sector of a save: afterwards the old state or
// the new one is there, whole, and the acknowledged one can be loaded.
func TestCut(t *testing.T) {
	t.Parallel()
	old, next := bytes.Repeat([]byte{1}, 3000), bytes.Repeat([]byte{2}, 5000)
	cuts := 0
	for at := 0; ; at++ {
		d := blocktest.NewMem(MinDisk)
		s := open(t, d, testUUID)
		v1, err := s.Save(testKey, 1, old)
		if err != nil {
			t.Fatal(err)
		}
		s.Confirm()
		n := 0
		d.Hook = func() error {
			if n++; n > at {
				return errors.New("power cut")
			}
			return nil
		}
		v2, err := s.Save(testKey, 2, next)
		d.Hook = nil
		finished := err == nil
		if !finished {
			cuts++
		}
		s = open(t, d, testUUID)
		if got, _, err := s.Load(testKey, &v1); err != nil || !bytes.Equal(got, old) {
			t.Fatalf("cut %d: the acknowledged state is gone: %v", at, err)
		}
		got, v, err := s.Load(testKey, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[uint64][]byte{1: old, 2: next}[v.Sequence]; !bytes.Equal(got, want) {
			t.Fatalf("cut %d: mixed state", at)
		}
		if finished {
			if v != v2 {
				t.Fatalf("newest is %d after a whole save", v.Sequence)
			}
			break
		}
	}
	if cuts < 10 {
		t.Fatalf("the power was cut %d times only", cuts)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	d := blocktest.NewMem(MinDisk)
	s := open(t, d, testUUID)
	if _, _, err := s.Load(testKey, nil); !errors.Is(err, ErrBlank) {
		t.Errorf("blank disk: %v", err)
	}
	v1, _ := s.Save(testKey, 1, []byte("one"))
	s.Confirm()
	v2, _ := s.Save(testKey, 2, []byte("two"))
	s.Confirm()
	v3 := Version{Sequence: 3}
	manager := blocktest.NewMem(MinDisk)
	copy(manager.Data, d.Data)
	for slot := range 2 { // the purpose that the format reserves for a manager
		binary.BigEndian.PutUint32(manager.Data[slot*MinDisk/2+offPurpose:], 2)
	}
	for _, c := range []struct {
		name string
		disk block.Device
		uuid [16]byte
		key  []byte
		want *Version
		err  error
	}{
		{"newest", d, testUUID, testKey, nil, nil},
		{"acknowledged", d, testUUID, testKey, &v2, nil},
		{"older slot", d, testUUID, testKey, &v1, nil},
		{"newer than any", d, testUUID, testKey, &v3, ErrStale},
		{"other uuid", d, [16]byte{9}, testKey, nil, ErrForeign},
		{"other purpose", manager, testUUID, testKey, nil, ErrForeign},
		{"other key", d, testUUID, bytes.Repeat([]byte{8}, KeySize), nil, ErrCorrupt},
	} {
		if _, _, err := open(t, c.disk, c.uuid).Load(c.key, c.want); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
	}
}

// TestKeyForEach has a key for each state, as a vTPM does: an old disk is
// reported as stale, and one whose newest state is torn as corrupt.
func TestKeyForEach(t *testing.T) {
	t.Parallel()
	d := blocktest.NewMem(MinDisk)
	s := open(t, d, testUUID)
	var v Version
	var old []byte
	key := func(n uint64) []byte { return bytes.Repeat([]byte{byte(n)}, KeySize) }
	for n := uint64(1); n <= 4; n++ {
		old = bytes.Clone(d.Data)
		var err error
		if v, err = s.Save(key(n), n, []byte("a state")); err != nil {
			t.Fatal(err)
		}
		s.Confirm()
	}
	load := func() error {
		_, _, err := open(t, d, testUUID).Load(key(4), &v)
		return err
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	newest := bytes.Clone(d.Data)
	copy(d.Data, old)
	if err := load(); !errors.Is(err, ErrStale) {
		t.Errorf("old disk: %v", err)
	}
	copy(d.Data, newest)
	at := 0
	for d.Data[at] == old[at] {
		at++ // into the slot of the newest
	}
	d.Data[at/(MinDisk/2)*(MinDisk/2)+headerSize] ^= 1
	if err := load(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("torn state: %v", err)
	}
}

// TestEveryBit flips each bit that was written: the result is never loaded as
// the acknowledged state.
func TestEveryBit(t *testing.T) {
	t.Parallel()
	d := blocktest.NewMem(MinDisk)
	s := open(t, d, testUUID)
	v, err := s.Save(testKey, 1, []byte("a state"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 * (headerSize + 7 + 16) {
		d.Data[i/8] ^= 1 << (i % 8)
		if _, _, err := open(t, d, testUUID).Load(testKey, &v); err == nil {
			t.Fatalf("bit %d flipped, and loaded", i)
		}
		d.Data[i/8] ^= 1 << (i % 8)
	}
}

func FuzzLoad(f *testing.F) {
	d := blocktest.NewMem(MinDisk)
	s, _ := Open(d, testUUID)
	s.Save(testKey, 1, []byte("a state"))
	f.Add(bytes.Clone(d.Data[:1024]))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		d := blocktest.NewMem(MinDisk)
		copy(d.Data, b)
		s, err := Open(d, testUUID)
		if err != nil {
			t.Fatal(err)
		}
		state, _, err := s.Load(testKey, nil)
		if err == nil && string(state) != "a state" {
			t.Fatal("a forged state was loaded")
		}
	})
}
