package command_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// save is the context of an object or session, as TPM2_ContextSave returns it.
func save(tpm *tpmtest.TPM, h tcg.TPMHandle) tpmtest.Raw {
	return tpmtest.Raw(bytes.Clone(tpm.Do(tcg.TPMCCContextSave, handles{h}, nil).Params))
}

// TestContextOfObject: it can be loaded as often as wanted, is what was saved, and
// a TPM Reset ends it (Part 3, 28.2 and 28.3).
func TestContextOfObject(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key := tpm.Primary(owner, tpmtest.ECC(sign), none)
	context := save(tpm, key.Handle)
	tpm.Flush(key.Handle)
	for range 2 {
		h := tpm.Do(tcg.TPMCCContextLoad, nil, nil, context).Handle
		if !bytes.Equal(tpm.Name(h), key.Name) {
			t.Error("another object was loaded")
		}
	}
	for what, c := range map[string]struct {
		goes func(*tpmtest.TPM)
		rc   tcg.TPMRC
	}{
		"a restart": {(*tpmtest.TPM).Restart, 0},
		"a resume":  {(*tpmtest.TPM).Resume, 0},
		"a reset":   {(*tpmtest.TPM).Reset, tcg.TPMRCIntegrity.P(1)},
	} {
		f := tpm.Fork()
		c.goes(f)
		if rc := f.Run(tcg.TPMCCContextLoad, nil, nil, context).Code; rc != c.rc {
			t.Errorf("after %s: %v, not %v", what, rc, c.rc)
		}
	}
	// Each byte is protected.
	for i := range context {
		bad := bytes.Clone(context)
		bad[i] ^= 1
		r := tpm.Fork().Run(tcg.TPMCCContextLoad, nil, nil, tpmtest.Raw(bad))
		if r.Code == tcg.TPMRCSuccess {
			t.Errorf("loaded with byte %d changed", i)
		}
	}
}

// TestContextOfStClear: the context of a key with stClear does not outlive a
// restart.
func TestContextOfStClear(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key := tpm.Primary(owner, tpmtest.ECC(sign|tcg.TPMAObjectSTClear), none)
	context := save(tpm, key.Handle)
	tpm.Flush(tpm.Do(tcg.TPMCCContextLoad, nil, nil, context).Handle)
	tpm.Restart()
	tpm.Want(tcg.TPMRCIntegrity.P(1), tcg.TPMCCContextLoad, nil, nil, context)
}

// TestContextOfSession: it is loaded once, with its handle and its nonce, and
// outlives a resume.
func TestContextOfSession(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	s := tpm.StartSession(tpmtest.SessionParams{})
	context := save(tpm, s.Handle)
	tpm.Want(tcg.TPMRCReferenceS0, tcg.TPMCCClockRateAdjust, handles{owner}, auths{s}, 0)
	tpm.Resume()
	if h := tpm.Do(tcg.TPMCCContextLoad, nil, nil, context).Handle; h != s.Handle {
		t.Errorf("loaded as %#x, not %#x", uint32(h), uint32(s.Handle))
	}
	tpm.Do(tcg.TPMCCClockRateAdjust, handles{owner}, auths{s}, 0)
	tpm.Want(tcg.TPMRCHandle.P(1), tcg.TPMCCContextLoad, nil, nil, context)
	again := save(tpm, s.Handle)
	tpm.Want(tcg.TPMRCHandle.P(1), tcg.TPMCCContextLoad, nil, nil, context)
	tpm.Reset()
	tpm.Want(tcg.TPMRCHandle.P(1), tcg.TPMCCContextLoad, nil, nil, again)
}

func TestContextSaveCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCContextSave)
	c.row(tcg.TPMRCValue.H(1), "a persistent object", handles{0x81000001})
	c.row(tcg.TPMRCReferenceH0, "no such object", handles{0x80000000})
	c.row(tcg.TPMRCReferenceH0, "no such session", handles{0x02000000})
	s := tpm.StartSession(tpmtest.SessionParams{}).Handle
	c.by(tcg.TPMRCAuthContext, "with a session", handles{sequence(tpm)}, auths{tpmtest.Password("")})

	if testing.Short() {
		c.excuse(tcg.TPMRCContextGap, "it takes 130,000 commands, which are not for -short")
		return
	}
	// One session is saved, and another so often that the sequence numbers are too
	// far apart.
	old := tpm.StartSession(tpmtest.SessionParams{}).Handle
	oldest := save(tpm, old)
	saves := 0
	for ; saves < 1<<17; saves++ {
		r := tpm.Run(tcg.TPMCCContextSave, handles{s}, nil)
		if r.Code != tcg.TPMRCSuccess {
			break
		}
		tpm.Do(tcg.TPMCCContextLoad, nil, nil, tpmtest.Raw(r.Params))
	}
	if gap := property(tpm, tcg.TPMPTContextGapMax); uint32(saves) > gap || uint32(saves) < gap-1 {
		t.Errorf("%d saves, and TPM_PT_CONTEXT_GAP_MAX is %d", saves, gap)
	}
	c.row(tcg.TPMRCContextGap, "the oldest is too old", handles{s})
	tpm.Do(tcg.TPMCCContextLoad, nil, nil, oldest)
	c.row(tcg.TPMRCSuccess, "the oldest is loaded", handles{s})
}

func TestContextLoadCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCContextLoad)
	key := tpm.Primary(owner, tpmtest.ECC(sign), none)
	object, session := save(tpm, key.Handle), save(tpm, tpm.StartSession(tpmtest.SessionParams{}).Handle)
	// A TPMS_CONTEXT begins with sequence, savedHandle and hierarchy.
	with := func(context tpmtest.Raw, offset int, v uint32) tpmtest.Raw {
		b := bytes.Clone(context)
		binary.BigEndian.PutUint32(b[offset:], v)
		return tpmtest.Raw(b)
	}
	c.row(tcg.TPMRCIntegrity.P(1), "another sequence number", nil, with(object, 4, 99))
	c.row(tcg.TPMRCIntegrity.P(1), "another kind of object", nil, with(object, 8, 0x80000002))
	c.row(tcg.TPMRCIntegrity.P(1), "another hierarchy", nil, with(object, 12, uint32(endorsement)))
	c.row(tcg.TPMRCIntegrity.P(1), "a session of a hierarchy", nil, with(session, 12, uint32(owner)))
	c.row(tcg.TPMRCValue.P(1), "a kind of object that there is not", nil, with(object, 8, 0x80000003))
	c.row(tcg.TPMRCValue.P(1), "no hierarchy", nil, with(object, 12, 0x80000000))
	c.row(tcg.TPMRCInsufficient.P(1), "it is cut", nil, object[:len(object)-1])
	c.row(tcg.TPMRCSize, "a byte too many", nil, tpmtest.Raw(append(bytes.Clone(object), 0)))
	c.row(tcg.TPMRCHandle.P(1), "a session that is not saved", nil, with(session, 8, 0x02000009))

	for tpm.Run(tcg.TPMCCStartAuthSession, handles{null, null}, nil, nonce, nil, tcg.TPMSEHMAC, nil, tcg.TPMAlgSHA256).Code == tcg.TPMRCSuccess {
	}
	c.row(tcg.TPMRCSessionMemory, "all slots are full", nil, session)
	tpm.Flush(0x03000001)
	c.row(tcg.TPMRCSuccess, "one is free", nil, session)
	c.row(tcg.TPMRCHandle.P(1), "a session that is loaded", nil, session)
	f := c.on(tpm.Fork())
	fill(t, f.tpm)
	f.row(tcg.TPMRCObjectMemory, "all slots are full", nil, object)
	tpm.Do(tcg.TPMCCHierarchyControl, handles{owner}, nil, owner, false)
	c.row(tcg.TPMRCHierarchy.P(1), "the hierarchy is disabled", nil, object)
}

// TestFlushContext: what was flushed is not there, be it loaded or saved (Part 3,
// 28.4).
func TestFlushContext(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key := tpm.Primary(owner, tpmtest.ECC(sign), none)
	tpm.Flush(key.Handle)
	if there(tpm, key.Handle) {
		t.Error("the object is there")
	}
	s := tpm.StartSession(tpmtest.SessionParams{})
	context := save(tpm, s.Handle)
	tpm.Flush(s.Handle)
	tpm.Want(tcg.TPMRCHandle.P(1), tcg.TPMCCContextLoad, nil, nil, context)
	// The type of a session does not matter, be it loaded or saved.
	for _, saved := range []bool{false, true} {
		s = tpm.StartPolicy()
		if saved {
			save(tpm, s.Handle)
		}
		tpm.Flush(s.Handle&0x00FFFFFF | tcg.TPMHandle(tcg.TPMHTHMACSession)<<24)
		tpm.Want(tcg.TPMRCHandle.P(1), tcg.TPMCCFlushContext, nil, nil, s.Handle)
	}
}

func TestFlushContextCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCFlushContext)
	c.row(tcg.TPMRCHandle.P(1), "no such object", nil, 0x80000000)
	c.row(tcg.TPMRCHandle.P(1), "no such session", nil, 0x02000000)
	c.row(tcg.TPMRCHandle.P(1), "no such policy session", nil, 0x03000001)
	c.row(tcg.TPMRCValue.P(1), "a persistent object", nil, 0x81000001)
	c.row(tcg.TPMRCValue.P(1), "a hierarchy", nil, owner)
}

// TestEvictControl: the persistent object is there after a reset, and no more
// once it was evicted; the transient one stays (Part 3, 28.5).
func TestEvictControl(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	for _, c := range []struct{ hierarchy, by, at tcg.TPMHandle }{
		{owner, owner, 0x81000000}, {endorsement, owner, 0x817FFFFF}, {platform, platform, 0x81800000}, {owner, owner, 0x81000002},
	} {
		key := tpm.Primary(c.hierarchy, tpmtest.ECC(sign), none)
		persist(tpm, c.by, key.Handle, c.at)
		if !there(tpm, key.Handle) {
			t.Error("the transient object is gone")
		}
		tpm.Reset()
		if !bytes.Equal(tpm.Name(c.at), key.Name) {
			t.Errorf("%#x is another object", uint32(c.at))
		}
		tpm.Want(tcg.TPMRCValue.P(1), tcg.TPMCCFlushContext, nil, nil, c.at)
		f := tpm.Fork()
		f.Do(tcg.TPMCCEvictControl, handles{c.by, c.at}, nil, c.at)
		if f.Reset(); there(f, c.at) {
			t.Errorf("%#x is there", uint32(c.at))
		}
		tpm.Do(tcg.TPMCCEvictControl, handles{platform, c.at}, nil, c.at) // which may evict any
		if there(tpm, c.at) {
			t.Errorf("%#x is there", uint32(c.at))
		}
	}
}

func TestEvictControlCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCEvictControl)
	const at, ofPlatform = tcg.TPMHandle(0x81000001), tcg.TPMHandle(0x81800001)
	key, theirs := tpm.Primary(owner, tpmtest.ECC(sign), none), tpm.Primary(platform, tpmtest.ECC(sign), none)
	nameless := tpmtest.ECC(sign)
	nameless.NameAlg, nameless.UniqueECC = tcg.TPMAlgNull, key.Public.UniqueECC
	c.row(tcg.TPMRCValue.H(1), "by the endorsement hierarchy", handles{endorsement, key.Handle}, at)
	c.row(tcg.TPMRCValue.P(1), "a handle that is not persistent", handles{owner, key.Handle}, key.Handle)
	c.row(tcg.TPMRCReferenceH1, "no such transient object", handles{owner, 0x8000000F}, at)
	c.row(tcg.TPMRCHandle.H(2), "no such persistent object", handles{owner, at}, at)
	c.row(tcg.TPMRCAttributes.H(2), "a sequence", handles{owner, sequence(tpm)}, at)
	c.row(tcg.TPMRCAttributes.H(2), "an object of the NULL hierarchy", handles{owner, tpm.Primary(null, tpmtest.ECC(sign), none).Handle}, at)
	c.row(tcg.TPMRCAttributes.H(2), "stClear", handles{owner, tpm.Primary(owner, tpmtest.ECC(sign|tcg.TPMAObjectSTClear), none).Handle}, at)
	c.row(tcg.TPMRCAttributes.H(2), "no Name", handles{owner, tpm.Do(tcg.TPMCCLoadExternal, nil, nil, nil, nameless, owner).Handle}, at)
	c.row(tcg.TPMRCHierarchy.H(2), "the platform's object, by the owner", handles{owner, theirs.Handle}, at)
	c.row(tcg.TPMRCHierarchy.H(2), "the owner's object, by the platform", handles{platform, key.Handle}, ofPlatform)
	c.row(tcg.TPMRCRange.P(1), "the platform's range, by the owner", handles{owner, key.Handle}, ofPlatform)
	c.row(tcg.TPMRCRange.P(1), "the owner's range, by the platform", handles{platform, theirs.Handle}, at)
	public := tpm.Do(tcg.TPMCCLoadExternal, nil, nil, nil, key.Public, owner).Handle
	c.row(tcg.TPMRCSuccess, "a public key", handles{owner, public}, at+1)
	c.row(tcg.TPMRCSuccess, "the owner's", handles{owner, key.Handle}, at)
	c.row(tcg.TPMRCNVDefined, "the handle is in use", handles{owner, key.Handle}, at)
	c.row(tcg.TPMRCHandle.H(2), "evicted by another handle", handles{owner, at}, at+1)
	c.row(tcg.TPMRCSuccess, "the platform's", handles{platform, theirs.Handle}, ofPlatform)
	c.row(tcg.TPMRCRange.H(2), "the platform's, evicted by the owner", handles{owner, ofPlatform}, ofPlatform)
	n := tcg.TPMHandle(1)
	for tpm.Run(tcg.TPMCCEvictControl, handles{owner, key.Handle}, nil, at+n+1).Code == tcg.TPMRCSuccess {
		n++
	}
	c.row(tcg.TPMRCNVSpace, "no room", handles{owner, key.Handle}, at+n+1)
	if left := property(tpm, tcg.TPMPTHRPersistentAvail); left != 0 {
		t.Errorf("TPM_PT_HR_PERSISTENT_AVAIL is %d", left)
	}
}
