package statedisk

import (
	"encoding/binary"
	"fmt"

	"stubtpm/drivers/block"
)

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

	magic       = "stubTPM\x00"
	version     = 1
	purposeVTPM = 1
)

// header returns the header of a sealed state of n bytes, its nonce zeros.
func (d *Disk) header(sequence uint64, n int64) []byte {
	h := make([]byte, headerSize)
	copy(h[offMagic:], magic)
	binary.BigEndian.PutUint32(h[offVersion:], version)
	binary.BigEndian.PutUint32(h[offLength:], uint32(n))
	copy(h[offUUID:], d.uuid[:])
	binary.BigEndian.PutUint64(h[offSequence:], sequence)
	binary.BigEndian.PutUint32(h[offPurpose:], purposeVTPM)
	return h
}

// checkHeader returns nil if a header is one of this vTPM, and otherwise
// ErrBlank, ErrFormat, ErrVersion or ErrForeign.
func (d *Disk) checkHeader(h []byte) error {
	switch n := binary.BigEndian.Uint32(h[offVersion:]); {
	case isZero(h):
		return ErrBlank
	case string(h[offMagic:offMagic+8]) != magic:
		return ErrFormat
	case n != version:
		return fmt.Errorf("%w: %d, want %d", ErrVersion, n, version)
	case binary.BigEndian.Uint32(h[offPurpose:]) != purposeVTPM || [16]byte(h[offUUID:]) != d.uuid:
		return ErrForeign
	}
	return nil
}

// writeHeader writes the header of a slot and makes it durable.
func (d *Disk) writeHeader(slot int, h []byte) error {
	if _, err := d.dev.WriteAt(h, d.offset(slot)); err != nil {
		return fmt.Errorf("state disk: %w", err)
	}
	if err := d.dev.Flush(); err != nil {
		return fmt.Errorf("state disk: %w", err)
	}
	return nil
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
