package vtpm

import (
	"bytes"
	"encoding/binary"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// An nvIndex is a defined NV index (Part 1, "NV Memory").
type nvIndex struct {
	public tcg.TPMSNVPublic
	auth   []byte

	// data has public.DataSize bytes. That of an orderly index is lost with
	// power unless TPM2_Shutdown came before: saved is then what Startup finds.
	data  []byte
	saved []byte

	nameCache []byte
}

func (x *nvIndex) has(attrs tcg.TPMANV) bool { return x.public.Attributes&attrs == attrs }
func (x *nvIndex) written() bool             { return x.has(tcg.TPMANVWritten) }

// hierarchy is the one that has to be enabled for the index to be usable.
func (x *nvIndex) hierarchy() tcg.TPMHandle {
	if x.has(tcg.TPMANVPlatformCreate) {
		return tcg.TPMRHPlatformNV
	}
	return tcg.TPMRHOwner
}

// name is the Name of the index: its algorithm and the digest over its public
// area.
func (x *nvIndex) name() []byte {
	if x.nameCache == nil {
		alg := x.public.NameAlg
		x.nameCache = append([]byte{byte(alg >> 8), byte(alg)}, digest(alg, tcg.Marshal(&x.public))...)
	}
	return x.nameCache
}

// setAttributes changes the attributes, and the Name with them.
func (x *nvIndex) setAttributes(a tcg.TPMANV) {
	x.public.Attributes = a
	x.nameCache = nil
}

// Limits on NV memory. maxNVBuffer is how much one command moves
// (TPM_PT_NV_BUFFER_MAX), maxNVBytes all indices and persistent objects together:
// what guests find in other virtual TPMs. The profile has the largest index.
const (
	maxNVBuffer  = 1024
	maxNVBytes   = 128 << 10
	maxNVIndices = 256
)

// orderlyCount is how often an orderly counter may be incremented before its
// value is saved, less one (TPM_PT_ORDERLY_COUNT).
const orderlyCount = 255

func (x *nvIndex) kind() tcg.TPMNT { return x.public.Attributes.NT() }

func (x *nvIndex) isPIN() bool { return x.kind() == tcg.TPMNTPinFail || x.kind() == tcg.TPMNTPinPass }

// number is the value of an 8-byte index: counter, bit field or PIN.
func (x *nvIndex) number() uint64 {
	if len(x.data) != 8 {
		return 0
	}
	return uint64(binary.BigEndian.Uint32(x.data))<<32 | uint64(binary.BigEndian.Uint32(x.data[4:]))
}

func (x *nvIndex) setNumber(v uint64) {
	x.data = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(x.data[:0], uint32(v>>32)), uint32(v))
}

func (x *nvIndex) authValue() []byte { return x.auth }

func (x *nvIndex) pin() (count, limit uint32) {
	v := x.number()
	return uint32(v >> 32), uint32(v)
}

// pinLeft reports whether the authorization value of a PIN index may be used, on
// whatever path (Part 1, 34.2.6.6).
func (x *nvIndex) pinLeft() bool {
	count, limit := x.pin()
	return x.written() && count < limit
}

func (x *nvIndex) setPinCount(count uint32) {
	_, limit := x.pin()
	x.setNumber(uint64(count)<<32 | uint64(limit))
}

// authAvailable reports whether the authorization value of x may authorize a command
// in a role (Part 1, "Authorization Selection Logic").
func (x *nvIndex) authAvailable(c *tcg.CommandSpec, role tcg.Role) bool {
	if role != tcg.RoleUser {
		return false // administration of an index is by policy only
	}
	if c.Has(tcg.AttrNVWrite) {
		return x.has(tcg.TPMANVAuthWrite)
	}
	if !c.Has(tcg.AttrNVRead) {
		return false
	}
	if x.isPIN() {
		return x.pinLeft()
	}
	return x.has(tcg.TPMANVAuthRead)
}

// policyAvailable reports whether the policy of x may authorize a command in a role.
func (x *nvIndex) policyAvailable(c *tcg.CommandSpec, role tcg.Role) bool {
	if role != tcg.RoleUser {
		return true
	}
	if c.Has(tcg.AttrNVWrite) {
		return x.has(tcg.TPMANVPolicyWrite)
	}
	return c.Has(tcg.AttrNVRead) && x.has(tcg.TPMANVPolicyRead)
}

// readable checks that auth may read x now (Part 3, 31.13 "TPM2_NV_Read").
//
//	TPM_RC_NV_LOCKED         locked for reading
//	TPM_RC_NV_AUTHORIZATION  not by this authorization
//	TPM_RC_NV_UNINITIALIZED  never written
func (x *nvIndex) readable(auth tcg.TPMHandle) tcg.TPMRC {
	if x.has(tcg.TPMANVReadLocked) {
		return tcg.TPMRCNVLocked
	}
	if !x.allows(auth, tcg.TPMANVOwnerRead, tcg.TPMANVPPRead) {
		return tcg.TPMRCNVAuthorization
	}
	if !x.written() {
		return tcg.TPMRCNVUninitialized
	}
	return tcg.TPMRCSuccess
}

// writable checks that auth may write x now.
//
//	TPM_RC_NV_LOCKED         locked for writing
//	TPM_RC_NV_AUTHORIZATION  not by this authorization
func (x *nvIndex) writable(auth tcg.TPMHandle) tcg.TPMRC {
	if x.has(tcg.TPMANVWriteLocked) {
		return tcg.TPMRCNVLocked
	}
	if !x.allows(auth, tcg.TPMANVOwnerWrite, tcg.TPMANVPPWrite) {
		return tcg.TPMRCNVAuthorization
	}
	return tcg.TPMRCSuccess
}

func (x *nvIndex) allows(auth tcg.TPMHandle, owner, platform tcg.TPMANV) bool {
	switch auth {
	case tcg.TPMRHOwner:
		return x.has(owner)
	case tcg.TPMRHPlatform:
		return x.has(platform)
	}
	return auth == x.public.NVIndex
}

// pinFailed counts a failed authorization in a PIN Fail index, and reports whether
// it did.
func (x *nvIndex) pinFailed() bool {
	if x.kind() != tcg.TPMNTPinFail || !x.written() {
		return false
	}
	count, _ := x.pin()
	x.setPinCount(count + 1)
	return true
}

// pinUsed records a successful authorization: a PIN Pass index counts uses, a PIN
// Fail index forgets failures. counted reports the first, changed either.
func (x *nvIndex) pinUsed() (counted, changed bool) {
	if !x.isPIN() || !x.written() {
		return false, false
	}
	count, _ := x.pin()
	if x.kind() == tcg.TPMNTPinPass {
		x.setPinCount(count + 1)
		return true, true
	}
	if count != 0 {
		x.setPinCount(0)
	}
	return false, count != 0
}

// An nvSpace is all NV indices.
type nvSpace struct {
	indices map[tcg.TPMHandle]*nvIndex

	// maxCounter is the largest value that a deleted counter had, at which a new one
	// starts, so that no counter goes back.
	maxCounter uint64
}

func newNVSpace() nvSpace { return nvSpace{indices: map[tcg.TPMHandle]*nvIndex{}} }

// used returns how many bytes of NV memory the indices and a number of persistent
// objects take, by a rule that does not depend on the encoding of the state.
func (s *nvSpace) used(objects int) int {
	n := 0
	for _, x := range s.indices {
		n += nvOverhead + int(x.public.DataSize) + len(x.public.AuthPolicy) + len(x.auth)
	}
	return n + objects*persistentSize
}

const (
	nvOverhead     = 64   // bytes an index takes besides its data
	persistentSize = 1500 // bytes a persistent object takes at most
)

// define adds an index, beside a number of persistent objects. It keeps auth.
//
//	TPM_RC_NV_DEFINED  the index exists
//	TPM_RC_NV_SPACE    no room
func (s *nvSpace) define(p tcg.TPMSNVPublic, auth []byte, objects int) tcg.TPMRC {
	if s.indices[p.NVIndex] != nil {
		return tcg.TPMRCNVDefined
	}
	size := nvOverhead + int(p.DataSize) + len(p.AuthPolicy) + len(auth)
	if len(s.indices) >= maxNVIndices || s.used(objects)+size > maxNVBytes {
		return tcg.TPMRCNVSpace
	}
	p.AuthPolicy = bytes.Clone(p.AuthPolicy)
	x := &nvIndex{public: p, auth: auth, data: make([]byte, p.DataSize)}
	x.blank()
	s.indices[p.NVIndex] = x
	return tcg.TPMRCSuccess
}

// remove deletes an index. A deleted counter leaves its value in maxCounter.
func (s *nvSpace) remove(h tcg.TPMHandle) {
	x := s.indices[h]
	if x.kind() == tcg.TPMNTCounter && x.written() {
		s.maxCounter = max(s.maxCounter, x.number())
	}
	tpmcrypto.Zero(x.auth)
	tpmcrypto.Zero(x.data)
	delete(s.indices, h)
}

// clearOwner is the part of TPM2_Clear: indices that the platform did not make go.
func (s *nvSpace) clearOwner() {
	for h, x := range s.indices {
		if !x.has(tcg.TPMANVPlatformCreate) {
			s.remove(h)
		}
	}
}

// startup sets the indices at TPM2_Startup (Part 3, 9.3).
func (s *nvSpace) startup(resume, reset, orderly bool) {
	for _, x := range s.indices {
		a := x.public.Attributes
		counter := a.NT() == tcg.TPMNTCounter
		if a&tcg.TPMANVOrderly != 0 {
			x.data = append(x.data[:0], x.saved...)
			if counter && !orderly {
				// The value may have been counted up to the next save.
				x.setNumber(x.number() | orderlyCount)
			}
		}
		if !counter && (!resume && a&tcg.TPMANVClearSTClear != 0 || reset && a&tcg.TPMANVOrderly != 0) {
			a &^= tcg.TPMANVWritten
			x.blank()
		}
		if !resume {
			a &^= tcg.TPMANVReadLocked
			if a&tcg.TPMANVWritten == 0 || a&tcg.TPMANVWriteDefine == 0 {
				a &^= tcg.TPMANVWriteLocked
			}
		}
		if a != x.public.Attributes {
			x.setAttributes(a)
		}
	}
}

// blank gives an index the data of one that was not written, so that none of
// what it had shows when a part of it is written.
func (x *nvIndex) blank() {
	tpmcrypto.Zero(x.data)
	if x.kind() == tcg.TPMNTOrdinary {
		for i := range x.data {
			x.data[i] = 0xFF
		}
	}
	if x.has(tcg.TPMANVOrderly) {
		x.saved = append(x.saved[:0], x.data...)
	}
}

// shutdown keeps the data of orderly indices.
func (s *nvSpace) shutdown() {
	for _, x := range s.indices {
		if x.has(tcg.TPMANVOrderly) {
			x.saved = append(x.saved[:0], x.data...)
		}
	}
}
