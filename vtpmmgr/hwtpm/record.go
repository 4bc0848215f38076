package hwtpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"stubtpm/drivers/block"
)

// Area is how many bytes at the start of the manager's disk belong to the root
// record.
const Area = 64 << 10

// The record is there twice, so that no one place holds all of it.
const (
	recordMagic   = "stubMGR\x00"
	recordVersion = 3
	recordSize    = 8 << 10
	secondCopy    = 32 << 10

	// While a disk's first record is written a sector between the copies says
	// so: one that is cut off leaves nothing that anybody would miss.
	markAt = 16 << 10
	mark   = "stubtpm: the first root record is being written\x00"
)

// What is wrong with a disk.
var (
	ErrUninitialised = errors.New("hwtpm: disk has no root record: initialise it by an explicit order")
	ErrInitialised   = errors.New("hwtpm: disk has a root record already: will not initialise it again")
	ErrNotBlank      = errors.New("hwtpm: disk is not blank: will not initialise it")
	ErrRecord        = errors.New("hwtpm: root record is malformed")
)

// A Record is what the disk keeps of the root key. Nothing in it is secret, and
// what is forged in it does not unseal.
type Record struct {
	id       [16]byte
	policy   sealing
	srkName  []byte
	ekName   []byte
	sealed   blob // root key
	object   blob // that authorizes writes to the indices
	indices  [2]uint32
	approval *Approval // nil for none
}

// ID is that of the manager.
func (r *Record) ID() [16]byte { return r.id }

func mask(pcrs []uint) (m uint32) {
	for _, n := range pcrs {
		m |= 1 << n
	}
	return m
}

func unmask(m uint32) (pcrs []uint, err error) {
	if m>>MaxPCR != 0 {
		return nil, ErrRecord
	}
	for n := range uint(MaxPCR) {
		if m&(1<<n) != 0 {
			pcrs = append(pcrs, n)
		}
	}
	return pcrs, nil
}

// Encode writes the record: magic 8, version 2, id 16, indices 4 each, PCR mask
// 4, policy digest 32, then fields with a length of 2 before each: operator's
// key, name of storage key and of endorsement key, public and private area of the
// sealed root key and of the authorizing object, approval (PCR mask 4, policy
// digest 32, signature 64; or empty); zeros; in the last 32 bytes the SHA-256
// hash of all before.
func (r *Record) Encode() ([]byte, error) {
	b := binary.BigEndian.AppendUint16([]byte(recordMagic), recordVersion)
	b = append(b, r.id[:]...)
	for _, h := range r.indices {
		b = binary.BigEndian.AppendUint32(b, h)
	}
	b = binary.BigEndian.AppendUint32(b, mask(r.policy.pcrs))
	b = append(b, r.policy.pcr[:]...)
	var approval []byte
	if a := r.approval; a != nil {
		approval = binary.BigEndian.AppendUint32(nil, mask(a.PCRs))
		approval = append(append(approval, a.Policy[:]...), a.Signature[:]...)
	}
	for _, f := range [][]byte{r.policy.operator, r.srkName, r.ekName, r.sealed.public, r.sealed.private,
		r.object.public, r.object.private, approval} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(f)))
		b = append(b, f...)
	}
	if len(b) > recordSize-sha256.Size {
		return nil, fmt.Errorf("%w: %d bytes do not fit", ErrRecord, len(b))
	}
	b = append(b, make([]byte, recordSize-sha256.Size-len(b))...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

// DecodeRecord reads a record.
func DecodeRecord(b []byte) (*Record, error) {
	if len(b) != recordSize {
		return nil, ErrRecord
	}
	if isZero(b) {
		return nil, ErrUninitialised
	}
	if string(b[:8]) != recordMagic {
		return nil, ErrRecord
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != recordVersion {
		return nil, fmt.Errorf("%w: version %d, known is %d", ErrRecord, v, recordVersion)
	}
	if sum := sha256.Sum256(b[:recordSize-sha256.Size]); !bytes.Equal(sum[:], b[recordSize-sha256.Size:]) {
		return nil, fmt.Errorf("%w: checksum", ErrRecord)
	}
	r := &Record{id: [16]byte(b[10:])}
	r.indices = [2]uint32{binary.BigEndian.Uint32(b[26:]), binary.BigEndian.Uint32(b[30:])}
	var err error
	if r.policy.pcrs, err = unmask(binary.BigEndian.Uint32(b[34:])); err != nil {
		return nil, err
	}
	copy(r.policy.pcr[:], b[38:])
	b = b[70 : recordSize-sha256.Size]
	var approval []byte
	for _, f := range []*[]byte{&r.policy.operator, &r.srkName, &r.ekName, &r.sealed.public, &r.sealed.private,
		&r.object.public, &r.object.private, &approval} {
		if len(b) < 2 {
			return nil, ErrRecord
		}
		n := int(binary.BigEndian.Uint16(b))
		if n > len(b)-2 {
			return nil, ErrRecord
		}
		*f = bytes.Clone(b[2 : 2+n])
		b = b[2+n:]
	}
	if !isZero(b) {
		return nil, ErrRecord
	}
	if n := len(r.policy.operator); n != 0 {
		if _, err := parseOperator(r.policy.operator); err != nil {
			return nil, err
		}
	}
	switch len(approval) {
	case 0:
	case 100:
		a := &Approval{Policy: [32]byte(approval[4:]), Signature: [64]byte(approval[36:])}
		if a.PCRs, err = unmask(binary.BigEndian.Uint32(approval)); err != nil {
			return nil, err
		}
		r.approval = a
	default:
		return nil, ErrRecord
	}
	return r, nil
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// CheckBlank returns nil if nothing was ever written where the record goes:
// file systems, partition tables and images of vTPMs have something there.
func CheckBlank(d block.Device) error {
	b := make([]byte, Area)
	if _, err := d.ReadAt(b, 0); err != nil {
		return fmt.Errorf("hwtpm: %w", err)
	}
	if isZero(b) {
		return nil
	}
	if _, err := ReadRecord(d); err == nil {
		return ErrInitialised
	}
	if string(b[markAt:markAt+len(mark)]) == mark {
		return nil
	}
	return ErrNotBlank
}

// ReadRecord reads the first whole copy.
func ReadRecord(d block.Device) (*Record, error) {
	var errs [2]error
	for i, at := range []int64{0, secondCopy} {
		b := make([]byte, recordSize)
		if _, errs[i] = d.ReadAt(b, at); errs[i] != nil {
			continue
		}
		var r *Record
		if r, errs[i] = DecodeRecord(b); errs[i] == nil {
			return r, nil
		}
	}
	// A blank copy says less than one that is damaged.
	if errors.Is(errs[0], ErrUninitialised) {
		return nil, errs[1]
	}
	return nil, errs[0]
}

// WriteRecord writes both copies, one after the other: at each moment one is
// whole, once there was one.
func WriteRecord(d block.Device, r *Record) error {
	b, err := r.Encode()
	if err != nil {
		return err
	}
	if CheckBlank(d) != nil {
		return writeCopies(d, b)
	}
	sector := make([]byte, block.SectorSize)
	copy(sector, mark)
	if err := write(d, sector, markAt); err != nil {
		return err
	}
	if err := writeCopies(d, b); err != nil {
		return err
	}
	clear(sector)
	return write(d, sector, markAt)
}

func writeCopies(d block.Device, b []byte) error {
	if err := write(d, b, 0); err != nil {
		return err
	}
	return write(d, b, secondCopy)
}

func write(d block.Device, b []byte, at int64) error {
	if _, err := d.WriteAt(b, at); err != nil {
		return fmt.Errorf("hwtpm: %w", err)
	}
	if err := d.Flush(); err != nil {
		return fmt.Errorf("hwtpm: %w", err)
	}
	return nil
}
