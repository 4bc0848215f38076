package ledger

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"testing"
	"time"

	"stubtpm/drivers/block/blocktest"
)

// FuzzRoot gives authentic roots to the parser: with the right tag and anything
// before it.
func FuzzRoot(f *testing.F) {
	k, err := newKeys(testKey)
	if err != nil {
		f.Fatal(err)
	}
	sign := func(b []byte) []byte {
		m := hmac.New(sha256.New, k.mac)
		m.Write(b[:rootTag])
		return m.Sum(bytes.Clone(b[:rootTag]))
	}
	for _, m := range []Mode{{}, {Bounded: time.Second}, {Daily: 54}} {
		r := root{version: version, epoch: 2, sequence: 7, mode: m, base: [32]byte{1}, boot: 5, pcr: 15, leaves: []hash{{2}, {}, {3}}}
		f.Add(r.encode(k, testManager))
	}
	one := (&root{version: version1, epoch: 2, sequence: 7, leaves: make([]hash, 1)}).encode(k, testManager)
	one[rootHashes1] = 9
	f.Add(sign(one))
	f.Add(one[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		for range 2 {
			if r, err := parseRoot(b, k, testManager); err == nil && r.version == version && !bytes.Equal(r.encode(k, testManager), b) {
				t.Fatal("a root that is another one when written again")
			}
			if len(b) != rootSize {
				return
			}
			b = sign(b)
		}
	})
}

func FuzzLeaf(f *testing.F) {
	entries := make([]entry, perLeaf)
	entries[0] = entry{id: ID{1}, sequence: 5, slot: 1, hash: [entryHashSize]byte{1}}
	entries[3] = entry{id: ID{2}, sequence: 6, deleted: true}
	f.Add(encodeLeaf(0, testManager, entries))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := parseLeaf(b, 0, testManager); err == nil && !bytes.Equal(encodeLeaf(0, testManager, e), b) {
			t.Fatal("a leaf that is another one when written again")
		}
	})
}

func FuzzItem(f *testing.F) {
	k, err := newKeys(testKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.seal(&item{id: ID{1}, sequence: 3, body: []byte("body")}, testManager, 4, 1))
	// Authentic, and not what is ever written.
	plain := make([]byte, itemPlain)
	plain[plainKind+1], plain[plainLength] = 1, 255
	header := append([]byte(itemMagic), 0, 0, 0, 1, 0, 0, 0, 0)
	f.Add(k.item.Seal(append(header, make([]byte, 24)...), make([]byte, 24), plain, associatedData(header, testManager, 4, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		it, err := k.open(b, testManager, 4, 1)
		if err == nil && (it.id != ID{1} || it.sequence != 3 || string(it.body) != "body") {
			t.Fatal("a forged item")
		}
		if _, err := k.open(b, testManager, 4, 0); err == nil {
			t.Fatal("an item of another slot")
		}
	})
}

// FuzzOpen lays bytes anywhere over a good ledger: no other body is served than
// the last one.
func FuzzOpen(f *testing.F) {
	d, c := blocktest.NewMem(MinArea), &chip{}
	s, err := Format(quiet(d, c, Mode{}))
	if err != nil {
		f.Fatal(err)
	}
	for v := range 4 {
		if err := s.Commit(Change{id(1), body(1, v)}, Change{id(2), body(2, v)}); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(uint32(0), bytes.Clone(d.Data[:rootSize]))
	f.Add(uint32(rootSize), bytes.Clone(d.Data[:rootSize]))
	f.Add(uint32(leafAt(0, 0)), bytes.Clone(d.Data[leafAt(0, 1):][:leafSize]))
	f.Add(uint32(itemAt(0, 0)), bytes.Clone(d.Data[itemAt(0, 1):][:itemSize]))
	f.Add(uint32(itemAt(1, 0)), bytes.Clone(d.Data[itemAt(0, 0):][:itemSize]))
	f.Add(uint32(0), []byte{})
	f.Fuzz(func(t *testing.T, at uint32, b []byte) {
		disk := &blocktest.Mem{Data: bytes.Clone(d.Data)}
		copy(disk.Data[at%MinArea:], b)
		m, err := Open(quiet(disk, c.kept(false), Mode{}))
		if err != nil {
			return
		}
		for id, b := range m.All() {
			if n := int(id[2]); !bytes.Equal(b, body(n, 3)) {
				t.Fatal("an item that is not the last")
			}
		}
		if len(contents(m))+len(m.Damaged()) < 2 {
			t.Fatal("an item is missing, and nobody says so")
		}
	})
}
