package vtpm

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

// Part 3, section 31 - Non-volatile Storage.
var nvCommands = commandTable{
	tcg.TPMCCNVDefineSpace:          (*Device).nvDefineSpace,
	tcg.TPMCCNVUndefineSpace:        (*Device).nvUndefineSpace,
	tcg.TPMCCNVUndefineSpaceSpecial: (*Device).nvUndefineSpaceSpecial,
	tcg.TPMCCNVReadPublic:           (*Device).nvReadPublic,
	tcg.TPMCCNVWrite:                (*Device).nvWrite,
	tcg.TPMCCNVIncrement:            (*Device).nvIncrement,
	tcg.TPMCCNVExtend:               (*Device).nvExtend,
	tcg.TPMCCNVSetBits:              (*Device).nvSetBits,
	tcg.TPMCCNVWriteLock:            (*Device).nvWriteLock,
	tcg.TPMCCNVGlobalWriteLock:      (*Device).nvGlobalWriteLock,
	tcg.TPMCCNVRead:                 (*Device).nvRead,
	tcg.TPMCCNVReadLock:             (*Device).nvReadLock,
	tcg.TPMCCNVChangeAuth:           (*Device).nvChangeAuth,
}

// nvDefineSpace is TPM2_NV_DefineSpace.
//
//	TPM_RC_ATTRIBUTES  attributes contradict each other or the authorization
//	TPM_RC_HIERARCHY   platform NV is disabled
//	TPM_RC_NV_DEFINED  the index exists
//	TPM_RC_NV_SPACE    no room
//	TPM_RC_SIZE        auth, policy or data size does not fit
//	TPM_RC_VALUE       the index is EpochIndex, which no command defines
func (d *Device) nvDefineSpace(c *call) error {
	r := c.reader()
	auth := r.next().Digest()
	var public tcg.TPMSNVPublic
	public.Unmarshal2B(r.next())
	if err := r.end(); err != nil {
		return err
	}
	return d.nvDefine(c.handles[0], auth, public)
}

func (d *Device) nvDefine(by tcg.TPMHandle, auth []byte, p tcg.TPMSNVPublic) error {
	auth = tcg.TrimAuth(auth)
	if len(auth) > hashSize(p.NameAlg) {
		return tcg.TPMRCSize.P(1)
	}
	if n := len(p.AuthPolicy); n != 0 && n != hashSize(p.NameAlg) {
		return tcg.TPMRCSize.P(2)
	}
	if rc := checkNVPublic(by, &p); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	if by == tcg.TPMRHPlatform && !d.clear.hierarchies.PlatformNVEnable {
		return tcg.TPMRCHierarchy.H(1)
	}
	if p.NVIndex == EpochIndex && d.perm.nv.indices[EpochIndex] == nil {
		return tcg.TPMRCValue.P(2)
	}
	if rc := d.perm.nv.define(p, bytes.Clone(auth), len(d.perm.objects)); rc != tcg.TPMRCSuccess {
		return rc
	}
	return nil
}

// checkNVPublic checks the public area of an index that is to be defined
// (Part 3, 31.3; Part 2, "TPMA_NV").
func checkNVPublic(by tcg.TPMHandle, p *tcg.TPMSNVPublic) tcg.TPMRC {
	a := p.Attributes
	has := func(bits tcg.TPMANV) bool { return a&bits != 0 }
	size := int(p.DataSize)
	switch a.NT() {
	case tcg.TPMNTOrdinary:
		if has(tcg.TPMANVWriteAll) && size > maxNVBuffer { // else the profile's limit, which unmarshalling checks
			return tcg.TPMRCSize
		}
	case tcg.TPMNTCounter, tcg.TPMNTBits:
		if size != 8 {
			return tcg.TPMRCSize
		}
	case tcg.TPMNTPinFail, tcg.TPMNTPinPass:
		if size != 8 {
			return tcg.TPMRCSize
		}
		if has(tcg.TPMANVAuthWrite | tcg.TPMANVGlobalLock | tcg.TPMANVWriteDefine) {
			return tcg.TPMRCAttributes
		}
		if a.NT() == tcg.TPMNTPinFail && !has(tcg.TPMANVNoDA) {
			return tcg.TPMRCAttributes
		}
	case tcg.TPMNTExtend:
		if size != hashSize(p.NameAlg) {
			return tcg.TPMRCSize
		}
	default:
		return tcg.TPMRCAttributes
	}
	if has(tcg.TPMANVWritten | tcg.TPMANVWriteLocked | tcg.TPMANVReadLocked) {
		return tcg.TPMRCAttributes
	}
	if !has(tcg.TPMANVPPRead|tcg.TPMANVOwnerRead|tcg.TPMANVAuthRead|tcg.TPMANVPolicyRead) ||
		!has(tcg.TPMANVPPWrite|tcg.TPMANVOwnerWrite|tcg.TPMANVAuthWrite|tcg.TPMANVPolicyWrite) {
		return tcg.TPMRCAttributes
	}
	if has(tcg.TPMANVClearSTClear) && (a.NT() == tcg.TPMNTCounter || has(tcg.TPMANVWriteDefine)) {
		return tcg.TPMRCAttributes
	}
	platform := by == tcg.TPMRHPlatform
	if platform != has(tcg.TPMANVPlatformCreate) {
		return tcg.TPMRCAttributes
	}
	if has(tcg.TPMANVPolicyDelete) && !platform {
		return tcg.TPMRCAttributes
	}
	return tcg.TPMRCSuccess
}

// nvUndefineSpace is TPM2_NV_UndefineSpace.
//
//	TPM_RC_ATTRIBUTES        the index may be deleted by its policy only
//	TPM_RC_NV_AUTHORIZATION  the platform's index, by the owner
func (d *Device) nvUndefineSpace(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	h := c.handles[1]
	x := d.perm.nv.indices[h]
	if x.has(tcg.TPMANVPolicyDelete) {
		return tcg.TPMRCAttributes.H(2)
	}
	if x.has(tcg.TPMANVPlatformCreate) && c.handles[0] != tcg.TPMRHPlatform {
		return tcg.TPMRCNVAuthorization
	}
	d.perm.nv.remove(h)
	return nil
}

// nvUndefineSpaceSpecial is TPM2_NV_UndefineSpaceSpecial.
//
//	TPM_RC_ATTRIBUTES  the index is not one that its policy may delete
func (d *Device) nvUndefineSpaceSpecial(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	h := c.handles[0]
	if !d.perm.nv.indices[h].has(tcg.TPMANVPolicyDelete) {
		return tcg.TPMRCAttributes.H(1)
	}
	d.perm.nv.remove(h)
	// The index's authorization value went with it (Part 3, 31.5).
	c.sessions[0].includeAuth = false
	return nil
}

// nvReadPublic is TPM2_NV_ReadPublic.
func (d *Device) nvReadPublic(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	x := d.perm.nv.indices[c.handles[0]]
	c.out.Nested(x.public.Marshal)
	c.out.Sized(x.name())
	return nil
}

// nvWrite is TPM2_NV_Write.
//
//	TPM_RC_ATTRIBUTES        the index is of another type
//	TPM_RC_NV_AUTHORIZATION  not the right authorization for a write
//	TPM_RC_NV_LOCKED         the index is locked
//	TPM_RC_NV_RANGE          beyond the index's data, or not all of it where
//	                         only that is allowed
//	TPM_RC_VALUE             offset beyond the index's data
func (d *Device) nvWrite(c *call) error {
	r := c.reader()
	data := r.next().MaxNVBuffer()
	offset := r.next().Uint16()
	if err := r.end(); err != nil {
		return err
	}
	x := d.perm.nv.indices[c.handles[1]]
	if rc := x.writable(c.handles[0]); rc != tcg.TPMRCSuccess {
		return rc
	}
	switch x.kind() {
	case tcg.TPMNTCounter, tcg.TPMNTBits, tcg.TPMNTExtend:
		return tcg.TPMRCAttributes
	}
	size := int(x.public.DataSize)
	if int(offset) > size {
		return tcg.TPMRCValue.P(2)
	}
	if len(data) > size-int(offset) || x.has(tcg.TPMANVWriteAll) && len(data) < size {
		return tcg.TPMRCNVRange
	}
	copy(x.data[offset:], data)
	d.nvWritten(x)
	return nil
}

// nvWritten records that x has data.
func (d *Device) nvWritten(x *nvIndex) {
	if !x.written() {
		x.setAttributes(x.public.Attributes | tcg.TPMANVWritten)
	}
}

// nvIncrement is TPM2_NV_Increment.
//
//	TPM_RC_ATTRIBUTES        the index is not a counter
//	TPM_RC_NV_AUTHORIZATION, TPM_RC_NV_LOCKED  see nvWrite
func (d *Device) nvIncrement(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	x := d.perm.nv.indices[c.handles[1]]
	if rc := x.writable(c.handles[0]); rc != tcg.TPMRCSuccess {
		return rc
	}
	if x.kind() != tcg.TPMNTCounter {
		return tcg.TPMRCAttributes.H(2)
	}
	v := x.number()
	first := !x.written()
	if first {
		v = d.perm.nv.maxCounter // of those that were deleted (Part 3, 31.2)
	}
	v++
	x.setNumber(v)
	d.nvWritten(x)
	if x.has(tcg.TPMANVOrderly) && (first || v&orderlyCount == 0) {
		x.saved = append(x.saved[:0], x.data...)
	}
	return nil
}

// nvExtend is TPM2_NV_Extend. Response codes are those of nvIncrement.
func (d *Device) nvExtend(c *call) error {
	r := c.reader()
	data := r.next().MaxNVBuffer()
	if err := r.end(); err != nil {
		return err
	}
	x := d.perm.nv.indices[c.handles[1]]
	if rc := x.writable(c.handles[0]); rc != tcg.TPMRCSuccess {
		return rc
	}
	if x.kind() != tcg.TPMNTExtend {
		return tcg.TPMRCAttributes.H(2)
	}
	old := x.data
	if !x.written() {
		old = make([]byte, len(x.data))
	}
	x.data = digest(x.public.NameAlg, old, data)
	d.nvWritten(x)
	return nil
}

// nvSetBits is TPM2_NV_SetBits. Response codes are those of nvIncrement.
func (d *Device) nvSetBits(c *call) error {
	r := c.reader()
	bits := r.next().Uint64()
	if err := r.end(); err != nil {
		return err
	}
	x := d.perm.nv.indices[c.handles[1]]
	if rc := x.writable(c.handles[0]); rc != tcg.TPMRCSuccess {
		return rc
	}
	if x.kind() != tcg.TPMNTBits {
		return tcg.TPMRCAttributes.H(2)
	}
	old := uint64(0)
	if x.written() {
		old = x.number()
	}
	x.setNumber(old | uint64(bits))
	d.nvWritten(x)
	return nil
}

// nvWriteLock is TPM2_NV_WriteLock.
//
//	TPM_RC_ATTRIBUTES        the index cannot be locked
//	TPM_RC_NV_AUTHORIZATION  not the right authorization for a write
func (d *Device) nvWriteLock(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	x := d.perm.nv.indices[c.handles[1]]
	switch rc := x.writable(c.handles[0]); rc {
	case tcg.TPMRCSuccess:
	case tcg.TPMRCNVLocked:
		return nil // locked already
	default:
		return rc
	}
	if !x.has(tcg.TPMANVWriteDefine) && !x.has(tcg.TPMANVWriteSTClear) {
		return tcg.TPMRCAttributes.H(2)
	}
	x.setAttributes(x.public.Attributes | tcg.TPMANVWriteLocked)
	return nil
}

// nvGlobalWriteLock is TPM2_NV_GlobalWriteLock.
func (d *Device) nvGlobalWriteLock(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	for _, x := range d.perm.nv.indices {
		if x.has(tcg.TPMANVGlobalLock) {
			x.setAttributes(x.public.Attributes | tcg.TPMANVWriteLocked)
		}
	}
	return nil
}

// nvRead is TPM2_NV_Read.
//
//	TPM_RC_NV_AUTHORIZATION  not the right authorization for a read
//	TPM_RC_NV_LOCKED         the index is locked
//	TPM_RC_NV_RANGE          beyond the index's data
//	TPM_RC_NV_UNINITIALIZED  nothing was written
//	TPM_RC_VALUE             more than a response holds, or offset beyond the data
func (d *Device) nvRead(c *call) error {
	r := c.reader()
	size := r.next().Uint16()
	offset := r.next().Uint16()
	if err := r.end(); err != nil {
		return err
	}
	x := d.perm.nv.indices[c.handles[1]]
	if rc := x.readable(c.handles[0]); rc != tcg.TPMRCSuccess {
		return rc
	}
	if size > maxNVBuffer {
		return tcg.TPMRCValue.P(1)
	}
	if int(offset) > len(x.data) {
		return tcg.TPMRCValue.P(2)
	}
	if int(size) > len(x.data)-int(offset) {
		return tcg.TPMRCNVRange
	}
	c.out.Sized(x.data[offset:][:size])
	return nil
}

// nvReadLock is TPM2_NV_ReadLock.
//
//	TPM_RC_ATTRIBUTES        the index cannot be locked
//	TPM_RC_NV_AUTHORIZATION  not the right authorization for a read
func (d *Device) nvReadLock(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	x := d.perm.nv.indices[c.handles[1]]
	switch rc := x.readable(c.handles[0]); rc {
	case tcg.TPMRCSuccess, tcg.TPMRCNVUninitialized:
	case tcg.TPMRCNVLocked:
		return nil // locked already
	default:
		return rc
	}
	if !x.has(tcg.TPMANVReadSTClear) {
		return tcg.TPMRCAttributes.H(2)
	}
	x.setAttributes(x.public.Attributes | tcg.TPMANVReadLocked)
	return nil
}

// nvChangeAuth is TPM2_NV_ChangeAuth.
//
//	TPM_RC_SIZE  newAuth is longer than the index's nameAlg
func (d *Device) nvChangeAuth(c *call) error {
	r := c.reader()
	auth := r.next().Digest()
	if err := r.end(); err != nil {
		return err
	}
	x := d.perm.nv.indices[c.handles[0]]
	v := tcg.TrimAuth(auth)
	if len(v) > hashSize(x.public.NameAlg) {
		return tcg.TPMRCSize.P(1)
	}
	x.auth = bytes.Clone(v)
	return nil
}
