package statedisk

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Save seals a state of at most MaxState bytes into the slot that is not in use
// and makes it durable. Until Confirm, the next Save overwrites it.
func (d *Disk) Save(key []byte, sequence uint64, state []byte) (Version, error) {
	v := Version{Sequence: sequence}
	n := int64(len(state)) + chacha20poly1305.Overhead
	if len(state) > MaxState || n > d.size-headerSize {
		return v, fmt.Errorf("state disk: state of %d bytes does not fit", len(state))
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return v, fmt.Errorf("state disk: %w", err)
	}
	slot := 0
	if d.current == 0 {
		slot = 1
	}
	h := d.header(sequence, n)
	nonce := h[offNonce : offNonce+chacha20poly1305.NonceSizeX]
	rand.Read(nonce)
	body := aead.Seal(make([]byte, 0, sectors(n)), nonce, state, h)
	sum := sha256.New()
	sum.Write(h)
	sum.Write(body)
	sum.Sum(v.Hash[:0])

	// The body first: under the old header it does not authenticate. The
	// header is one sector, and so is written whole or not at all.
	if _, err := d.dev.WriteAt(body[:sectors(n)], d.offset(slot)+headerSize); err != nil {
		return v, fmt.Errorf("state disk: %w", err)
	}
	if err := d.dev.Flush(); err != nil {
		return v, fmt.Errorf("state disk: %w", err)
	}
	if err := d.writeHeader(slot, h); err != nil {
		return v, err
	}
	d.written = slot
	return v, nil
}

// Confirm makes the state of the last Save the current one: the next Save writes
// the other slot.
func (d *Disk) Confirm() { d.current = d.written }
