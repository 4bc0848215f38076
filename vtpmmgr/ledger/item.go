package ledger

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// An item is one version of an item; a tombstone has no body.
type item struct {
	id       ID
	sequence uint64
	body     []byte // nil for a tombstone
}

// associatedData binds an item's seal to its header, manager, index and slot.
func associatedData(header []byte, manager ID, index, slot int) []byte {
	b := append([]byte(nil), header[:itemNonce]...)
	b = append(b, manager[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(index))
	return append(b, byte(slot))
}

// seal returns an item's sector.
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
	return k.item.Seal(b, nonce, p, associatedData(b, manager, index, slot))
}

var errItem = errors.New("does not authenticate (torn write, tampering or moved)")

// open decrypts an item's sector.
func (k *keys) open(b []byte, manager ID, index, slot int) (*item, error) {
	if len(b) != itemSize || string(b[:8]) != itemMagic {
		return nil, errItem
	}
	if v := binary.BigEndian.Uint32(b[itemVersion:]); v != partVersion {
		return nil, fmt.Errorf("unsupported version %d, want %d", v, partVersion)
	}
	p, err := k.item.Open(nil, b[itemNonce:itemSealed], b[itemSealed:], associatedData(b, manager, index, slot))
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
		return nil, fmt.Errorf("malformed: kind %d with %d bytes", kind, n)
	}
	return it, nil
}

// itemHash returns the hash of an item's sector that its entry has.
func itemHash(sector []byte) (h [entryHashSize]byte) {
	sum := sha256.Sum256(sector)
	copy(h[:], sum[:])
	return h
}

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
