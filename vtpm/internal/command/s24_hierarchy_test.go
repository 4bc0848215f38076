package command_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// property is a TPM_PT.
func property(tpm *tpmtest.TPM, pt tcg.TPMPT) uint32 {
	r := tpm.Do(tcg.TPMCCGetCapability, nil, nil, tcg.TPMCapTPMProperties, pt, 1)
	return binary.BigEndian.Uint32(r.Params[len(r.Params)-4:])
}

// persist makes a copy of an object persistent.
func persist(tpm *tpmtest.TPM, by, object, at tcg.TPMHandle) tcg.TPMHandle {
	tpm.Do(tcg.TPMCCEvictControl, handles{by, object}, nil, at)
	return at
}

// A resident is what a hierarchy has in the TPM.
type resident struct {
	key            tpmtest.Object
	persistent, nv tcg.TPMHandle
	context        tpmtest.Raw
}

// settle gives a hierarchy a key, which is persistent too, its saved context, and
// an NV index, if it may have one.
func settle(tpm *tpmtest.TPM, h tcg.TPMHandle) (r resident) {
	r.key = tpm.Primary(h, tpmtest.ECC(sign), none)
	r.context = tpmtest.Raw(tpm.Do(tcg.TPMCCContextSave, handles{r.key.Handle}, nil).Params)
	p := index(8, tcg.TPMANVOwnerRead|tcg.TPMANVPPRead|tcg.TPMANVPPWrite)
	switch h {
	case owner:
		r.persistent = persist(tpm, owner, r.key.Handle, 0x81000001)
		r.nv = define(tpm, owner, p)
	case endorsement:
		r.persistent = persist(tpm, owner, r.key.Handle, 0x81000002)
	case platform:
		r.persistent = persist(tpm, platform, r.key.Handle, 0x81800001)
		p.NVIndex, p.Attributes = 0x01400001, p.Attributes|tcg.TPMANVPlatformCreate
		r.nv = define(tpm, platform, p)
	}
	return r
}

// there reports whether an object or an index can be read.
func there(tpm *tpmtest.TPM, h tcg.TPMHandle) bool {
	cc := tcg.TPMCCReadPublic
	if h.Type() == tcg.TPMHTNVIndex {
		cc = tcg.TPMCCNVReadPublic
	}
	return tpm.Run(cc, handles{h}, nil).Code == tcg.TPMRCSuccess
}

// loads returns what TPM2_ContextLoad answers, and flushes what was loaded.
func loads(tpm *tpmtest.TPM, context tpmtest.Raw) tcg.TPMRC {
	r := tpm.Run(tcg.TPMCCContextLoad, nil, nil, context)
	if r.Code == tcg.TPMRCSuccess {
		tpm.Flush(r.Handle)
	}
	return r.Code
}

// TestHierarchyControl: what belongs to a hierarchy that is disabled cannot be
// used until it is enabled again, and its transient objects are gone (Part 3,
// 24.2).
func TestHierarchyControl(t *testing.T) {
	t.Parallel()
	for _, h := range []tcg.TPMHandle{owner, endorsement, platform} {
		tpm := tpmtest.New(t)
		all := map[tcg.TPMHandle]resident{owner: settle(tpm, owner), endorsement: settle(tpm, endorsement), platform: settle(tpm, platform)}
		tpm.Do(tcg.TPMCCHierarchyControl, handles{h}, nil, h, false)
		for of, r := range all {
			if got := there(tpm, r.key.Handle); got != (of != h) {
				t.Errorf("%v is disabled: the transient key of %v is there: %v", h, of, got)
			}
			if got := there(tpm, r.persistent); got != (of != h) {
				t.Errorf("%v is disabled: the persistent key of %v is there: %v", h, of, got)
			}
			if r.nv != 0 && of == owner && there(tpm, r.nv) != (of != h) {
				t.Errorf("%v is disabled: the index of %v is there: %v", h, of, of == h)
			}
			if rc := loads(tpm, r.context); (rc == tcg.TPMRCSuccess) != (of != h) {
				t.Errorf("%v is disabled: the context of %v: %v", h, of, rc)
			}
			want := tcg.TPMRCSuccess
			if of == h {
				want = tcg.TPMRCHierarchy.H(1)
			}
			made := tpm.Want(want, tcg.TPMCCCreatePrimary, handles{of}, nil, none, tpmtest.ECC(sign), nil, nil)
			if of != h {
				tpm.Flush(made.Handle)
			}
		}
		if h == platform {
			tpm.Restart()
		} else {
			tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, nil, h, true)
		}
		for of, r := range all {
			if !there(tpm, r.persistent) || r.nv != 0 && !there(tpm, r.nv) {
				t.Errorf("%v is enabled again: the persistent key or the index of %v is gone", h, of)
			}
		}
	}
	// Of the platform, NV alone.
	tpm := tpmtest.New(t)
	r := settle(tpm, platform)
	tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, nil, tcg.TPMRHPlatformNV, false)
	if there(tpm, r.nv) || !there(tpm, r.persistent) || !there(tpm, r.key.Handle) {
		t.Error("without the platform's NV: the index is there, or an object is not")
	}
	tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, nil, tcg.TPMRHPlatformNV, true)
	if !there(tpm, r.nv) {
		t.Error("with the platform's NV again: the index is gone")
	}
}

func TestHierarchyControlCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCHierarchyControl)
	c.row(tcg.TPMRCValue.H(1), "by lockoutAuth", handles{lockout}, owner, false)
	c.row(tcg.TPMRCValue.P(1), "the NULL hierarchy", handles{platform}, null, false)
	c.row(tcg.TPMRCValue.P(2), "neither yes nor no", handles{platform}, owner, 2)
	c.row(tcg.TPMRCAuthType, "another hierarchy", handles{owner}, endorsement, false)
	c.row(tcg.TPMRCAuthType, "the platform", handles{endorsement}, platform, false)
	c.row(tcg.TPMRCAuthType, "the platform's NV", handles{owner}, tcg.TPMRHPlatformNV, false)
	c.row(tcg.TPMRCAuthType, "only the platform enables", handles{owner}, owner, true)
	c.row(tcg.TPMRCSuccess, "it is enabled already", handles{platform}, owner, true)
	c.row(tcg.TPMRCSuccess, "its own", handles{owner}, owner, false)
	c.row(tcg.TPMRCHierarchy.H(1), "it is disabled already", handles{owner}, owner, false)
	c.row(tcg.TPMRCSuccess, "the platform itself", handles{platform}, platform, false)
	c.row(tcg.TPMRCHierarchy.H(1), "nothing enables the platform", handles{platform}, platform, true)
}

// TestSetPrimaryPolicy: each policy authorizes in the name of its handle, until
// it is removed (Part 3, 24.3).
func TestSetPrimaryPolicy(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	code := step(tcg.TPMCCPolicyCommandCode, tcg.TPMCCSetPrimaryPolicy)
	for _, h := range []tcg.TPMHandle{owner, endorsement, platform, lockout, tcg.TPMRHACT0} {
		tpm.Do(tcg.TPMCCSetPrimaryPolicy, handles{h}, nil, trial(tpm, code), tcg.TPMAlgSHA256)
		s := tpm.StartPolicy()
		code(tpm, s)
		tpm.Do(tcg.TPMCCSetPrimaryPolicy, handles{h}, auths{s}, nil, nil)
		code(tpm, s)
		tpm.Want(tcg.TPMRCAuthUnavailable.S(1), tcg.TPMCCSetPrimaryPolicy, handles{h}, auths{s}, nil, nil)
		tpm.Flush(s.Handle)
	}
}

func TestSetPrimaryPolicyCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCSetPrimaryPolicy)
	c.row(tcg.TPMRCValue.H(1), "the NULL hierarchy", handles{null}, nil, nil)
	c.row(tcg.TPMRCSize.P(1), "not of the algorithm's size", handles{owner}, someHash, tcg.TPMAlgSHA384)
	c.row(tcg.TPMRCSize.P(1), "not of the algorithm's size, for a timer", handles{tcg.TPMRHACT0}, someHash, tcg.TPMAlgSHA384)
	c.row(tcg.TPMRCSize.P(1), "no policy, but an algorithm", handles{owner}, nil, tcg.TPMAlgSHA256)
	c.row(tcg.TPMRCSize.P(1), "no algorithm", handles{owner}, someHash, nil)
	c.row(tcg.TPMRCHash.P(2), "no such algorithm", handles{owner}, someHash, tcg.TPMAlgAES)
	tpm.Do(tcg.TPMCCHierarchyControl, handles{owner}, nil, owner, false)
	c.row(tcg.TPMRCHierarchy.H(1), "the hierarchy is disabled", handles{owner}, nil, nil)
}

// TestChangeSeeds: what was made by the old seed is gone, what the platform has
// in NV stays (Part 3, 24.4 and 24.5).
func TestChangeSeeds(t *testing.T) {
	t.Parallel()
	for h, cc := range map[tcg.TPMHandle]tcg.TPMCC{platform: tcg.TPMCCChangePPS, endorsement: tcg.TPMCCChangeEPS} {
		tpm := tpmtest.New(t)
		all := map[tcg.TPMHandle]resident{owner: settle(tpm, owner), endorsement: settle(tpm, endorsement), platform: settle(tpm, platform)}
		tpm.Do(tcg.TPMCCSetPrimaryPolicy, handles{h}, nil, someHash, tcg.TPMAlgSHA256)
		tpm.Do(tcg.TPMCCHierarchyChangeAuth, handles{h}, nil, "auth")
		if h == endorsement {
			tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, nil, endorsement, false)
		}
		by, auth := auths(nil), tpmtest.Password("")
		if h == platform {
			by, auth = auths{tpmtest.Password("auth")}, "auth" // which stays
		}
		tpm.Do(cc, handles{platform}, by)
		for of, r := range all {
			if there(tpm, r.key.Handle) != (of != h) || there(tpm, r.persistent) != (of != h) || r.nv != 0 && !there(tpm, r.nv) {
				t.Errorf("%v: an object of %v is there that should not be, or is not that should", cc, of)
			}
			if rc := loads(tpm, r.context); (rc == tcg.TPMRCSuccess) != (of != h) {
				t.Errorf("%v: the context of %v: %v", cc, of, rc)
			}
		}
		key := tpm.Do(tcg.TPMCCCreatePrimary, handles{h}, auths{auth}, none, tpmtest.ECC(sign), nil, nil)
		if bytes.Equal(tpm.Name(key.Handle), all[h].key.Name) {
			t.Errorf("%v: the primary key is the same", cc)
		}
		tpm.Want(tcg.TPMRCAuthUnavailable.S(1), tcg.TPMCCSetPrimaryPolicy, handles{h}, auths{tpm.StartPolicy()}, nil, nil)
	}
}

func TestChangeSeedsCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	for _, c := range []*codes{codesOf(t, tpm, tcg.TPMCCChangePPS), codesOf(t, tpm, tcg.TPMCCChangeEPS)} {
		c.row(tcg.TPMRCValue.H(1), "by the owner", handles{owner})
		c.row(tcg.TPMRCSuccess, "", handles{platform})
		tpm.Store.FailAt(1, errors.New("no store"))
		c.row(tcg.TPMRCNVUnavailable, "the store fails", handles{platform})
	}
}

// TestClear: the owner's and the endorsement hierarchy's objects, indices and
// secrets are gone, and the counters begin again (Part 3, 24.6).
func TestClear(t *testing.T) {
	t.Parallel()
	for _, by := range []tcg.TPMHandle{platform, lockout} {
		tpm := tpmtest.New(t)
		tpm.Reset()
		tpm.Restart()
		all := map[tcg.TPMHandle]resident{owner: settle(tpm, owner), endorsement: settle(tpm, endorsement), platform: settle(tpm, platform)}
		for _, h := range []tcg.TPMHandle{owner, endorsement, lockout} {
			tpm.Do(tcg.TPMCCSetPrimaryPolicy, handles{h}, nil, someHash, tcg.TPMAlgSHA256)
			tpm.Do(tcg.TPMCCHierarchyChangeAuth, handles{h}, nil, "auth")
		}
		tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, nil, owner, false)
		tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, nil, endorsement, false)
		auth := tpmtest.Password("")
		if by == lockout {
			auth = "auth"
		}
		tpm.Do(tcg.TPMCCClear, handles{by}, auths{auth})
		if got := readClock(tpm).ClockInfo; got != (tcg.TPMSClockInfo{Safe: true}) {
			t.Errorf("by %v: Clock and counters are %+v", by, got)
		}
		for _, h := range []tcg.TPMHandle{owner, endorsement, lockout} {
			tpm.Do(tcg.TPMCCHierarchyChangeAuth, handles{h}, nil, nil) // by the empty value
			tpm.Want(tcg.TPMRCAuthUnavailable.S(1), tcg.TPMCCSetPrimaryPolicy, handles{h}, auths{tpm.StartPolicy()}, nil, nil)
		}
		for of, r := range all {
			stays := of == platform
			if there(tpm, r.key.Handle) != stays || there(tpm, r.persistent) != stays || r.nv != 0 && there(tpm, r.nv) != stays {
				t.Errorf("by %v: something of %v is there that should not be, or is not that should", by, of)
			}
			if rc := loads(tpm, r.context); (rc == tcg.TPMRCSuccess) != stays {
				t.Errorf("by %v: the context of %v: %v", by, of, rc)
			}
		}
		// The storage seed is a new one, the endorsement seed is not.
		for of, same := range map[tcg.TPMHandle]bool{owner: false, endorsement: true, platform: true} {
			if got := tpm.Primary(of, tpmtest.ECC(sign), none); bytes.Equal(got.Name, all[of].key.Name) != same {
				t.Errorf("by %v: the primary key of %v is the same: %v", by, of, !same)
			}
		}
	}
}

func TestClearCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c, control := codesOf(t, tpm, tcg.TPMCCClear), codesOf(t, tpm, tcg.TPMCCClearControl)
	c.row(tcg.TPMRCValue.H(1), "by the owner", handles{owner})
	control.row(tcg.TPMRCValue.H(1), "by the owner", handles{owner}, true)
	control.row(tcg.TPMRCValue.P(1), "neither yes nor no", handles{platform}, 2)
	control.row(tcg.TPMRCSuccess, "by lockoutAuth", handles{lockout}, true)
	c.row(tcg.TPMRCDisabled, "", handles{lockout})
	c.row(tcg.TPMRCDisabled, "", handles{platform})
	control.row(tcg.TPMRCAuthFail, "enabled by lockoutAuth", handles{lockout}, false)
	tpm.Reset()
	c.row(tcg.TPMRCDisabled, "after a reset", handles{platform})
	control.row(tcg.TPMRCSuccess, "enabled by the platform", handles{platform}, false)
	c.row(tcg.TPMRCSuccess, "", handles{lockout})
}

// TestHierarchyChangeAuth: the new value is the one that is asked for, without
// its trailing zeros (Part 3, 24.8).
func TestHierarchyChangeAuth(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	for h, set := range map[tcg.TPMHandle]tcg.TPMAPermanent{owner: tcg.TPMAPermanentOwnerAuthSet,
		endorsement: tcg.TPMAPermanentEndorsementAuthSet, lockout: tcg.TPMAPermanentLockoutAuthSet, platform: 0} {
		tpm.Do(tcg.TPMCCHierarchyChangeAuth, handles{h}, nil, "new\x00\x00")
		if got := tcg.TPMAPermanent(property(tpm, tcg.TPMPTPermanent)); got&set != set {
			t.Errorf("%v: TPM_PT_PERMANENT is %#x", h, uint32(got))
		}
		if rc := tpm.Fork().Run(tcg.TPMCCHierarchyChangeAuth, handles{h}, nil, nil).Code; rc == tcg.TPMRCSuccess {
			t.Errorf("%v: the old value is taken", h)
		}
		tpm.Do(tcg.TPMCCHierarchyChangeAuth, handles{h}, auths{tpmtest.Password("new")}, nil)
	}
}

func TestHierarchyChangeAuthCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCHierarchyChangeAuth)
	c.row(tcg.TPMRCValue.H(1), "the NULL hierarchy", handles{null}, nil)
	c.row(tcg.TPMRCSize.P(1), "longer than SHA-512, which protects contexts", handles{owner}, make([]byte, 65))
	c.row(tcg.TPMRCSuccess, "as long", handles{owner}, bytes.Repeat([]byte{1}, 64))
}

// TestReadOnlyControl: nothing that persists is changed (Part 3, 24.9). That each
// command keeps to Table 207 is in TestReadOnlyEveryCommand.
func TestReadOnlyControl(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	p := index(1, tcg.TPMANVOwnerWrite|tcg.TPMANVOwnerRead)
	persists := define(tpm, owner, p)
	p.NVIndex, p.Attributes = 0x01800002, p.Attributes|tcg.TPMANVOrderly|tcg.TPMANVClearSTClear
	volatile := define(tpm, owner, p)
	tpm.Do(tcg.TPMCCReadOnlyControl, handles{platform}, nil, true)
	saves := tpm.Store.Saves()
	tpm.Want(tcg.TPMRCReadOnly, tcg.TPMCCClear, handles{platform}, nil)
	tpm.Want(tcg.TPMRCReadOnly, tcg.TPMCCCreatePrimary, handles{owner}, nil, none, tpmtest.ECC(sign), nil, nil)
	tpm.Want(tcg.TPMRCReadOnly, tcg.TPMCCNVWrite, handles{owner, persists}, nil, "x", 0)
	tpm.Do(tcg.TPMCCReadClock, nil, nil)
	if got := tpm.Store.Saves(); got != saves {
		t.Errorf("the state was saved %d times", got-saves)
	}
	if got := tcg.TPMAStartupClear(property(tpm, tcg.TPMPTStartupClear)); got&tcg.TPMAStartupClearReadOnly == 0 {
		t.Errorf("TPM_PT_STARTUP_CLEAR is %#x", uint32(got))
	}
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, volatile}, nil, "x", 0)
	tpm.Do(tcg.TPMCCReadOnlyControl, handles{platform}, nil, false)
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, persists}, nil, "x", 0)
	tpm.Do(tcg.TPMCCReadOnlyControl, handles{platform}, nil, true)
	tpm.Reset()
	tpm.Do(tcg.TPMCCClear, handles{platform}, nil)
}

func TestReadOnlyControlCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCReadOnlyControl)
	c.row(tcg.TPMRCValue.H(1), "by the owner", handles{owner}, true)
	c.row(tcg.TPMRCValue.P(1), "neither yes nor no", handles{platform}, 2)
}
