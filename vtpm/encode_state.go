package vtpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"stubtpm/vtpm/internal/hierarchy"
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
	errStateShort   = errors.New("state is truncated or malformed")
)

// limits of what decodePermanent reads, so that a forged length costs nothing.
const maxStateList = 4096

// A permanentEncoding is an encoded permanent state.
type permanentEncoding struct {
	b     []byte
	clock int // where in b Clock is
}

func (d *Device) encodePermanent() (e permanentEncoding) {
	p := &d.perm
	w := tcg.Writer{B: make([]byte, 0, max(4096, len(d.saved)+512))}
	w.Uint32(stateMagic)
	w.Uint16(stateVersion)
	w.Nested(d.profile.Marshal)
	p.hierarchies.Encode(&w)
	w.Flags(p.hierarchies.DisableClear, p.da.AuthEnabled, p.clock.Safe)
	for _, v := range []uint32{p.da.FailedTries, p.da.MaxTries, p.da.RecoveryTime, p.da.LockoutRecovery} {
		w.Uint32(v)
	}
	w.Uint64(p.totalResetCount)
	w.Uint32(p.resetCount)
	w.Uint32(p.clearCount)
	e.clock = len(w.B)
	w.Uint64(p.clock.Clock)
	w.Uint64(p.nv.maxCounter)
	w.Uint16(p.shutdown)
	if p.shutdown == uint16(tcg.TPMSUState) {
		p.savedClear.encode(&w)
		p.savedReset.encode(&w)
		w.Uint16(uint16(len(p.savedPCR)))
		for _, v := range p.savedPCR {
			w.Sized(v)
		}
	}
	w.Uint16(uint16(len(p.pcrBanks)))
	for i := range p.pcrBanks {
		p.pcrBanks[i].Marshal(&w)
	}
	writeCommands(&w, p.physicalPresence)
	writeCommands(&w, p.audited)
	w.Uint16(uint16(p.auditHash))
	w.Uint64(p.auditCounter)
	w.Uint32(p.algorithmSet)
	w.Flags(p.pcrsAllocated, p.algorithmsSet, p.startedBy.locality3, p.startedBy.hcrtm) // zero in versions before this one
	w.Uint16(uint16(len(p.nv.indices)))
	for _, h := range slices.Sorted(maps.Keys(p.nv.indices)) {
		p.nv.indices[h].encode(&w)
	}
	w.Uint16(uint16(len(p.objects)))
	for _, h := range slices.Sorted(maps.Keys(p.objects)) {
		p.objects[h].encode(&w)
	}
	e.b = w.B
	return e
}

// findChanges has the permanent state saved if a command changed it. Only a command
// that the table says leaves it alone is not looked at.
func (d *Device) findChanges(c *tcg.CommandSpec) {
	if c.Has(tcg.AttrReads) || c.Has(tcg.AttrVolatile) {
		return
	}
	d.before.orderlyKnown = false
	e := d.encodePermanent()
	if d.dirty = d.dirty || !bytes.Equal(e.b, d.saved); d.dirty {
		d.encoded = e
	}
}

// decodePermanent replaces the permanent state and the profile. On error
// nothing is changed.
func (d *Device) decodePermanent(state []byte) error {
	p, profile, err := decodeState(state)
	if err == nil {
		d.perm, d.profile = *p, profile
	}
	return err
}

// checkedState returns the encoded permanent state, or an error if it is not
// one that Load takes: such a state must not reach the store, nor be what a
// failed command goes back to.
func (d *Device) checkedState() ([]byte, error) {
	e := d.encoded
	if d.encoded = (permanentEncoding{}); e.b == nil {
		e = d.encodePermanent()
	}
	binary.BigEndian.PutUint64(e.b[e.clock:], d.perm.clock.Clock)
	if _, _, err := decodeState(e.b); err != nil {
		return nil, fmt.Errorf("vtpm: internal error: own state does not decode: %w", err)
	}
	return e.b, nil
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
	p.hierarchies.Decode(&r)
	r.Flags(&p.hierarchies.DisableClear, &p.da.AuthEnabled, &p.clock.Safe)
	for _, v := range []*uint32{&p.da.FailedTries, &p.da.MaxTries, &p.da.RecoveryTime, &p.da.LockoutRecovery} {
		*v = r.Uint32()
	}
	p.totalResetCount = r.Uint64()
	p.resetCount = r.Uint32()
	p.clearCount = r.Uint32()
	p.clock.Clock = r.Uint64()
	p.nv.maxCounter = r.Uint64()
	p.shutdown = r.Uint16()
	if p.shutdown == uint16(tcg.TPMSUState) {
		p.savedClear.decode(&r, version)
		p.savedReset.decode(&r)
		for range count(&r) {
			p.savedPCR = append(p.savedPCR, bytes.Clone(r.Sized(tcg.MaxDigestSize)))
		}
	}
	for range count(&r) {
		var s tcg.TPMSPCRSelection
		s.Unmarshal(&r)
		p.pcrBanks = append(p.pcrBanks, s)
	}
	p.physicalPresence = readCommands(&r)
	p.audited = readCommands(&r)
	p.auditHash = tcg.TPMAlgID(r.Uint16())
	p.auditCounter = r.Uint64()
	p.algorithmSet = r.Uint32()
	r.Flags(&p.pcrsAllocated, &p.algorithmsSet, &p.startedBy.locality3, &p.startedBy.hcrtm)
	p.nv.indices = map[tcg.TPMHandle]*nvIndex{}
	for range count(&r) {
		x := decodeNVIndex(&r)
		p.nv.indices[x.public.NVIndex] = x
	}
	p.objects = map[tcg.TPMHandle]*object{}
	for range count(&r) {
		o := decodeObject(&r)
		p.objects[o.evictHandle] = o
	}
	if r.Err() != tcg.TPMRCSuccess || r.Len() != 0 {
		return nil, nil, errStateShort
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

func (s *stateClear) encode(w *tcg.Writer) {
	h := &s.hierarchies
	w.Flags(s.started, h.OwnerEnable, h.EndorsementEnable, h.PlatformNVEnable, h.PlatformEnable, s.readOnly)
	h.Encode(w)
	w.Uint16(0) // authorization values of PCRs: no PCR has one
	for i := range s.acts {
		s.acts[i].Encode(w)
		s.actPolicies[i].Encode(w)
	}
}

func (s *stateClear) decode(r *tcg.Reader, version uint16) {
	h := &s.hierarchies
	r.Flags(&s.started, &h.OwnerEnable, &h.EndorsementEnable, &h.PlatformNVEnable, &h.PlatformEnable, &s.readOnly)
	h.Decode(r)
	if count(r) != 0 {
		r.Fail(tcg.TPMRCSize)
	}
	for i := range s.acts {
		s.actPolicies[i] = hierarchy.NoPolicy()
		if version >= 2 {
			s.acts[i].Decode(r)
			s.actPolicies[i].Decode(r)
		}
	}
}

// clone returns a copy that shares no memory.
func (s *stateClear) clone() stateClear {
	c := *s
	c.hierarchies = s.hierarchies.Clone()
	for i := range c.acts {
		c.actPolicies[i] = c.actPolicies[i].Clone()
	}
	return c
}

func (s *stateReset) encode(w *tcg.Writer) {
	s.null.Encode(w)
	w.Uint32(s.restartCount)
	w.Uint64(s.objectContextID)
	s.contexts.encode(w)
	w.Sized(s.auditDigest)
	w.Uint32(s.pcrUpdateCounter)
	w.Uint64(s.commitCounter)
	w.Sized(s.commitNonce)
	w.Bytes(s.commitArray[:])
}

func (s *stateReset) decode(r *tcg.Reader) {
	s.null.Decode(r)
	s.restartCount = r.Uint32()
	s.objectContextID = r.Uint64()
	s.contexts.decode(r)
	s.auditDigest = bytes.Clone(r.Sized(tcg.MaxDigestSize))
	s.pcrUpdateCounter = r.Uint32()
	s.commitCounter = r.Uint64()
	s.commitNonce = bytes.Clone(r.Sized(tcg.MaxDigestSize))
	copy(s.commitArray[:], r.Bytes(len(s.commitArray)))
}

// clone returns a copy that shares no memory.
func (s *stateReset) clone() stateReset {
	c := *s
	c.auditDigest = bytes.Clone(s.auditDigest)
	c.commitNonce = bytes.Clone(s.commitNonce)
	return c
}

func (x *nvIndex) encode(w *tcg.Writer) {
	x.public.Marshal(w)
	w.Sized(x.auth)
	data := x.data
	if x.has(tcg.TPMANVOrderly) {
		data = x.saved
	}
	w.Sized(data)
}

func decodeNVIndex(r *tcg.Reader) *nvIndex {
	x := new(nvIndex)
	x.public.Unmarshal(r)
	x.public = x.public.Clone()
	x.auth = bytes.Clone(r.Sized(maxBlob))
	x.data = bytes.Clone(r.Sized(maxBlob))
	if len(x.data) != int(x.public.DataSize) {
		r.Fail(tcg.TPMRCSize)
	}
	if x.has(tcg.TPMANVOrderly) {
		x.saved = bytes.Clone(x.data)
	}
	return x
}
