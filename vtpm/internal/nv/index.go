package nv

import (
	"encoding/binary"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// An Index is a defined NV index (Part 1, "NV Memory").
type Index struct {
	Public tcg.TPMSNVPublic
	Auth   []byte

	// Data has Public.DataSize bytes. That of an orderly index is lost with
	// power unless TPM2_Shutdown came before: Saved is then what Startup finds.
	Data  []byte
	Saved []byte

	nameCache []byte
}

// Has reports whether all of attrs are set.
func (x *Index) Has(attrs tcg.TPMANV) bool { return x.Public.Attributes&attrs == attrs }

// Written reports whether the index has been written (TPMA_NV_WRITTEN).
func (x *Index) Written() bool { return x.Has(tcg.TPMANVWritten) }

// Hierarchy is the one that has to be enabled for the index to be usable.
func (x *Index) Hierarchy() tcg.TPMHandle {
	if x.Has(tcg.TPMANVPlatformCreate) {
		return tcg.TPMRHPlatformNV
	}
	return tcg.TPMRHOwner
}

// Name is the Name of the index: its algorithm and the digest over its public
// area.
func (x *Index) Name() []byte {
	if x.nameCache == nil {
		alg := x.Public.NameAlg
		x.nameCache = append([]byte{byte(alg >> 8), byte(alg)}, tpmcrypto.Digest(alg, tcg.Marshal(&x.Public))...)
	}
	return x.nameCache
}

// SetAttributes changes the attributes, and the Name with them.
func (x *Index) SetAttributes(a tcg.TPMANV) {
	x.Public.Attributes = a
	x.nameCache = nil
}

// Limits on NV memory. MaxBuffer is how much one command moves
// (TPM_PT_NV_BUFFER_MAX), MaxBytes all indices and persistent objects together:
// what guests find in other virtual TPMs. The profile has the largest index.
const (
	MaxBuffer  = 1024
	MaxBytes   = 128 << 10
	MaxIndices = 256
)

// OrderlyCount is how often an orderly counter may be incremented before its
// value is saved, less one (TPM_PT_ORDERLY_COUNT).
const OrderlyCount = 255

// Kind returns the TPM_NT of the index.
func (x *Index) Kind() tcg.TPMNT { return x.Public.Attributes.NT() }

// IsPIN reports whether the index is a PIN Pass or a PIN Fail index.
func (x *Index) IsPIN() bool { return x.Kind() == tcg.TPMNTPinFail || x.Kind() == tcg.TPMNTPinPass }

// Number is the value of an 8-byte index: counter, bit field or PIN.
func (x *Index) Number() uint64 {
	if len(x.Data) != 8 {
		return 0
	}
	return uint64(binary.BigEndian.Uint32(x.Data))<<32 | uint64(binary.BigEndian.Uint32(x.Data[4:]))
}

// SetNumber sets the value of an 8-byte index.
func (x *Index) SetNumber(v uint64) {
	x.Data = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(x.Data[:0], uint32(v>>32)), uint32(v))
}

// AuthValue returns the authorization value of the index.
func (x *Index) AuthValue() []byte { return x.Auth }

// PIN returns pinCount and pinLimit of a PIN index (Part 2, TPMS_NV_PIN_COUNTER_PARAMETERS).
func (x *Index) PIN() (count, limit uint32) {
	v := x.Number()
	return uint32(v >> 32), uint32(v)
}

// PINLeft reports whether the authorization value of a PIN index may be used, on
// whatever path (Part 1, 34.2.6.6).
func (x *Index) PINLeft() bool {
	count, limit := x.PIN()
	return x.Written() && count < limit
}

// SetPINCount sets pinCount and leaves pinLimit.
func (x *Index) SetPINCount(count uint32) {
	_, limit := x.PIN()
	x.SetNumber(uint64(count)<<32 | uint64(limit))
}

// AuthAvailable reports whether the authorization value of x may authorize a command
// in a role (Part 1, "Authorization Selection Logic").
func (x *Index) AuthAvailable(c *tcg.CommandSpec, role tcg.Role) bool {
	if role != tcg.RoleUser {
		return false // administration of an index is by policy only
	}
	if c.Has(tcg.AttrNVWrite) {
		return x.Has(tcg.TPMANVAuthWrite)
	}
	if !c.Has(tcg.AttrNVRead) {
		return false
	}
	if x.IsPIN() {
		return x.PINLeft()
	}
	return x.Has(tcg.TPMANVAuthRead)
}

// PolicyAvailable reports whether the policy of x may authorize a command in a role.
func (x *Index) PolicyAvailable(c *tcg.CommandSpec, role tcg.Role) bool {
	if role != tcg.RoleUser {
		return true
	}
	if c.Has(tcg.AttrNVWrite) {
		return x.Has(tcg.TPMANVPolicyWrite)
	}
	return c.Has(tcg.AttrNVRead) && x.Has(tcg.TPMANVPolicyRead)
}

// Readable checks that auth may read x now (Part 3, 31.13 "TPM2_NV_Read").
//
//	TPM_RC_NV_LOCKED         locked for reading
//	TPM_RC_NV_AUTHORIZATION  not by this authorization
//	TPM_RC_NV_UNINITIALIZED  never written
func (x *Index) Readable(auth tcg.TPMHandle) tcg.TPMRC {
	if x.Has(tcg.TPMANVReadLocked) {
		return tcg.TPMRCNVLocked
	}
	if !x.allows(auth, tcg.TPMANVOwnerRead, tcg.TPMANVPPRead) {
		return tcg.TPMRCNVAuthorization
	}
	if !x.Written() {
		return tcg.TPMRCNVUninitialized
	}
	return tcg.TPMRCSuccess
}

// Writable checks that auth may write x now.
//
//	TPM_RC_NV_LOCKED         locked for writing
//	TPM_RC_NV_AUTHORIZATION  not by this authorization
func (x *Index) Writable(auth tcg.TPMHandle) tcg.TPMRC {
	if x.Has(tcg.TPMANVWriteLocked) {
		return tcg.TPMRCNVLocked
	}
	if !x.allows(auth, tcg.TPMANVOwnerWrite, tcg.TPMANVPPWrite) {
		return tcg.TPMRCNVAuthorization
	}
	return tcg.TPMRCSuccess
}

func (x *Index) allows(auth tcg.TPMHandle, owner, platform tcg.TPMANV) bool {
	switch auth {
	case tcg.TPMRHOwner:
		return x.Has(owner)
	case tcg.TPMRHPlatform:
		return x.Has(platform)
	}
	return auth == x.Public.NVIndex
}

// PINFailed counts a failed authorization in a PIN Fail index, and reports whether
// it did.
func (x *Index) PINFailed() bool {
	if x.Kind() != tcg.TPMNTPinFail || !x.Written() {
		return false
	}
	count, _ := x.PIN()
	x.SetPINCount(count + 1)
	return true
}

// PINUsed records a successful authorization: a PIN Pass index counts uses, a PIN
// Fail index forgets failures. counted reports the first, changed either.
func (x *Index) PINUsed() (counted, changed bool) {
	if !x.IsPIN() || !x.Written() {
		return false, false
	}
	count, _ := x.PIN()
	if x.Kind() == tcg.TPMNTPinPass {
		x.SetPINCount(count + 1)
		return true, true
	}
	if count != 0 {
		x.SetPINCount(0)
	}
	return false, count != 0
}

// blank gives an index the data of one that was not written, so that none of
// what it had shows when a part of it is written.
func (x *Index) blank() {
	tpmcrypto.Zero(x.Data)
	if x.Kind() == tcg.TPMNTOrdinary {
		for i := range x.Data {
			x.Data[i] = 0xFF
		}
	}
	if x.Has(tcg.TPMANVOrderly) {
		x.Saved = append(x.Saved[:0], x.Data...)
	}
}
