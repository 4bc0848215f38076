package command

import (
	"bytes"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// nvWrite is TPM2_NV_Write, which writes data of an NV index. See attest for what a
// write of AskIndex does.
//
//	TPM_RC_ATTRIBUTES        the index is of another type
//	TPM_RC_NV_AUTHORIZATION  not the right authorization for a write
//	TPM_RC_NV_LOCKED         the index is locked
//	TPM_RC_NV_RANGE          beyond the index's data, or not all of it where
//	                         only that is allowed
//	TPM_RC_VALUE             offset beyond the index's data
func nvWrite(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().MaxNVBuffer()
	offset := r.Next().Uint16()
	if err := r.End(); err != nil {
		return err
	}
	x := d.Index(c.Handles[1])
	if rc := x.Writable(c.Handles[0]); rc != tcg.TPMRCSuccess {
		return rc
	}
	switch x.Kind() {
	case tcg.TPMNTCounter, tcg.TPMNTBits, tcg.TPMNTExtend:
		return tcg.TPMRCAttributes
	}
	size := int(x.Public.DataSize)
	if int(offset) > size {
		return tcg.TPMRCValue.P(2)
	}
	if len(data) > size-int(offset) || x.Has(tcg.TPMANVWriteAll) && len(data) < size {
		return tcg.TPMRCNVRange
	}
	if c.Handles[1] == engine.AskIndex {
		return attest(d, data, offset)
	}
	copy(x.Data[offset:], data)
	nvWritten(x)
	return nil
}

// nvWritten records that x has data.
func nvWritten(x *nv.Index) {
	if !x.Written() {
		x.SetAttributes(x.Public.Attributes | tcg.TPMANVWritten)
	}
}

// nvIncrement is TPM2_NV_Increment, which increments an NV counter.
//
//	TPM_RC_ATTRIBUTES        the index is not a counter
//	TPM_RC_NV_AUTHORIZATION, TPM_RC_NV_LOCKED  see nvWrite
func nvIncrement(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	x := d.Index(c.Handles[1])
	if rc := x.Writable(c.Handles[0]); rc != tcg.TPMRCSuccess {
		return rc
	}
	if x.Kind() != tcg.TPMNTCounter {
		return tcg.TPMRCAttributes.H(2)
	}
	v := x.Number()
	first := !x.Written()
	if first {
		v = d.Perm.NV.MaxCounter // of those that were deleted (Part 3, 31.2)
	}
	v++
	x.SetNumber(v)
	nvWritten(x)
	if x.Has(tcg.TPMANVOrderly) && (first || v&nv.OrderlyCount == 0) {
		x.Saved = append(x.Saved[:0], x.Data...)
	}
	return nil
}

// nvExtend is TPM2_NV_Extend, which extends the digest in an NV index. Response
// codes are those of nvIncrement.
func nvExtend(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().MaxNVBuffer()
	if err := r.End(); err != nil {
		return err
	}
	x := d.Index(c.Handles[1])
	if rc := x.Writable(c.Handles[0]); rc != tcg.TPMRCSuccess {
		return rc
	}
	if x.Kind() != tcg.TPMNTExtend {
		return tcg.TPMRCAttributes.H(2)
	}
	old := x.Data
	if !x.Written() {
		old = make([]byte, len(x.Data))
	}
	x.Data = tpmcrypto.Digest(x.Public.NameAlg, old, data)
	nvWritten(x)
	return nil
}

// nvSetBits is TPM2_NV_SetBits, which sets bits of an NV bit field. Response
// codes are those of nvIncrement.
func nvSetBits(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	bits := r.Next().Uint64()
	if err := r.End(); err != nil {
		return err
	}
	x := d.Index(c.Handles[1])
	if rc := x.Writable(c.Handles[0]); rc != tcg.TPMRCSuccess {
		return rc
	}
	if x.Kind() != tcg.TPMNTBits {
		return tcg.TPMRCAttributes.H(2)
	}
	old := uint64(0)
	if x.Written() {
		old = x.Number()
	}
	x.SetNumber(old | uint64(bits))
	nvWritten(x)
	return nil
}

// nvWriteLock is TPM2_NV_WriteLock, which forbids writing of an NV index.
//
//	TPM_RC_ATTRIBUTES        the index cannot be locked
//	TPM_RC_NV_AUTHORIZATION  not the right authorization for a write
func nvWriteLock(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	x := d.Index(c.Handles[1])
	switch rc := x.Writable(c.Handles[0]); rc {
	case tcg.TPMRCSuccess:
	case tcg.TPMRCNVLocked:
		return nil // locked already
	default:
		return rc
	}
	if !x.Has(tcg.TPMANVWriteDefine) && !x.Has(tcg.TPMANVWriteSTClear) {
		return tcg.TPMRCAttributes.H(2)
	}
	x.SetAttributes(x.Public.Attributes | tcg.TPMANVWriteLocked)
	return nil
}

// nvGlobalWriteLock is TPM2_NV_GlobalWriteLock, which locks all NV indices that
// have TPMA_NV_GLOBALLOCK until the next start.
func nvGlobalWriteLock(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	for _, x := range d.Perm.NV.Indices {
		if x.Has(tcg.TPMANVGlobalLock) {
			x.SetAttributes(x.Public.Attributes | tcg.TPMANVWriteLocked)
		}
	}
	return nil
}

// nvRead is TPM2_NV_Read, which returns data of an NV index.
//
//	TPM_RC_NV_AUTHORIZATION  not the right authorization for a read
//	TPM_RC_NV_LOCKED         the index is locked
//	TPM_RC_NV_RANGE          beyond the index's data
//	TPM_RC_NV_UNINITIALIZED  nothing was written
//	TPM_RC_VALUE             more than a response holds, or offset beyond the data
func nvRead(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	size := r.Next().Uint16()
	offset := r.Next().Uint16()
	if err := r.End(); err != nil {
		return err
	}
	x := d.Index(c.Handles[1])
	if rc := x.Readable(c.Handles[0]); rc != tcg.TPMRCSuccess {
		return rc
	}
	if size > nv.MaxBuffer {
		return tcg.TPMRCValue.P(1)
	}
	if int(offset) > len(x.Data) {
		return tcg.TPMRCValue.P(2)
	}
	if int(size) > len(x.Data)-int(offset) {
		return tcg.TPMRCNVRange
	}
	c.Out.Sized(x.Data[offset:][:size])
	return nil
}

// nvReadLock is TPM2_NV_ReadLock, which forbids reading of an NV index until
// the next start.
//
//	TPM_RC_ATTRIBUTES        the index cannot be locked
//	TPM_RC_NV_AUTHORIZATION  not the right authorization for a read
func nvReadLock(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	x := d.Index(c.Handles[1])
	switch rc := x.Readable(c.Handles[0]); rc {
	case tcg.TPMRCSuccess, tcg.TPMRCNVUninitialized:
	case tcg.TPMRCNVLocked:
		return nil // locked already
	default:
		return rc
	}
	if !x.Has(tcg.TPMANVReadSTClear) {
		return tcg.TPMRCAttributes.H(2)
	}
	x.SetAttributes(x.Public.Attributes | tcg.TPMANVReadLocked)
	return nil
}

// nvChangeAuth is TPM2_NV_ChangeAuth, which sets the authorization value of an
// NV index.
//
//	TPM_RC_SIZE  newAuth is longer than the index's nameAlg
func nvChangeAuth(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	auth := r.Next().Digest()
	if err := r.End(); err != nil {
		return err
	}
	x := d.Index(c.Handles[0])
	v := tcg.TrimAuth(auth)
	if len(v) > tpmcrypto.MustSize(x.Public.NameAlg) {
		return tcg.TPMRCSize.P(1)
	}
	x.Auth = bytes.Clone(v)
	return nil
}
