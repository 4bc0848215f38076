package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// An entry names the valid version of an item.
type entry struct {
	id       ID
	sequence uint64 // zero if never used
	slot     int
	deleted  bool // its sector has a tombstone
	hash     [entryHashSize]byte
}

// encodeLeaf encodes a leaf. The leaf's sequence is that of its newest item.
func encodeLeaf(number int, manager ID, entries []entry) []byte {
	b := make([]byte, leafSize)
	copy(b, leafMagic)
	binary.BigEndian.PutUint32(b[leafVersion:], partVersion)
	binary.BigEndian.PutUint32(b[leafNumber:], uint32(number))
	copy(b[leafManager:], manager[:])
	var newest uint64
	for i, e := range entries {
		if e.sequence == 0 {
			continue
		}
		newest = max(newest, e.sequence)
		at := b[leafEntries+i*entrySize:]
		copy(at[entryID:], e.id[:])
		flags := uint64(e.slot) * slotBit
		if e.deleted {
			flags |= deletedBit
		}
		binary.BigEndian.PutUint64(at[entrySequence:], e.sequence|flags)
		copy(at[entryHash:], e.hash[:])
	}
	binary.BigEndian.PutUint64(b[leafSequence:], newest)
	return b
}

var errLeaf = errors.New("ledger: leaf is malformed")

// parseLeaf decodes a leaf whose hash was verified. It accepts only what encodeLeaf
// writes.
func parseLeaf(b []byte, number int, manager ID) ([]entry, error) {
	if len(b) != leafSize {
		return nil, errLeaf
	}
	entries := make([]entry, perLeaf)
	for i := range entries {
		at := b[leafEntries+i*entrySize:]
		s := binary.BigEndian.Uint64(at[entrySequence:])
		entries[i] = entry{id: ID(at[entryID:]), sequence: s &^ (slotBit | deletedBit), slot: int(s >> 63), deleted: s&deletedBit != 0}
		copy(entries[i].hash[:], at[entryHash:])
	}
	if !bytes.Equal(encodeLeaf(number, manager, entries), b) {
		return nil, errLeaf
	}
	return entries, nil
}

// Offsets in a leaf.
const (
	leafVersion  = 8  // 4 bytes
	leafNumber   = 12 // 4
	leafManager  = 16 // 16
	leafSequence = 32 // 8
	leafEntries  = 64 // perLeaf of entrySize
)

// Offsets in an entry of a leaf.
const (
	entryID       = 0  // 16 bytes
	entrySequence = 16 // 8; its highest bits say which slot, and whether deleted
	entryHash     = 24 // 24: the first bytes of SHA-256 over the item's sector
	entryHashSize = 24
	slotBit       = 1 << 63
	deletedBit    = 1 << 62
)
