package statedisk

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"stubtpm/drivers/block"
)

// KeySize is the size in bytes of the key that seals a state
// (XChaCha20-Poly1305: its nonce is long enough to be random, so no counter
// has to be kept).
const KeySize = chacha20poly1305.KeySize

// MaxState is the size in bytes of the largest state.
const MaxState = 1 << 20

// MinDisk is the size in bytes of the smallest disk: two slots of 64 KiB.
const MinDisk = 2 * 64 << 10

// A Version identifies one saved state: its sequence number, and the SHA-256
// hash of header and sealed state.
type Version struct {
	Sequence uint64
	Hash     [sha256.Size]byte
}

// The reasons why there is no state to load. An error of Load wraps exactly one
// of them, unless it is an error of the disk.
var (
	ErrBlank   = errors.New("state disk is blank")
	ErrFormat  = errors.New("not a state disk")
	ErrVersion = errors.New("state disk has an unsupported version")
	ErrForeign = errors.New("state disk belongs to another TPM")
	ErrCorrupt = errors.New("state does not authenticate: torn write, tampering or wrong key")
	ErrStale   = errors.New("state is not the last acknowledged one")
)

// ErrInUse is returned by Claim for a disk that is not empty.
var ErrInUse = errors.New("state disk is in use")

// A Disk is a vTPM's state disk. It is not safe for concurrent use.
type Disk struct {
	dev  block.Device
	uuid [16]byte
	size int64 // of a slot

	current int // slot of the last confirmed state; -1 if none is known
	written int // slot of the last Save
}

// Open returns the state disk of the vTPM with a UUID. It does not read the
// disk. It returns an error if the disk is smaller than MinDisk.
func Open(dev block.Device, uuid [16]byte) (*Disk, error) {
	if dev.Size() < MinDisk {
		return nil, fmt.Errorf("state disk has %d bytes, need at least %d", dev.Size(), MinDisk)
	}
	d := &Disk{dev: dev, uuid: uuid, current: -1}
	d.size = min(d.offset(1), headerSize+MaxState+block.SectorSize)
	return d, nil
}

// offset returns where a slot begins: slot 1 in the middle of the disk.
func (d *Disk) offset(slot int) int64 { return int64(slot) * (d.dev.Size() / 2 &^ (4096 - 1)) }

// sectors rounds n up to whole sectors.
func sectors(n int64) int64 { return (n + block.SectorSize - 1) &^ (block.SectorSize - 1) }
