package ledger

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"stubtpm/drivers/block"
)

// Sizes and offsets in the ledger's area, in bytes. Numbers are big-endian.
// docs/ledger-format.md has the same as tables.
const (
	version     = 2 // of roots
	version1    = 1 // of old roots, which are read but never written
	partVersion = 1 // of leaves and items

	rootSize  = 4096
	leafSize  = 8192
	itemSize  = block.SectorSize
	entrySize = 48
	perLeaf   = 168 // items of a leaf
	maxLeaves = 123 // leaves of a root

	// Each root slot has two copies, far apart.
	copyDistance = 32 << 10
	leavesAt     = 40 << 10

	// A group is a leaf's two slots and its items' two slots.
	groupSize = 2*leafSize + perLeaf*2*itemSize

	// MaxItems is the largest number of items.
	MaxItems = maxLeaves * perLeaf

	// MinArea is the size of the smallest area, which has room for 16 items.
	MinArea = 72 << 10
)

const (
	rootMagic = "stubLRT\x00"
	leafMagic = "stubLLF\x00"
	itemMagic = "stubLIT\x00"
)

// keys are the keys derived from the ledger's key: of roots' HMACs and of items.
type keys struct {
	mac  []byte
	item cipher.AEAD
}

// newKeys derives the keys from the ledger's key, of KeySize bytes.
func newKeys(key []byte) (*keys, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("ledger: key has %d bytes, want %d", len(key), KeySize)
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

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// rootAt, leafAt and itemAt return offsets in the area.
func rootAt(slot, copy int) int64 { return int64(slot)*rootSize + int64(copy)*copyDistance }

func leafAt(number, slot int) int64 {
	return leavesAt + int64(number)*groupSize + int64(slot)*leafSize
}

func itemAt(index, slot int) int64 {
	group, i := index/perLeaf, index%perLeaf
	return leavesAt + int64(group)*groupSize + 2*leafSize + int64(2*i+slot)*itemSize
}

// capacity returns how many items fit into an area of size bytes. Its last group may be
// truncated.
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
