package command

import (
	"bytes"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// savedHandle is the handle field of a saved object context (Part 2,
// "TPMS_CONTEXT"): an ordinary object, a sequence, or one with stClear.
const (
	savedObject   tcg.TPMHandle = 0x80000000
	savedSequence tcg.TPMHandle = 0x80000001
	savedSTClear  tcg.TPMHandle = 0x80000002
)

// contextSave is TPM2_ContextSave, which returns an object, sequence or session
// encrypted, to be loaded again. The sequence number has 64 bits, so that there
// is no TPM_RC_TOO_MANY_CONTEXTS.
//
//	TPM_RC_CONTEXT_GAP  a session cannot be saved: the oldest is too old
func contextSave(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	h := c.Handles[0]
	var ctx tcg.TPMSContext
	var plain tcg.Writer
	if s := d.Session(h); s != nil {
		slot := session.Slot(h)
		var rc tcg.TPMRC
		if ctx.Sequence, rc = d.Reset.Contexts.Save(slot); rc != tcg.TPMRCSuccess {
			return rc
		}
		ctx.SavedHandle, ctx.Hierarchy = h, tcg.TPMRHNull
		s.Encode(&plain)
		d.Flushed = append(d.Flushed, s)
		d.Vol.Sessions[slot] = nil
	} else {
		o := d.Object(h)
		d.Reset.ObjectContextID++
		ctx.Sequence = d.Reset.ObjectContextID
		ctx.Hierarchy = o.Hierarchy
		ctx.SavedHandle = savedObject
		switch {
		case o.Seq != nil:
			ctx.SavedHandle = savedSequence
		case o.StClear:
			ctx.SavedHandle = savedSTClear
		}
		o.Encode(&plain)
	}
	defer tpmcrypto.Zero(plain.B)
	ctx.ContextBlob = sealContext(d, &ctx, plain.B)
	if len(ctx.ContextBlob) > tcg.MaxContextSize {
		return tcg.TPMRCSize
	}
	ctx.Marshal(&c.Out)
	return nil
}

// contextKeys derives the keys that protect a context from the hierarchy's
// proof (Part 1, "Context Confidentiality Protection"). The proof of another
// power cycle does not open what must not outlive it: engine.StateReset has the null
// proof, and stClear objects and sessions are bound to clearCount.
func contextKeys(d *engine.Device, ctx *tcg.TPMSContext) (key, iv []byte) {
	proof := d.Hierarchies().Proof(ctx.Hierarchy)
	var w tcg.Writer
	w.Uint64(d.Perm.TotalResetCount) // each TPM Reset begins the sequence numbers again
	w.Uint64(ctx.Sequence)
	k := tpmcrypto.KDFa(engine.ContextHash, proof, "CONTEXT", w.B, ctx.SavedHandle.Bytes(), 8*(32+16))
	return k[:32], k[32:]
}

// contextMAC binds a context to what must be unchanged when it is loaded. One with
// stClear must not outlive a TPM Restart (Part 2, 8.3.3.3). restartCount, which
// stands for that here, rises at a TPM Resume too, so that a resume ends it as well.
func contextMAC(d *engine.Device, ctx *tcg.TPMSContext, body []byte) []byte {
	var w tcg.Writer
	w.Uint64(d.Perm.TotalResetCount)
	if ctx.SavedHandle == savedSTClear {
		w.Uint32(d.Perm.ClearCount)
		w.Uint32(d.Reset.RestartCount)
	}
	w.Uint64(ctx.Sequence)
	w.Uint32(uint32(ctx.SavedHandle))
	return tpmcrypto.MAC(engine.ContextHash, d.Hierarchies().Proof(ctx.Hierarchy), w.B, body)
}

func sealContext(d *engine.Device, ctx *tcg.TPMSContext, plain []byte) []byte {
	key, iv := contextKeys(d, ctx)
	defer tpmcrypto.Zero(key)
	body := bytes.Clone(plain)
	tpmcrypto.MustCFB(tcg.TPMAlgAES, key, iv, body, true)
	var w tcg.Writer
	w.Sized(contextMAC(d, ctx, body))
	w.Bytes(body)
	return w.B
}

func openContext(d *engine.Device, ctx *tcg.TPMSContext) ([]byte, tcg.TPMRC) {
	r := tcg.NewReader(ctx.ContextBlob, nil)
	mac := r.Sized(tcg.MaxDigestSize)
	if rc := r.Err(); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	body := r.Rest()
	if !tpmcrypto.Equal(mac, contextMAC(d, ctx, body)) {
		return nil, tcg.TPMRCIntegrity
	}
	plain := bytes.Clone(body)
	key, iv := contextKeys(d, ctx)
	defer tpmcrypto.Zero(key)
	tpmcrypto.MustCFB(tcg.TPMAlgAES, key, iv, plain, false)
	return plain, tcg.TPMRCSuccess
}

// contextLoad is TPM2_ContextLoad, which loads an object, sequence or session
// that TPM2_ContextSave returned. Some clients send an object's context in a
// buffer of the largest size (TPM_PT_MAX_OBJECT_CONTEXT), the rest of it zero.
//
//	TPM_RC_INTEGRITY       the blob is not one that this TPM saved since its reset
//	TPM_RC_HANDLE          a session context that was loaded or flushed since
//	TPM_RC_HIERARCHY       the hierarchy is disabled
//	TPM_RC_OBJECT_MEMORY, TPM_RC_SESSION_MEMORY  no free slot
func contextLoad(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	var ctx tcg.TPMSContext
	ctx.Unmarshal(r.Next())
	isSession := ctx.SavedHandle.IsSession()
	if !isSession && len(c.Params) == objectContextSize(d) && r.Err() == tcg.TPMRCSuccess {
		if rest := r.Rest(); len(tcg.TrimAuth(rest)) != 0 {
			return tcg.TPMRCSize
		}
	}
	if err := r.End(); err != nil {
		return err
	}
	if isSession {
		if ctx.Hierarchy != tcg.TPMRHNull {
			return tcg.TPMRCIntegrity.P(1)
		}
		if d.Reset.Contexts.Saved(session.Slot(ctx.SavedHandle)) == 0 {
			return tcg.TPMRCHandle.P(1)
		}
	}
	if !d.Hierarchies().Enabled(ctx.Hierarchy) {
		return tcg.TPMRCHierarchy.P(1)
	}
	plain, rc := openContext(d, &ctx)
	if rc != tcg.TPMRCSuccess {
		return rc.P(1)
	}
	defer tpmcrypto.Zero(plain)
	in := tcg.NewReader(plain, d.Profile)
	if isSession {
		slot := session.Slot(ctx.SavedHandle)
		if d.Reset.Contexts.Saved(slot) != ctx.Sequence {
			return tcg.TPMRCHandle.P(1)
		}
		if d.Vol.Sessions.Count() >= session.MaxLoaded {
			return tcg.TPMRCSessionMemory
		}
		s := session.Decode(&in, engine.VolatileVersion)
		if in.Err() != tcg.TPMRCSuccess || s.Handle != ctx.SavedHandle {
			return tcg.TPMRCIntegrity.P(1)
		}
		d.Vol.Sessions[slot] = s
		d.Reset.Contexts.Load(slot)
		c.OutHandle = s.Handle
		return nil
	}
	o := object.Decode(&in)
	if in.Err() != tcg.TPMRCSuccess || o.Hierarchy != ctx.Hierarchy {
		return tcg.TPMRCIntegrity.P(1)
	}
	if c.OutHandle, rc = d.Vol.Objects.Add(o); rc != tcg.TPMRCSuccess {
		return rc
	}
	return nil
}

// flushContext is TPM2_FlushContext, which removes a transient object or a
// session from memory. Of a session's handle the type does not matter.
//
//	TPM_RC_HANDLE  nothing is loaded or saved with that handle
func flushContext(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	h := r.Next().Handle(tcg.TPMIDHContext)
	if err := r.End(); err != nil {
		return err
	}
	handle := tcg.TPMHandle(h)
	if handle.IsSession() {
		slot := session.Slot(handle)
		if !d.Reset.Contexts.Used(slot) {
			return tcg.TPMRCHandle.P(1)
		}
		if s := d.Vol.Sessions[slot]; s != nil {
			d.FlushSession(s)
		} else {
			d.Reset.Contexts.Release(slot)
			if d.Vol.Exclusive == handle {
				d.Vol.Exclusive = 0
			}
		}
		return nil
	}
	if d.ObjectOrNil(handle) == nil {
		return tcg.TPMRCHandle.P(1)
	}
	d.FlushObject(handle)
	return nil
}

// evictControl is TPM2_EvictControl, which makes a transient object persistent,
// or removes a persistent one. Since version 1.85 an object may be persistent
// of which only the public part is loaded.
//
//	TPM_RC_ATTRIBUTES   stClear object, one of the null or a limited hierarchy, or
//	                    one without a Name
//	TPM_RC_HIERARCHY    the object is of a hierarchy that auth does not control
//	TPM_RC_HANDLE       a persistent object to be removed has another handle
//	TPM_RC_RANGE        the handle is outside the range of the hierarchy
//	TPM_RC_NV_DEFINED   the handle is in use
//	TPM_RC_NV_SPACE     no room
func evictControl(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	persistent := r.Next().Handle(tcg.TPMIDHPersistent)
	if err := r.End(); err != nil {
		return err
	}
	auth, h := c.Handles[0], c.Handles[1]
	target := tcg.TPMHandle(persistent)
	o := d.Object(h)
	if o.Seq != nil || o.Hierarchy == tcg.TPMRHNull || hierarchy.IsLimited(o.Hierarchy) {
		return tcg.TPMRCAttributes.H(2)
	}
	if h.Type() == tcg.TPMHTPersistent {
		// The platform may evict any object, the owner those of its range.
		if auth == tcg.TPMRHOwner && h >= 0x81800000 {
			return tcg.TPMRCRange.H(2)
		}
		if h != target {
			return tcg.TPMRCHandle.H(2)
		}
		delete(d.Perm.Objects, h)
		o.Wipe()
		return nil
	}
	if o.StClear || !o.HasName() {
		return tcg.TPMRCAttributes.H(2)
	}
	if auth == tcg.TPMRHPlatform != (o.Hierarchy == tcg.TPMRHPlatform) {
		return tcg.TPMRCHierarchy.H(2)
	}
	// The upper half of the range is the platform's (Part 2, "Persistent
	// Handles").
	if (target >= 0x81800000) != (auth == tcg.TPMRHPlatform) {
		return tcg.TPMRCRange.P(1)
	}
	if d.Perm.Objects[target] != nil {
		return tcg.TPMRCNVDefined
	}
	if d.PersistentUnits()+o.Units() > object.MaxPersistentObjects {
		return tcg.TPMRCNVSpace
	}
	copied := o.Clone()
	copied.EvictHandle = target
	d.Perm.Objects[target] = copied
	return nil
}
