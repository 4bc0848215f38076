package ledger

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"stubtpm/drivers/block"
)

// Sizes and places, in bytes from the beginning of the ledger's area. Numbers
// are big-endian. docs/ledger-format.md has the same as tables.
const (
	version     = 2 // of roots
	version1    = 1 // of roots of before; they are read, and never written
	partVersion = 1 // of leaves and items

	rootSize  = 4096
	leafSize  = 8192
	itemSize  = block.SectorSize
	entrySize = 48
	perLeaf   = 168 // items of a leaf
	maxLeaves = 123 // leaves of a root

	// A root slot has two copies, so that no one place holds all of it.
	copyDistance = 32 << 10
	leavesAt     = 40 << 10

	// A group is a leaf's two slots and its items' two slots.
	groupSize = 2*leafSize + perLeaf*2*itemSize

	// MaxItems is how many items there can be.
	MaxItems = maxLeaves * perLeaf

	// MinArea is the size of the smallest area, which has room for 16 items.
	MinArea = 72 << 10
)

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

// Offsets in an item's sector; what is sealed follows its nonce.
const (
	itemVersion = 8  // 4 bytes
	itemNonce   = 16 // 24
	itemSealed  = 40
	itemPlain   = itemSize - itemSealed - chacha20poly1305.Overhead
)

// Offsets in what is sealed.
const (
	plainID       = 0  // 16 bytes
	plainSequence = 16 // 8
	plainKind     = 24 // 2
	plainLength   = 26 // 2
	plainBody     = 28

	// MaxBody is the size of the largest body.
	MaxBody = itemPlain - plainBody
)

// Kinds of item.
const (
	kindBody      = 1
	kindTombstone = 2
)

const (
	rootMagic = "stubLRT\x00"
	leafMagic = "stubLLF\x00"
	itemMagic = "stubLIT\x00"
)

// keys are derived from the ledger's key.
type keys struct {
	mac  []byte
	item cipher.AEAD
}

func newKeys(key []byte) (*keys, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("ledger: key of %d bytes, need %d", len(key), KeySize)
	}
	k := &keys{}
	var err error
	if k.mac, err = hkdf.Expand(sha256.New, key, "stubtpm ledger root", 32); err != nil {
		return nil, err
	}
	b, err := hkdf.Expand(sha256.New, key, "stubtpm ledger item", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	k.item, err = chacha20poly1305.NewX(b)
	return k, err
}

// An entry says which version of an item is the one.
type entry struct {
	id       ID
	sequence uint64 // zero: never used
	slot     int
	deleted  bool // its sector has a tombstone
	hash     [entryHashSize]byte
}

// encodeLeaf writes a leaf. Its own sequence is that of its newest item.
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

// parseLeaf reads a leaf whose hash is known to be right already; it accepts
// only what encodeLeaf writes.
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

// An item is one version of what is kept under an ID; a tombstone has no body.
type item struct {
	id       ID
	sequence uint64
	body     []byte // nil for a tombstone
}

// associated is what an item's seal binds it to, besides its header: manager,
// place, slot.
func associated(header []byte, manager ID, index, slot int) []byte {
	b := append([]byte(nil), header[:itemNonce]...)
	b = append(b, manager[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(index))
	return append(b, byte(slot))
}

// seal writes an item's sector.
func (k *keys) seal(it *item, manager ID, index, slot int) []byte {
	b := make([]byte, itemSealed, itemSize)
	copy(b, itemMagic)
	binary.BigEndian.PutUint32(b[itemVersion:], partVersion)
	nonce := b[itemNonce:itemSealed]
	rand.Read(nonce)
	p := make([]byte, itemPlain)
	copy(p, it.id[:])
	binary.BigEndian.PutUint64(p[plainSequence:], it.sequence)
	kind := uint16(kindBody)
	if it.body == nil {
		kind = kindTombstone
	}
	binary.BigEndian.PutUint16(p[plainKind:], kind)
	binary.BigEndian.PutUint16(p[plainLength:], uint16(len(it.body)))
	copy(p[plainBody:], it.body)
	return k.item.Seal(b, nonce, p, associated(b, manager, index, slot))
}

var errItem = errors.New("torn, forged, or of another place")

// open reads an item's sector.
func (k *keys) open(b []byte, manager ID, index, slot int) (*item, error) {
	if len(b) != itemSize || string(b[:8]) != itemMagic {
		return nil, errItem
	}
	if v := binary.BigEndian.Uint32(b[itemVersion:]); v != partVersion {
		return nil, fmt.Errorf("version %d, known is %d", v, partVersion)
	}
	p, err := k.item.Open(nil, b[itemNonce:itemSealed], b[itemSealed:], associated(b, manager, index, slot))
	if err != nil {
		return nil, errItem
	}
	it := &item{id: ID(p), sequence: binary.BigEndian.Uint64(p[plainSequence:])}
	n := int(binary.BigEndian.Uint16(p[plainLength:]))
	switch kind := binary.BigEndian.Uint16(p[plainKind:]); {
	case kind == kindBody && n <= MaxBody:
		it.body = p[plainBody : plainBody+n : plainBody+n]
	case kind == kindTombstone && n == 0:
	default:
		return nil, fmt.Errorf("kind %d with %d bytes", kind, n)
	}
	return it, nil
}

// itemHash is what an entry says of its item's sector.
func itemHash(sector []byte) (h [entryHashSize]byte) {
	sum := sha256.Sum256(sector)
	copy(h[:], sum[:])
	return h
}

func blank(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// rootAt, leafAt and itemAt are places in the area.
func rootAt(slot, copy int) int64 { return int64(slot)*rootSize + int64(copy)*copyDistance }

func leafAt(number, slot int) int64 {
	return leavesAt + int64(number)*groupSize + int64(slot)*leafSize
}

func itemAt(index, slot int) int64 {
	group, i := index/perLeaf, index%perLeaf
	return leavesAt + int64(group)*groupSize + 2*leafSize + int64(2*i+slot)*itemSize
}

// capacity is how many items an area of a size has room for. Its last group
// may be cut short.
func capacity(size int64) int {
	size -= leavesAt
	if size < 0 {
		return 0
	}
	n := size / groupSize * perLeaf
	if rest := size%groupSize - 2*leafSize; rest > 0 {
		n += min(rest/(2*itemSize), perLeaf)
	}
	return int(min(n, MaxItems))
}
