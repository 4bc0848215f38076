// Package slot keeps a small state on a disk that nobody trusts: sealed, in
// two slots of which the one in use is never written, so that a loss of power
// at any moment leaves a whole one.
//
// docs/image-format.md has the format. The package has no build tag and runs
// anywhere.
package slot

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"stubtpm/drivers/block"
)

// KeySize is the size in bytes of the key that seals a state
// (XChaCha20-Poly1305: its nonce is long enough to be random, so that no
// counter has to be kept anywhere for it).
const KeySize = chacha20poly1305.KeySize

// MaxState is the size in bytes of the largest state.
const MaxState = 1 << 20

// MinDisk is the size in bytes of the smallest disk: two slots of 64 KiB.
const MinDisk = 2 * 64 << 10

// Layout of a slot: one sector of header, then the sealed state. Numbers are
// big-endian. The slots are the halves of the disk.
const (
	offMagic    = 0  // 8 bytes
	offVersion  = 8  // 4
	offLength   = 12 // 4: sealed state, with the 16 bytes of its tag
	offUUID     = 16 // 16
	offSequence = 32 // 8
	offPurpose  = 40 // 4
	offNonce    = 48 // 24
	headerSize  = block.SectorSize

	magic   = "stubTPM\x00"
	version = 1
)

// A Purpose keeps images of different programs apart.
type Purpose uint32

// Purposes.
const (
	VTPM    Purpose = 1
	Manager Purpose = 2
)

// An ID says whose image it is.
type ID struct {
	UUID    [16]byte
	Purpose Purpose
}

// A Version is one saved state: its number, and the SHA-256 hash over all that
// was written for it.
type Version struct {
	Sequence uint64
	Hash     [sha256.Size]byte
}

// Why no state can be loaded. Exactly one is wrapped by an error of Load that
// is not one of the disk.
var (
	ErrBlank   = errors.New("slot: disk is blank")
	ErrFormat  = errors.New("slot: not an image of this program")
	ErrVersion = errors.New("slot: image is of an unknown version")
	ErrForeign = errors.New("slot: image belongs to another TPM")
	ErrCorrupt = errors.New("slot: image is torn or forged")
	ErrStale   = errors.New("slot: image is not the one last acknowledged")

	// ErrInUse is an error of Claim: the disk holds something already.
	ErrInUse = errors.New("slot: disk is in use")
)

// A Store is a disk with two slots. It is not safe for concurrent use.
type Store struct {
	dev  block.Device
	id   ID
	size int64 // of a slot

	current int // slot with the last confirmed state; -1 if none is known
	written int // slot of the last Save
}

// Open returns the store on a disk. It reads nothing yet.
func Open(dev block.Device, id ID) (*Store, error) {
	if dev.Size() < MinDisk {
		return nil, fmt.Errorf("slot: disk of %d bytes, need at least %d", dev.Size(), MinDisk)
	}
	size := dev.Size() / 2 &^ (4096 - 1)
	return &Store{dev: dev, id: id, size: min(size, headerSize+MaxState+block.SectorSize), current: -1}, nil
}

// offset is where a slot begins: the second one in the middle of the disk.
func (s *Store) offset(slot int) int64 { return int64(slot) * (s.dev.Size() / 2 &^ (4096 - 1)) }

// read opens one slot.
func (s *Store) read(slot int, key []byte) (state []byte, v Version, err error) {
	h := make([]byte, headerSize)
	if _, err := s.dev.ReadAt(h, s.offset(slot)); err != nil {
		return nil, v, err
	}
	if err := s.ours(h); err != nil {
		return nil, v, err
	}
	v.Sequence = binary.BigEndian.Uint64(h[offSequence:])
	n := int64(binary.BigEndian.Uint32(h[offLength:]))
	if n < chacha20poly1305.Overhead || n > s.size-headerSize {
		return nil, v, ErrCorrupt
	}
	body := make([]byte, sectors(n))
	if _, err := s.dev.ReadAt(body, s.offset(slot)+headerSize); err != nil {
		return nil, v, err
	}
	sum := sha256.New()
	sum.Write(h)
	sum.Write(body[:n])
	sum.Sum(v.Hash[:0])
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, v, fmt.Errorf("slot: %w", err)
	}
	state, err = aead.Open(nil, h[offNonce:offNonce+chacha20poly1305.NonceSizeX], body[:n], h)
	if err != nil {
		return nil, v, ErrCorrupt
	}
	return state, v, nil
}

// ours returns nil if a header is of an image of this store's ID: ErrBlank,
// ErrFormat, ErrVersion or ErrForeign if it is not.
func (s *Store) ours(h []byte) error {
	blank := true
	for _, b := range h {
		blank = blank && b == 0
	}
	switch n := binary.BigEndian.Uint32(h[offVersion:]); {
	case blank:
		return ErrBlank
	case string(h[offMagic:offMagic+8]) != magic:
		return ErrFormat
	case n != version:
		return fmt.Errorf("%w: %d, known is %d", ErrVersion, n, version)
	case Purpose(binary.BigEndian.Uint32(h[offPurpose:])) != s.id.Purpose || [16]byte(h[offUUID:]) != s.id.UUID:
		return ErrForeign
	}
	return nil
}

// header returns the header of a sealed state of n bytes, its nonce zeros.
func (s *Store) header(sequence uint64, n int64) []byte {
	h := make([]byte, headerSize)
	copy(h[offMagic:], magic)
	binary.BigEndian.PutUint32(h[offVersion:], version)
	binary.BigEndian.PutUint32(h[offLength:], uint32(n))
	copy(h[offUUID:], s.id.UUID[:])
	binary.BigEndian.PutUint64(h[offSequence:], sequence)
	binary.BigEndian.PutUint32(h[offPurpose:], uint32(s.id.Purpose))
	return h
}

// writeHeader writes the header of a slot and makes it durable.
func (s *Store) writeHeader(slot int, h []byte) error {
	if _, err := s.dev.WriteAt(h, s.offset(slot)); err != nil {
		return fmt.Errorf("slot: %w", err)
	}
	if err := s.dev.Flush(); err != nil {
		return fmt.Errorf("slot: %w", err)
	}
	return nil
}

// sectors rounds up to whole sectors.
func sectors(n int64) int64 { return (n + block.SectorSize - 1) &^ (block.SectorSize - 1) }

// Load returns the state of which want says that it was acknowledged last;
// with a nil want, the newest that the key opens. Errors say the most that is
// known of why there is none.
func (s *Store) Load(key []byte, want *Version) ([]byte, Version, error) {
	var best []byte
	var bestVersion Version
	found := -1
	var why error = ErrBlank
	stale := func(v Version) error {
		return fmt.Errorf("%w: found number %d, acknowledged was %d", ErrStale, v.Sequence, want.Sequence)
	}
	torn := false // the state that was acknowledged, by its number
	for slot := range 2 {
		state, v, err := s.read(slot, key)
		switch {
		case errors.Is(err, ErrCorrupt) && want != nil && v.Sequence != want.Sequence:
			// Each state may have a key of its own, so another image does not open. Its
			// number is not authentic then, and serves to say what seems to be wrong.
			why = worse(why, stale(v))
		case err != nil:
			torn = torn || errors.Is(err, ErrCorrupt)
			why = worse(why, err)
		case want != nil && v != *want:
			why = worse(why, stale(v))
		case found < 0 || v.Sequence > bestVersion.Sequence:
			best, bestVersion, found = state, v, slot
		}
	}
	if found < 0 && torn {
		return nil, Version{}, ErrCorrupt // beside it is always an older one
	}
	if found < 0 {
		return nil, Version{}, why
	}
	s.current = found
	return best, bestVersion, nil
}

// worse returns the error that tells more: a stale image more than a torn one,
// anything more than a blank slot.
func worse(a, b error) error {
	rank := func(err error) int {
		for i, e := range []error{ErrBlank, ErrFormat, ErrVersion, ErrForeign, ErrCorrupt, ErrStale} {
			if errors.Is(err, e) {
				return i
			}
		}
		return 100 // the disk itself
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// Save seals a state into the slot that is not in use and makes it durable.
// Until Confirm it may be written again.
func (s *Store) Save(key []byte, sequence uint64, state []byte) (Version, error) {
	v := Version{Sequence: sequence}
	n := int64(len(state)) + chacha20poly1305.Overhead
	if len(state) > MaxState || n > s.size-headerSize {
		return v, fmt.Errorf("slot: state of %d bytes does not fit", len(state))
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return v, fmt.Errorf("slot: %w", err)
	}
	slot := 0
	if s.current == 0 {
		slot = 1
	}
	h := s.header(sequence, n)
	nonce := h[offNonce : offNonce+chacha20poly1305.NonceSizeX]
	rand.Read(nonce)
	body := aead.Seal(make([]byte, 0, sectors(n)), nonce, state, h)
	sum := sha256.New()
	sum.Write(h)
	sum.Write(body)
	sum.Sum(v.Hash[:0])

	// The body first: with the old header still there it is no image at all,
	// and the header, one sector, makes it one at once.
	if _, err := s.dev.WriteAt(body[:sectors(n)], s.offset(slot)+headerSize); err != nil {
		return v, fmt.Errorf("slot: %w", err)
	}
	if err := s.dev.Flush(); err != nil {
		return v, fmt.Errorf("slot: %w", err)
	}
	if err := s.writeHeader(slot, h); err != nil {
		return v, err
	}
	s.written = slot
	return v, nil
}

// Confirm says that the last Save is the state from now on: the next one goes
// into the other slot.
func (s *Store) Confirm() { s.current = s.written }
