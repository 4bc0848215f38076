package vtpm

import (
	"bytes"

	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Part 3, section 28 - Context Management.
var contextCommands = commandTable{
	tcg.TPMCCContextSave:  (*Device).contextSave,
	tcg.TPMCCContextLoad:  (*Device).contextLoad,
	tcg.TPMCCFlushContext: (*Device).flushContext,
	tcg.TPMCCEvictControl: (*Device).evictControl,
}

// savedHandle is the handle field of a saved object context (Part 2,
// "TPMS_CONTEXT"): an ordinary object, a sequence, or one with stClear.
const (
	savedObject   tcg.TPMHandle = 0x80000000
	savedSequence tcg.TPMHandle = 0x80000001
	savedSTClear  tcg.TPMHandle = 0x80000002
)

// contextSave is TPM2_ContextSave.
//
//	TPM_RC_CONTEXT_GAP       a session cannot be saved: the oldest is too old
//	TPM_RC_TOO_MANY_CONTEXTS the counter is at its end
func (d *Device) contextSave(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	h := c.handles[0]
	var ctx tcg.TPMSContext
	var plain tcg.Writer
	if s := d.session(h); s != nil {
		slot := slotOf(h)
		var rc tcg.TPMRC
		if ctx.Sequence, rc = d.reset.contexts.save(slot); rc != tcg.TPMRCSuccess {
			return rc
		}
		ctx.SavedHandle, ctx.Hierarchy = h, tcg.TPMRHNull
		s.encode(&plain)
		d.flushed = append(d.flushed, s)
		d.vol.sessions[slot] = nil
	} else {
		o := d.object(h)
		d.reset.objectContextID++
		ctx.Sequence = d.reset.objectContextID
		ctx.Hierarchy = o.hierarchy
		ctx.SavedHandle = savedObject
		switch {
		case o.seq != nil:
			ctx.SavedHandle = savedSequence
		case o.stClear:
			ctx.SavedHandle = savedSTClear
		}
		o.encode(&plain)
	}
	defer tpmcrypto.Zero(plain.B)
	ctx.ContextBlob = d.sealContext(&ctx, plain.B)
	if len(ctx.ContextBlob) > tcg.MaxContextSize {
		return tcg.TPMRCSize
	}
	ctx.Marshal(&c.out)
	return nil
}

// contextKeys derives the keys that protect a context from the hierarchy's
// proof (Part 1, "Context Confidentiality Protection"). The proof of another
// power cycle does not open what must not outlive it: stateReset has the null
// proof, and stClear objects and sessions are bound to clearCount.
func (d *Device) contextKeys(ctx *tcg.TPMSContext) (key, iv []byte) {
	proof := d.hierarchies().Proof(ctx.Hierarchy)
	var w tcg.Writer
	w.Uint64(d.perm.totalResetCount) // each TPM Reset begins the sequence numbers anew
	w.Uint64(ctx.Sequence)
	k := tpmcrypto.KDFa(contextHash, proof, "CONTEXT", w.B, ctx.SavedHandle.Bytes(), 8*(32+16))
	return k[:32], k[32:]
}

// contextMAC binds a context to what must be unchanged when it is loaded.
func (d *Device) contextMAC(ctx *tcg.TPMSContext, body []byte) []byte {
	var w tcg.Writer
	w.Uint64(d.perm.totalResetCount)
	if ctx.SavedHandle == savedSTClear {
		w.Uint32(d.perm.clearCount)
		w.Uint32(d.reset.restartCount)
	}
	w.Uint64(ctx.Sequence)
	w.Uint32(uint32(ctx.SavedHandle))
	return hmacSum(contextHash, d.hierarchies().Proof(ctx.Hierarchy), w.B, body)
}

func (d *Device) sealContext(ctx *tcg.TPMSContext, plain []byte) []byte {
	key, iv := d.contextKeys(ctx)
	defer tpmcrypto.Zero(key)
	body := bytes.Clone(plain)
	cfb(tcg.TPMAlgAES, key, iv, body, true)
	var w tcg.Writer
	w.Sized(d.contextMAC(ctx, body))
	w.Bytes(body)
	return w.B
}

func (d *Device) openContext(ctx *tcg.TPMSContext) ([]byte, tcg.TPMRC) {
	r := tcg.NewReader(ctx.ContextBlob, nil)
	mac := r.Sized(tcg.MaxDigestSize)
	if rc := r.Err(); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	body := r.Rest()
	if !tpmcrypto.Equal(mac, d.contextMAC(ctx, body)) {
		return nil, tcg.TPMRCIntegrity
	}
	plain := bytes.Clone(body)
	key, iv := d.contextKeys(ctx)
	defer tpmcrypto.Zero(key)
	cfb(tcg.TPMAlgAES, key, iv, plain, false)
	return plain, tcg.TPMRCSuccess
}

// contextLoad is TPM2_ContextLoad. Some clients send an object's context in a
// buffer of the largest size (TPM_PT_MAX_OBJECT_CONTEXT), the rest of it zero.
//
//	TPM_RC_INTEGRITY       the blob is not one that this TPM saved since its reset
//	TPM_RC_HANDLE          a session context that was loaded or flushed since
//	TPM_RC_HIERARCHY       the hierarchy is disabled
//	TPM_RC_OBJECT_MEMORY, TPM_RC_SESSION_MEMORY  no free slot
func (d *Device) contextLoad(c *call) error {
	r := c.reader()
	var ctx tcg.TPMSContext
	ctx.Unmarshal(r.next())
	isSession := ctx.SavedHandle.IsSession()
	if !isSession && len(c.params) == maxObjectContext && r.Err() == tcg.TPMRCSuccess {
		if rest := r.Rest(); len(tcg.TrimAuth(rest)) != 0 {
			return tcg.TPMRCSize
		}
	}
	if err := r.end(); err != nil {
		return err
	}
	if isSession {
		if ctx.Hierarchy != tcg.TPMRHNull {
			return tcg.TPMRCIntegrity.P(1)
		}
		if d.reset.contexts.saved(slotOf(ctx.SavedHandle)) == 0 {
			return tcg.TPMRCHandle.P(1)
		}
	}
	if !d.hierarchies().Enabled(ctx.Hierarchy) {
		return tcg.TPMRCHierarchy.P(1)
	}
	plain, rc := d.openContext(&ctx)
	if rc != tcg.TPMRCSuccess {
		return rc.P(1)
	}
	defer tpmcrypto.Zero(plain)
	in := tcg.NewReader(plain, d.profile)
	if isSession {
		slot := slotOf(ctx.SavedHandle)
		if d.reset.contexts.saved(slot) != ctx.Sequence {
			return tcg.TPMRCHandle.P(1)
		}
		if d.vol.sessions.count() >= maxLoadedSessions {
			return tcg.TPMRCSessionMemory
		}
		s := decodeSession(&in, volatileVersion)
		if in.Err() != tcg.TPMRCSuccess || s.handle != ctx.SavedHandle {
			return tcg.TPMRCIntegrity.P(1)
		}
		d.vol.sessions[slot] = s
		d.reset.contexts.load(slot)
		c.outHandle = s.handle
		return nil
	}
	o := decodeObject(&in)
	if in.Err() != tcg.TPMRCSuccess || o.hierarchy != ctx.Hierarchy {
		return tcg.TPMRCIntegrity.P(1)
	}
	if c.outHandle, rc = d.vol.objects.add(o); rc != tcg.TPMRCSuccess {
		return rc
	}
	return nil
}

// flushContext is TPM2_FlushContext. Of a session's handle the type does not
// matter.
//
//	TPM_RC_HANDLE  nothing is loaded or saved with that handle
func (d *Device) flushContext(c *call) error {
	r := c.reader()
	h := r.next().Handle(tcg.TPMIDHContext)
	if err := r.end(); err != nil {
		return err
	}
	handle := tcg.TPMHandle(h)
	if handle.IsSession() {
		slot := slotOf(handle)
		if !d.reset.contexts.used(slot) {
			return tcg.TPMRCHandle.P(1)
		}
		if s := d.vol.sessions[slot]; s != nil {
			d.flushSession(s)
		} else {
			d.reset.contexts.release(slot)
			if d.vol.exclusive == handle {
				d.vol.exclusive = 0
			}
		}
		return nil
	}
	if d.objectOrNil(handle) == nil {
		return tcg.TPMRCHandle.P(1)
	}
	d.flushObject(handle)
	return nil
}

// evictControl is TPM2_EvictControl. Since version 1.85 an object may be
// persistent of which only the public part is loaded.
//
//	TPM_RC_ATTRIBUTES   stClear object, one of the null or a limited hierarchy, or
//	                    one without a Name
//	TPM_RC_HIERARCHY    the object is of a hierarchy that auth does not control
//	TPM_RC_HANDLE       a persistent object to be removed has another handle
//	TPM_RC_RANGE        the handle is outside the range of the hierarchy
//	TPM_RC_NV_DEFINED   the handle is in use
//	TPM_RC_NV_SPACE     no room
func (d *Device) evictControl(c *call) error {
	r := c.reader()
	persistent := r.next().Handle(tcg.TPMIDHPersistent)
	if err := r.end(); err != nil {
		return err
	}
	auth, h := c.handles[0], c.handles[1]
	target := tcg.TPMHandle(persistent)
	o := d.object(h)
	if o.seq != nil || o.hierarchy == tcg.TPMRHNull || hierarchy.IsLimited(o.hierarchy) {
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
		delete(d.perm.objects, h)
		o.wipe()
		return nil
	}
	if o.stClear || !o.hasName() {
		return tcg.TPMRCAttributes.H(2)
	}
	if auth == tcg.TPMRHPlatform != (o.hierarchy == tcg.TPMRHPlatform) {
		return tcg.TPMRCHierarchy.H(2)
	}
	// The upper half of the range is the platform's (Part 2, "Persistent
	// Handles").
	if (target >= 0x81800000) != (auth == tcg.TPMRHPlatform) {
		return tcg.TPMRCRange.P(1)
	}
	if d.perm.objects[target] != nil {
		return tcg.TPMRCNVDefined
	}
	if len(d.perm.objects) >= maxPersistentObjects {
		return tcg.TPMRCNVSpace
	}
	copied := o.clone()
	copied.evictHandle = target
	d.perm.objects[target] = copied
	return nil
}
