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

// ours reports whether an index of a pair of ours is at its handle, and whether it was
// written. The bus can lie; whoever relies on it reads the index. An error says that the
// TPM did not tell.
func (t *TPM) ours(s *secret, which int) (there, written bool, err error) {
	p, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(s.indices[which])}.Execute(t.bus)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	there, written = s.hasName(which, p.NVName.Buffer)
	return there, written, nil
}

// hasName reports whether a name is that of an index of a pair, and if so, whether the
// index was written.
func (s *secret) hasName(which int, name []byte) (is, written bool) {
	for _, written := range []bool{false, true} {
		if h, err := s.index(which, written); err == nil && bytes.Equal(h.Name.Buffer, name) {
			return true, written
		}
	}
	return false, false
}

// undefine removes those of a pair of indices that are ours. It returns nil once
// the TPM says of both that they are not there.
func (t *TPM) undefine(s *secret) error {
	var errs []error
	for which := range s.indices {
		errs = append(errs, t.undefineOne(s, which))
	}
	return errors.Join(errs...)
}

func (t *TPM) undefineOne(s *secret, which int) error {
	there, written, err := t.ours(s, which)
	if err != nil || !there {
		return err
	}
	h, err := s.index(which, written)
	if err == nil {
		_, err = tpm2.NVUndefineSpace{AuthHandle: t.ownerAuth(), NVIndex: h}.Execute(t.bus)
	}
	if err != nil {
		return err
	}
	if there, _, err = t.ours(s, which); err == nil && there {
		err = fmt.Errorf("index %#x is still there", s.indices[which])
	}
	return err
}

// free reports whether nobody has a handle.
func (t *TPM) free(handle uint32) bool {
	_, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(handle)}.Execute(t.bus)
	return errors.Is(err, tpm2.TPMRCHandle)
}

func pairAt(n uint32) [2]uint32 { return [2]uint32{firstIndex + 2*n, firstIndex + 2*n + 1} }

func pairNumber(indices [2]uint32) uint32 { return (indices[0] - firstIndex) / 2 }

// Successor returns the count of the pair of indices that is to take the place of a
// record's, and makes its counter at another place if it does not exist yet. The count is above
// last, the highest that the caller knows. Its value is of this moment whatever was
// undefined: a new counter begins above all of the TPM's that were (Part 3, 31.2), though
// not above those that are there, so that its generation has to make it higher.
func (t *TPM) Successor(r *Record, last uint64) (count uint64, err error) {
	err = t.do("new indices", func() error {
		if t.secret == nil {
			return errLocked
		}
		t.dropAuth()
		t.secret.pair = r.pair()
		next, err := t.successor(r, max(r.generation, uint32(min(last>>generationShift, maxGeneration)))+1)
		if err != nil {
			return err
		}
		t.secret.pair = next
		if err := t.makeCounter(); err != nil {
			return err
		}
		count, err = t.count()
		return err
	})
	return count, err
}

// successor returns the pair of the newest generation, from first on, that has a counter,
// or a pair where a counter of generation first can be made.
func (t *TPM) successor(r *Record, first uint32) (next pair, err error) {
	if first > maxGeneration {
		return next, fmt.Errorf("NV indices were moved %d times: no more moves are possible", maxGeneration)
	}
	free := false
	for n := range uint32(maxPairs) {
		at := pairAt(n)
		p, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(at[counterIndex])}.Execute(t.bus)
		switch {
		case err == nil:
			if g, _, ok := t.secret.generationOf(counterIndex, at, p.NVName.Buffer, first); ok && g > next.generation {
				next, free = pair{at, g}, true
			}
		case !errors.Is(err, tpm2.TPMRCHandle):
			return next, err
		case !free && at != r.indices && t.free(at[extendIndex]):
			next, free = pair{at, 0}, true
		}
	}
	if !free {
		return next, fmt.Errorf("no pair of NV indices is free from %#x on", firstIndex)
	}
	next.generation = max(next.generation, first)
	return next, nil
}

// generationOf returns of which generation an index with this name is, from first on, and
// whether it was written. It returns false if the index is none of this manager's.
func (s *secret) generationOf(which int, at [2]uint32, name []byte, first uint32) (generation uint32, written, ok bool) {
	// Nearly always it is the current one's, and each other name costs two hashes.
	if is, written := s.hasName(which, name); is {
		return s.generation, written, s.generation >= first
	}
	one := *s
	for g := first; g <= maxGeneration; g++ {
		one.pair = pair{at, g}
		if is, written := one.hasName(which, name); is {
			return g, written, true
		}
	}
	return 0, false, false
}

// makeCounter defines the counter of t.secret and writes it for the first time, if
// that was not done.
func (t *TPM) makeCounter() error {
	there, written, err := t.ours(t.secret, counterIndex)
	if err != nil || written {
		return err
	}
	if !there {
		if err := t.define(counterIndex); err != nil {
			return err
		}
	}
	if err := t.prepare(); err != nil {
		return err
	}
	return t.write(counterIndex, false, [32]byte{})
}

// Succeed makes the extend index beside the counter of Successor, which has to
// be called before, and returns the record that names both. Until it is on the disk
// the old ones count; but from the first write of the extend index on, CheckNewest
// refuses the old record. So nothing is made where ordered, which says why a move is not
// ordered, is not nil: then it is the error, unless that write was made before.
func (t *TPM) Succeed(r *Record, ordered error) (*Record, error) {
	next := r.clone()
	err := t.do("new indices", func() error {
		if t.secret == nil || t.secret.generation <= r.generation {
			return errLocked
		}
		next.indices, next.generation = t.secret.indices, t.secret.generation
		next.older = ^uint64(1 << pairNumber(next.indices)) // each is looked at once
		return t.makeExtend(ordered)
	})
	return next, err
}

func (t *TPM) makeExtend(ordered error) error {
	there, written, err := t.ours(t.secret, extendIndex)
	if err != nil || written {
		return err
	}
	if ordered != nil {
		return ordered
	}
	if !there {
		if err := t.define(extendIndex); err != nil {
			return err
		}
	}
	if err := t.prepare(); err != nil {
		return err
	}
	// At random: a root of the ledger's beginning must not find the value that
	// it was based on.
	var first [32]byte
	rand.Read(first[:])
	return t.write(extendIndex, false, first)
}

// WriteIntent says on a blank disk which indices are about to be made, so that
// an initialization that is cut off leaves none that nobody knows.
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

// RemoveLeftovers undefines what an initialization of this disk made that was
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
	s := &secret{pair: pair{indices: [2]uint32{binary.BigEndian.Uint32(at), binary.BigEndian.Uint32(at[4:])}}}
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
