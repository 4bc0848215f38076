package hwtpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	recordMagic   = "stubMGR\x00"
	recordVersion = 5 // 4: no generation; 3: one seal, one approval
	recordSize    = 8 << 10
)

// A Record is what the disk keeps of the root key. Nothing in it is secret, and
// what is forged in it does not unseal.
type Record struct {
	id       [16]byte
	operator []byte // public key of the approver of other PCRs; empty without one
	srkName  []byte
	ekName   []byte

	// seals are the root key, sealed to the PCRs of the system that ran last and of
	// those that ran before it, the latest first. There is at least one.
	seals []seal

	object    blob // that authorizes writes to the indices
	indices   [2]uint32
	approvals []Approval // of PCRs that no seal is for yet, oldest first

	// generation is how often new indices took the place of others. The names of the
	// indices contain it.
	generation uint32

	// older has a bit for each place at which a pair of an earlier generation may be: one
	// that was not looked at since the move, or that was not seen to be gone.
	older uint64
}

// A seal is the root key as it is sealed to some PCRs. With an operator it opens to
// the PCRs that he approves, too.
type seal struct {
	pcrs   []uint
	pcr    [32]byte // digest of TPM2_PolicyPCR
	object blob
}

// How many of each a record has room for.
const (
	maxSeals     = 3
	maxApprovals = 4
)

// sealing is the policy of a seal.
func (r *Record) sealing(s *seal) *sealing {
	return &sealing{pcrs: s.pcrs, pcr: s.pcr, operator: r.operator}
}

// ID is that of the manager.
func (r *Record) ID() [16]byte { return r.id }

// Indices are the NV indices: the extend index and the counter.
func (r *Record) Indices() [2]uint32 { return r.indices }

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

// Encode writes the record: magic 8, version 2, id 16, indices 4 each; fields with
// a length of 2 before each: operator's key, name of storage key and of endorsement
// key, public and private area of the authorizing object; number of seals 1, for each
// its PCR mask 4, policy digest 32, and as fields the public and private area; number
// of approvals 1, for each its PCR mask 4, policy digest 32, signature 64; generation 4,
// older pairs 8; zeros; in the last 32 bytes the SHA-256 hash of all before.
func (r *Record) Encode() ([]byte, error) {
	b := binary.BigEndian.AppendUint16([]byte(recordMagic), recordVersion)
	b = append(b, r.id[:]...)
	for _, h := range r.indices {
		b = binary.BigEndian.AppendUint32(b, h)
	}
	b = appendFields(b, r.operator, r.srkName, r.ekName, r.object.public, r.object.private)
	b = append(b, byte(len(r.seals)))
	for _, s := range r.seals {
		b = binary.BigEndian.AppendUint32(b, mask(s.pcrs))
		b = append(b, s.pcr[:]...)
		b = appendFields(b, s.object.public, s.object.private)
	}
	b = append(b, byte(len(r.approvals)))
	for _, a := range r.approvals {
		b = binary.BigEndian.AppendUint32(b, mask(a.PCRs))
		b = append(append(b, a.Policy[:]...), a.Signature[:]...)
	}
	b = binary.BigEndian.AppendUint32(b, r.generation)
	b = binary.BigEndian.AppendUint64(b, r.older)
	if len(b) > recordSize-sha256.Size {
		return nil, fmt.Errorf("%w: %d bytes do not fit", ErrRecord, len(b))
	}
	b = append(b, make([]byte, recordSize-sha256.Size-len(b))...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

func appendFields(b []byte, fields ...[]byte) []byte {
	for _, f := range fields {
		b = binary.BigEndian.AppendUint16(b, uint16(len(f)))
		b = append(b, f...)
	}
	return b
}

// DecodeRecord reads a record, of this version or the two before.
func DecodeRecord(b []byte) (*Record, error) {
	if len(b) != recordSize {
		return nil, ErrRecord
	}
	if isZero(b) {
		return nil, ErrUninitialized
	}
	if string(b[:8]) != recordMagic {
		return nil, ErrRecord
	}
	version := binary.BigEndian.Uint16(b[8:])
	if version < 3 || version > recordVersion {
		return nil, fmt.Errorf("%w: version %d, known is %d", ErrRecord, version, recordVersion)
	}
	if sum := sha256.Sum256(b[:recordSize-sha256.Size]); !bytes.Equal(sum[:], b[recordSize-sha256.Size:]) {
		return nil, fmt.Errorf("%w: checksum", ErrRecord)
	}
	r := &Record{id: [16]byte(b[10:])}
	r.indices = [2]uint32{binary.BigEndian.Uint32(b[26:]), binary.BigEndian.Uint32(b[30:])}
	in := &recordReader{b: b[34 : recordSize-sha256.Size]}
	if version == 3 {
		r.decode3(in)
	} else {
		r.decode(in)
	}
	if version == recordVersion {
		r.generation, r.older = binary.BigEndian.Uint32(in.take(4)), binary.BigEndian.Uint64(in.take(8))
	}
	if in.bad || !isZero(in.b) || len(r.seals) == 0 || r.generation > maxGeneration {
		return nil, ErrRecord
	}
	if len(r.operator) != 0 {
		if _, err := parseOperator(r.operator); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Record) decode(in *recordReader) {
	for _, f := range []*[]byte{&r.operator, &r.srkName, &r.ekName, &r.object.public, &r.object.private} {
		*f = in.field()
	}
	for range in.count(maxSeals) {
		r.seals = append(r.seals, seal{in.mask(), in.digest(), blob{in.field(), in.field()}})
	}
	for range in.count(maxApprovals) {
		r.approvals = append(r.approvals, in.approval())
	}
}

// decode3 reads version 3: PCR mask and policy digest of the one seal come first,
// the approval, which may be empty, is the last field.
func (r *Record) decode3(in *recordReader) {
	s := seal{pcrs: in.mask(), pcr: in.digest()}
	for _, f := range []*[]byte{&r.operator, &r.srkName, &r.ekName, &s.object.public, &s.object.private, &r.object.public, &r.object.private} {
		*f = in.field()
	}
	r.seals = []seal{s}
	if a := in.field(); len(a) != 0 {
		one := &recordReader{b: a}
		r.approvals = []Approval{one.approval()}
		in.bad = in.bad || one.bad || len(one.b) != 0
	}
}

// A recordReader reads the parts of a record. Once something is bad all that it
// returns is zero.
type recordReader struct {
	b   []byte
	bad bool
}

func (in *recordReader) take(n int) []byte {
	if in.bad = in.bad || n > len(in.b); in.bad {
		return make([]byte, n)
	}
	b := in.b[:n]
	in.b = in.b[n:]
	return b
}

func (in *recordReader) field() []byte {
	return bytes.Clone(in.take(int(binary.BigEndian.Uint16(in.take(2)))))
}

func (in *recordReader) digest() [32]byte { return [32]byte(in.take(32)) }

// count reads a number of things; more than most are refused.
func (in *recordReader) count(most byte) byte {
	n := in.take(1)[0]
	if in.bad = in.bad || n > most; in.bad {
		return 0
	}
	return n
}

func (in *recordReader) mask() []uint {
	pcrs, err := unmask(binary.BigEndian.Uint32(in.take(4)))
	in.bad = in.bad || err != nil
	return pcrs
}

func (in *recordReader) approval() Approval {
	return Approval{in.mask(), in.digest(), [64]byte(in.take(64))}
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
