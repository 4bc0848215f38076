package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
)

// The permanent state's encoding: a magic number, a version, the profile, and
// fields in a fixed order. A version never changes its meaning; fields that a
// later version adds come last.

const (
	stateMagic   = 0x73545055 // "sTPU"
	stateVersion = 2          // 2: countdown timers
)

// Errors that Load wraps.
var (
	errStateMagic   = errors.New("not a vTPM state")
	errStateVersion = errors.New("state is of a newer version")
	ErrStateShort   = errors.New("state is truncated or malformed")
)

// limits of what decodePermanent reads, so that a forged length costs nothing.
const maxStateList = 4096

// EncodePermanent encodes what survives loss of power.
func (d *Device) EncodePermanent() (e permanentEncoding) {
	p := &d.Perm
	w := tcg.Writer{B: make([]byte, 0, max(4096, len(d.Saved)+512))}
	w.Uint32(stateMagic)
	w.Uint16(stateVersion)
	w.Nested(d.Profile.Marshal)
	p.Hierarchies.Encode(&w)
	w.Flags(p.Hierarchies.DisableClear, p.DA.AuthEnabled, p.Clock.Safe)
	for _, v := range []uint32{p.DA.FailedTries, p.DA.MaxTries, p.DA.RecoveryTime, p.DA.LockoutRecovery} {
		w.Uint32(v)
	}
	w.Uint64(p.TotalResetCount)
	w.Uint32(p.ResetCount)
	w.Uint32(p.ClearCount)
	e.clock = len(w.B)
	w.Uint64(p.Clock.Clock)
	w.Uint64(p.NV.MaxCounter)
	w.Uint16(p.Shutdown)
	if p.Shutdown == uint16(tcg.TPMSUState) {
		p.SavedClear.encode(&w)
		p.SavedReset.encode(&w)
		w.Uint16(uint16(len(p.SavedPCR)))
		for _, v := range p.SavedPCR {
			w.Sized(v)
		}
	}
	w.Uint16(uint16(len(p.PCRBanks)))
	for i := range p.PCRBanks {
		p.PCRBanks[i].Marshal(&w)
	}
	writeCommands(&w, p.PhysicalPresence)
	writeCommands(&w, p.Audited)
	w.Uint16(uint16(p.AuditHash))
	w.Uint64(p.AuditCounter)
	w.Uint32(p.AlgorithmSet)
	w.Flags(p.PCRsAllocated, p.AlgorithmsSet, p.StartedBy.Locality3, p.StartedBy.HCRTM) // zero in versions before this one
	w.Uint16(uint16(len(p.NV.Indices)))
	for _, h := range slices.Sorted(maps.Keys(p.NV.Indices)) {
		p.NV.Indices[h].Encode(&w)
	}
	w.Uint16(uint16(len(p.Objects)))
	for _, h := range slices.Sorted(maps.Keys(p.Objects)) {
		p.Objects[h].Encode(&w)
	}
	e.B = w.B
	return e
}

// FindChanges has the permanent state saved if a command changed it. Only a command
// that the table says leaves it alone is not looked at.
func (d *Device) FindChanges(c *tcg.CommandSpec) {
	if c.Has(tcg.AttrReads) || c.Has(tcg.AttrVolatile) {
		return
	}
	d.before.orderlyKnown = false
	e := d.EncodePermanent()
	if d.Dirty = d.Dirty || !bytes.Equal(e.B, d.Saved); d.Dirty {
		d.encoded = e
	}
}

// HalfDone reports whether a refused command changed the permanent state, without
// having said so by a count that has to be saved.
func (d *Device) HalfDone() bool {
	return !d.Dirty && !d.Tries.Owed && !bytes.Equal(d.EncodePermanent().B, d.Saved)
}

// decodePermanent replaces the permanent state and the profile. On error
// nothing is changed.
func (d *Device) decodePermanent(state []byte) error {
	p, profile, err := decodeState(state)
	if err == nil {
		d.Perm, d.Profile = *p, profile
	}
	return err
}

// checkedState returns the encoded permanent state, or an error if it is not
// one that Load takes: such a state must not reach the store, nor be what a
// failed command goes back to.
func (d *Device) checkedState() ([]byte, error) {
	e := d.encoded
	if d.encoded = (permanentEncoding{}); e.B == nil {
		e = d.EncodePermanent()
	}
	binary.BigEndian.PutUint64(e.B[e.clock:], d.Perm.Clock.Clock)
	if _, _, err := decodeState(e.B); err != nil {
		return nil, fmt.Errorf("vtpm: internal error: own state does not decode: %w", err)
	}
	return e.B, nil
}

func decodeState(state []byte) (*permanent, *tcg.Profile, error) {
	r := tcg.NewReader(state, nil)
	if r.Uint32() != stateMagic {
		return nil, nil, errStateMagic
	}
	version := r.Uint16()
	if version == 0 || version > stateVersion {
		return nil, nil, fmt.Errorf("%w: %d, newest known %d", errStateVersion, version, stateVersion)
	}
	profile := new(tcg.Profile)
	var profileErr error
	r.Nested(func(r *tcg.Reader) { profileErr = profile.Unmarshal(r) })
	if profileErr != nil {
		return nil, nil, fmt.Errorf("profile: %w", profileErr)
	}
	if err := checkProfile(profile); err != nil {
		return nil, nil, err
	}
	var p permanent
	p.Hierarchies.Decode(&r)
	r.Flags(&p.Hierarchies.DisableClear, &p.DA.AuthEnabled, &p.Clock.Safe)
	for _, v := range []*uint32{&p.DA.FailedTries, &p.DA.MaxTries, &p.DA.RecoveryTime, &p.DA.LockoutRecovery} {
		*v = r.Uint32()
	}
	p.TotalResetCount = r.Uint64()
	p.ResetCount = r.Uint32()
	p.ClearCount = r.Uint32()
	p.Clock.Clock = r.Uint64()
	p.NV.MaxCounter = r.Uint64()
	p.Shutdown = r.Uint16()
	if p.Shutdown == uint16(tcg.TPMSUState) {
		p.SavedClear.decode(&r, version)
		p.SavedReset.decode(&r)
		for range count(&r) {
			p.SavedPCR = append(p.SavedPCR, bytes.Clone(r.Sized(tcg.MaxDigestSize)))
		}
	}
	for range count(&r) {
		var s tcg.TPMSPCRSelection
		s.Unmarshal(&r)
		p.PCRBanks = append(p.PCRBanks, s)
	}
	p.PhysicalPresence = readCommands(&r)
	p.Audited = readCommands(&r)
	p.AuditHash = tcg.TPMAlgID(r.Uint16())
	p.AuditCounter = r.Uint64()
	p.AlgorithmSet = r.Uint32()
	r.Flags(&p.PCRsAllocated, &p.AlgorithmsSet, &p.StartedBy.Locality3, &p.StartedBy.HCRTM)
	p.NV.Indices = map[tcg.TPMHandle]*nv.Index{}
	for range count(&r) {
		x := nv.Decode(&r)
		p.NV.Indices[x.Public.NVIndex] = x
	}
	p.Objects = map[tcg.TPMHandle]*object.Object{}
	for range count(&r) {
		o := object.Decode(&r)
		p.Objects[o.EvictHandle] = o
	}
	if r.Err() != tcg.TPMRCSuccess || r.Len() != 0 {
		return nil, nil, ErrStateShort
	}
	return &p, profile, nil
}

// count reads the length of a list; a failed reader has none.
func count(r *tcg.Reader) int {
	n := int(r.Uint16())
	if n > maxStateList {
		r.Fail(tcg.TPMRCSize)
	}
	if r.Err() != tcg.TPMRCSuccess {
		return 0
	}
	return n
}

func writeCommands(w *tcg.Writer, codes []tcg.TPMCC) {
	w.Uint16(uint16(len(codes)))
	for _, cc := range codes {
		w.Uint32(uint32(cc))
	}
}

func readCommands(r *tcg.Reader) (codes []tcg.TPMCC) {
	for range count(r) {
		codes = append(codes, tcg.TPMCC(r.Uint32()))
	}
	return codes
}

func (s *StateClear) encode(w *tcg.Writer) {
	h := &s.Hierarchies
	w.Flags(s.Started, h.OwnerEnable, h.EndorsementEnable, h.PlatformNVEnable, h.PlatformEnable, s.ReadOnly)
	h.Encode(w)
	w.Uint16(0) // authorization values of PCRs: no PCR has one
	for i := range s.ACTs {
		s.ACTs[i].Encode(w)
		s.ACTPolicies[i].Encode(w)
	}
}

func (s *StateClear) decode(r *tcg.Reader, version uint16) {
	h := &s.Hierarchies
	r.Flags(&s.Started, &h.OwnerEnable, &h.EndorsementEnable, &h.PlatformNVEnable, &h.PlatformEnable, &s.ReadOnly)
	h.Decode(r)
	if count(r) != 0 {
		r.Fail(tcg.TPMRCSize)
	}
	for i := range s.ACTs {
		s.ACTPolicies[i] = hierarchy.NoPolicy()
		if version >= 2 {
			s.ACTs[i].Decode(r)
			s.ACTPolicies[i].Decode(r)
		}
	}
}

// Clone returns a copy that shares no memory.
func (s *StateClear) Clone() StateClear {
	c := *s
	c.Hierarchies = s.Hierarchies.Clone()
	for i := range c.ACTs {
		c.ACTPolicies[i] = c.ACTPolicies[i].Clone()
	}
	return c
}

func (s *StateReset) encode(w *tcg.Writer) {
	s.Null.Encode(w)
	w.Uint32(s.RestartCount)
	w.Uint64(s.ObjectContextID)
	s.Contexts.Encode(w)
	w.Sized(s.AuditDigest)
	w.Uint32(s.PCRUpdateCounter)
	w.Uint64(s.CommitCounter)
	w.Sized(s.CommitNonce)
	w.Bytes(s.CommitArray[:])
}

func (s *StateReset) decode(r *tcg.Reader) {
	s.Null.Decode(r)
	s.RestartCount = r.Uint32()
	s.ObjectContextID = r.Uint64()
	s.Contexts.Decode(r)
	s.AuditDigest = bytes.Clone(r.Sized(tcg.MaxDigestSize))
	s.PCRUpdateCounter = r.Uint32()
	s.CommitCounter = r.Uint64()
	s.CommitNonce = bytes.Clone(r.Sized(tcg.MaxDigestSize))
	copy(s.CommitArray[:], r.Bytes(len(s.CommitArray)))
}

// Clone returns a copy that shares no memory.
func (s *StateReset) Clone() StateReset {
	c := *s
	c.AuditDigest = bytes.Clone(s.AuditDigest)
	c.CommitNonce = bytes.Clone(s.CommitNonce)
	return c
}
