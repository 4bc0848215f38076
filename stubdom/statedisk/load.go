package statedisk

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Load returns the state whose version is want, which must be the last one that
// was acknowledged; with a nil want, the newest state that the key opens. If
// neither slot has one, the error is the most informative one of the two slots.
func (d *Disk) Load(key []byte, want *Version) ([]byte, Version, error) {
	var best []byte
	var bestVersion Version
	found := -1
	var why error = ErrBlank
	stale := func(v Version) error {
		return fmt.Errorf("%w: found number %d, acknowledged was %d", ErrStale, v.Sequence, want.Sequence)
	}
	torn := false // the acknowledged state, by its number
	for slot := range 2 {
		state, v, err := d.read(slot, key)
		switch {
		case errors.Is(err, ErrCorrupt) && want != nil && v.Sequence != want.Sequence:
			// Each state may have a key of its own, so a state other than the
			// wanted one does not open. Its number, which is not authentic
			// then, still shows the likely cause.
			why = moreInformative(why, stale(v))
		case err != nil:
			torn = torn || errors.Is(err, ErrCorrupt)
			why = moreInformative(why, err)
		case want != nil && v != *want:
			why = moreInformative(why, stale(v))
		case found < 0 || v.Sequence > bestVersion.Sequence:
			best, bestVersion, found = state, v, slot
		}
	}
	if found < 0 && torn {
		return nil, Version{}, ErrCorrupt // the other slot always has an older one
	}
	if found < 0 {
		return nil, Version{}, why
	}
	d.current = found
	return best, bestVersion, nil
}

// read opens the state of one slot. With ErrCorrupt, the version is the one that
// the header claims.
func (d *Disk) read(slot int, key []byte) (state []byte, v Version, err error) {
	h := make([]byte, headerSize)
	if _, err := d.dev.ReadAt(h, d.offset(slot)); err != nil {
		return nil, v, err
	}
	if err := d.checkHeader(h); err != nil {
		return nil, v, err
	}
	v.Sequence = binary.BigEndian.Uint64(h[offSequence:])
	n := int64(binary.BigEndian.Uint32(h[offLength:]))
	if n < chacha20poly1305.Overhead || n > d.size-headerSize {
		return nil, v, ErrCorrupt
	}
	body := make([]byte, sectors(n))
	if _, err := d.dev.ReadAt(body, d.offset(slot)+headerSize); err != nil {
		return nil, v, err
	}
	sum := sha256.New()
	sum.Write(h)
	sum.Write(body[:n])
	sum.Sum(v.Hash[:0])
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, v, fmt.Errorf("state disk: %w", err)
	}
	state, err = aead.Open(nil, h[offNonce:offNonce+chacha20poly1305.NonceSizeX], body[:n], h)
	if err != nil {
		return nil, v, ErrCorrupt
	}
	return state, v, nil
}

// moreInformative returns the error that says more about the disk: a stale state
// more than a torn one, anything more than a blank slot.
func moreInformative(a, b error) error {
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
