package hwtpm

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/drivers/block"
)

// ErrNoRoom says that the hardware TPM's NV memory has no room for the indices.
var ErrNoRoom = errors.New("hwtpm: the hardware TPM has no room for another NV index or counter; undefine what nobody needs")

// Limits are what a chip says of its NV memory; zeros where it says nothing.
type Limits struct {
	Counters      uint32        // that there may be at once; zero for as many as memory has room for
	CountersUsed  uint32        // that there are
	CountersFree  uint32        // that can be defined still
	WriteRecovery time.Duration // between two writes
}

// Limits asks the TPM. The bus can change the answer, which decides the wording
// of an error only.
func (t *TPM) Limits() Limits {
	t.mu.lockLater()
	defer t.mu.Unlock()
	return t.limits()
}

func (t *TPM) limits() (l Limits) {
	var ms uint32
	for property, v := range map[tpm2.TPMPT]*uint32{tpm2.TPMPTNVCountersMax: &l.Counters, tpm2.TPMPTNVCounters: &l.CountersUsed,
		tpm2.TPMPTNVCountersAvail: &l.CountersFree, tpm2.TPMPTNVWriteRecovery: &ms} {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(property), PropertyCount: 1}.Execute(t.bus)
		if err != nil {
			continue
		}
		if p, err := r.CapabilityData.Data.TPMProperties(); err == nil && len(p.TPMProperty) == 1 && p.TPMProperty[0].Property == property {
			*v = p.TPMProperty[0].Value
		}
	}
	l.WriteRecovery = time.Duration(ms) * time.Millisecond
	return l
}

// noRoom explains why an index could not be defined.
func (t *TPM) noRoom(err error) error {
	if !errors.Is(err, tpm2.TPMRCNVSpace) {
		return fmt.Errorf("TPM2_NV_DefineSpace: %w", err)
	}
	l := t.limits()
	if l.Counters == 0 {
		return ErrNoRoom
	}
	return fmt.Errorf("%w (%d NV counters of %d are in use)", ErrNoRoom, l.CountersUsed, l.Counters)
}

// define defines one of the indices.
func (t *TPM) define(which int) error {
	p, err := t.secret.public(which, false)
	if err != nil {
		return err
	}
	if _, err := (tpm2.NVDefineSpace{AuthHandle: t.ownerAuth(), PublicInfo: tpm2.New2B(p)}).Execute(t.bus); err != nil {
		return t.noRoom(err)
	}
	return nil
}

// ours reports whether an index of ours is at its handle, and whether it was
// written. The bus can lie; whoever relies on it reads the index.
func (t *TPM) ours(s *secret, which int) (there, written bool) {
	p, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(s.indices[which])}.Execute(t.bus)
	if err != nil {
		return false, false
	}
	for _, written := range []bool{false, true} {
		if h, err := s.index(which, written); err == nil && bytes.Equal(h.Name.Buffer, p.NVName.Buffer) {
			return true, written
		}
	}
	return false, false
}

// undefine removes those of a pair of indices that are ours.
func (t *TPM) undefine(s *secret) error {
	var errs []error
	for which := range s.indices {
		there, written := t.ours(s, which)
		if !there {
			continue
		}
		h, err := s.index(which, written)
		if err == nil {
			_, err = tpm2.NVUndefineSpace{AuthHandle: t.ownerAuth(), NVIndex: h}.Execute(t.bus)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// free reports whether nobody has a handle.
func (t *TPM) free(handle uint32) bool {
	_, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(handle)}.Execute(t.bus)
	return errors.Is(err, tpm2.TPMRCHandle)
}

func pairAt(n uint32) [2]uint32 { return [2]uint32{firstIndex + 2*n, firstIndex + 2*n + 1} }

// Successor returns the counter of the pair of indices that is to take the place
// of a record's, which it makes at another place if there is none yet. A new counter
// begins above all that the TPM ever had (Part 1, 37.2.3), so that its value is of
// this moment whatever was undefined.
func (t *TPM) Successor(r *Record) (counter uint64, err error) {
	err = t.do("new indices", func() error {
		if t.secret == nil {
			return errLocked
		}
		t.dropAuth()
		old, first := r.indices, [2]uint32{}
		for n := range uint32(maxPairs) {
			pair := pairAt(n)
			if pair == old {
				continue
			}
			t.secret.indices = pair
			if there, _ := t.ours(t.secret, counterIndex); there {
				first = pair
				break
			}
			if first == [2]uint32{} && t.free(pair[0]) && t.free(pair[1]) {
				first = pair
			}
		}
		if t.secret.indices = first; first == [2]uint32{} {
			t.secret.indices = old
			return fmt.Errorf("no pair of NV indices is free from %#x on", firstIndex)
		}
		there, written := t.ours(t.secret, counterIndex)
		if !there {
			if err := t.define(counterIndex); err != nil {
				return err
			}
		}
		if !written {
			if err := t.prepare(); err != nil {
				return err
			}
			if err := t.write(counterIndex, false, [32]byte{}); err != nil {
				return err
			}
		}
		b, err := t.read(counterIndex, 8)
		if err == nil {
			counter = binary.BigEndian.Uint64(b)
		}
		return err
	})
	return counter, err
}

// Succeed makes the extend index beside the counter of Successor, which has to
// be called before, and returns the record that names both. Until it is on the disk
// the old ones count.
func (t *TPM) Succeed(r *Record) (*Record, error) {
	next := *r
	err := t.do("new indices", func() error {
		if t.secret == nil || t.secret.indices == r.indices {
			return errLocked
		}
		next.indices = t.secret.indices
		there, written := t.ours(t.secret, extendIndex)
		if !there {
			if err := t.define(extendIndex); err != nil {
				return err
			}
		}
		if written {
			return nil
		}
		if err := t.prepare(); err != nil {
			return err
		}
		// At random: a root of the ledger's beginning must not find the value that
		// it was based on.
		var first [32]byte
		rand.Read(first[:])
		return t.write(extendIndex, false, first)
	})
	return &next, err
}

// WriteIntent says on a blank disk which indices are about to be made, so that
// an initialisation that is cut off leaves none that nobody knows.
func WriteIntent(d block.Device, r *Record) error {
	b := make([]byte, block.SectorSize)
	copy(b, mark)
	at := b[intentAt:]
	for i, h := range r.indices {
		binary.BigEndian.PutUint32(at[4*i:], h)
	}
	if len(r.object.public) > len(at)-10 {
		return ErrRecord
	}
	binary.BigEndian.PutUint16(at[8:], uint16(len(r.object.public)))
	copy(at[10:], r.object.public)
	return write(d, b, markAt)
}

// intentAt is where the intent is behind the mark, in its sector.
const intentAt = 64

// RemoveLeftovers undefines what an initialisation of this disk made that was
// cut off.
func (t *TPM) RemoveLeftovers(d block.Device) error {
	b := make([]byte, block.SectorSize)
	if _, err := d.ReadAt(b, markAt); err != nil {
		return fmt.Errorf("hwtpm: %w", err)
	}
	s := parseIntent(b)
	if s == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.undefine(s)
}

// parseIntent reads an intent; nil for none.
func parseIntent(b []byte) *secret {
	if len(b) != block.SectorSize || string(b[:len(mark)]) != mark {
		return nil
	}
	at := b[intentAt:]
	s := &secret{indices: [2]uint32{binary.BigEndian.Uint32(at), binary.BigEndian.Uint32(at[4:])}}
	n := int(binary.BigEndian.Uint16(at[8:]))
	if n == 0 || n > len(at)-10 {
		return nil
	}
	s.object.public = bytes.Clone(at[10 : 10+n])
	if _, err := s.objectName(); err != nil {
		return nil
	}
	for _, h := range s.indices {
		if h < firstIndex || h >= firstIndex+2*maxPairs {
			return nil
		}
	}
	return s
}
