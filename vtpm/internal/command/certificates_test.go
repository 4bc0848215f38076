package command_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"stubtpm/vtpm"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// certificates are some, of the sizes of real ones.
func certificates() map[tcg.TPMHandle][]byte {
	return map[tcg.TPMHandle][]byte{
		vtpm.EKCertRSA2048: bytes.Repeat([]byte{1}, 1300), vtpm.EKCertP256: bytes.Repeat([]byte{2}, 900),
		vtpm.EKCertP384: bytes.Repeat([]byte{3}, 950), vtpm.EKChain: bytes.Repeat([]byte{4}, 700), vtpm.EKChain + 1: []byte("root"),
	}
}

func set(t *testing.T, tpm *tpmtest.TPM, certificates map[tcg.TPMHandle][]byte) {
	t.Helper()
	if err := tpm.SetCertificates(certificates); err != nil {
		t.Fatal(err)
	}
}

// readBy reads all of an index in pieces, as tools do. It is nil for one that is not defined.
func readBy(tpm *tpmtest.TPM, by, x tcg.TPMHandle) []byte {
	r := tpm.Run(tcg.TPMCCNVReadPublic, handles{x}, nil)
	if r.Code != tcg.TPMRCSuccess {
		return nil
	}
	var p tcg.TPMSNVPublic
	p.Unmarshal2B(&r.Reader)
	data := []byte{}
	for size := int(p.DataSize); len(data) < size; {
		n := min(size-len(data), nv.MaxBuffer)
		data = append(data, take(tpm.Do(tcg.TPMCCNVRead, handles{by, x}, nil, n, len(data)))...)
	}
	return data
}

// indices are the handles that TPM2_GetCapability has of NV indices.
func indices(tpm *tpmtest.TPM) (hs []tcg.TPMHandle) {
	r := tpm.Do(tcg.TPMCCGetCapability, nil, nil, tcg.TPMCapHandles, 0x01000000, 1000)
	r.Uint8()
	r.Uint32()
	for range r.Uint32() {
		hs = append(hs, tcg.TPMHandle(r.Uint32()))
	}
	return hs
}

// certified reports an index that is not what SetCertificates made it.
func certified(t *testing.T, tpm *tpmtest.TPM, when string, want map[tcg.TPMHandle][]byte) {
	t.Helper()
	for h, data := range want {
		for _, by := range []tcg.TPMHandle{owner, platform, h} {
			if got := readBy(tpm, by, h); !bytes.Equal(got, data) {
				t.Fatalf("%s: %#x read by %#x is %x", when, h, by, got)
			}
		}
		if !bytes.Equal(tpm.Certificate(h), data) {
			t.Fatalf("%s: the device has %#x otherwise", when, h)
		}
	}
}

// TestCertificates: what the maker sets is read by everybody, and stays.
func TestCertificates(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	want := certificates()
	set(t, tpm, want)
	certified(t, tpm, "at once", want)
	if hs := indices(tpm); len(hs) != len(want) {
		t.Errorf("TPM2_GetCapability has %v", hs)
	}
	tpm.PowerLoss()
	certified(t, tpm, "after a loss of power", want)
	tpm.Resume()
	certified(t, tpm, "after a TPM Resume", want)
	tpm.Suspend()
	certified(t, tpm, "in another place", want)

	saves := tpm.Store.Saves()
	set(t, tpm, want)
	if tpm.Store.Saves() != saves {
		t.Error("the same certificates are saved again")
	}
	delete(want, vtpm.EKChain+1)
	delete(want, vtpm.EKCertP384)
	want[vtpm.EKCertP256] = []byte("renewed")
	set(t, tpm, want)
	if tpm.Store.Saves() != saves+1 {
		t.Errorf("%d saves, not 1", tpm.Store.Saves()-saves)
	}
	certified(t, tpm, "after others were set", want)
	if hs := indices(tpm); len(hs) != len(want) {
		t.Errorf("after others were set, TPM2_GetCapability has %v", hs)
	}
	set(t, tpm, nil)
	if hs := indices(tpm); len(hs) != 0 {
		t.Errorf("after none were set, TPM2_GetCapability has %v", hs)
	}
}

// TestNoCommandChangesCertificates has a guest do what it can, with each hierarchy's
// authorization and with policies, to indices that are the maker's.
func TestNoCommandChangesCertificates(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	want := certificates()
	set(t, tpm, want)
	public := func(h tcg.TPMHandle) []byte { return tpm.Do(tcg.TPMCCNVReadPublic, handles{h}, nil).Params }
	before := map[tcg.TPMHandle][]byte{}
	for h := range want {
		before[h] = public(h)
	}
	check := func(when string) {
		t.Helper()
		certified(t, tpm, when, want)
		for h := range want {
			if !bytes.Equal(public(h), before[h]) {
				t.Fatalf("%s: the public area of %#x is %x", when, h, public(h))
			}
		}
	}
	ways := map[string]func(tcg.TPMCC) tpmtest.Auth{
		"a password": func(tcg.TPMCC) tpmtest.Auth { return tpmtest.Password("") },
		"a session":  func(tcg.TPMCC) tpmtest.Auth { return tpm.StartSession(tpmtest.SessionParams{}) },
		"a policy":   func(tcg.TPMCC) tpmtest.Auth { return tpm.StartPolicy() },
		"an own role": func(cc tcg.TPMCC) tpmtest.Auth {
			s := tpm.StartPolicy()
			step(tcg.TPMCCPolicyCommandCode, cc)(tpm, s)
			return s
		},
	}
	for h := range want {
		for _, c := range []struct {
			cc     tcg.TPMCC
			h      []handles
			params []any
		}{
			{tcg.TPMCCNVWrite, []handles{{owner, h}, {platform, h}, {h, h}}, []any{"x", 0}},
			{tcg.TPMCCNVIncrement, []handles{{owner, h}, {platform, h}, {h, h}}, nil},
			{tcg.TPMCCNVExtend, []handles{{owner, h}, {platform, h}, {h, h}}, []any{"x"}},
			{tcg.TPMCCNVSetBits, []handles{{owner, h}, {platform, h}, {h, h}}, []any{1}},
			{tcg.TPMCCNVWriteLock, []handles{{owner, h}, {platform, h}, {h, h}}, nil},
			{tcg.TPMCCNVReadLock, []handles{{owner, h}, {platform, h}, {h, h}}, nil},
			{tcg.TPMCCNVChangeAuth, []handles{{h}}, []any{"new"}},
			{tcg.TPMCCNVUndefineSpace, []handles{{owner, h}, {platform, h}}, nil},
			{tcg.TPMCCNVUndefineSpaceSpecial, []handles{{h, platform}}, nil},
			{tcg.TPMCCNVGlobalWriteLock, []handles{{owner}, {platform}}, nil},
		} {
			for _, hs := range c.h {
				for name, way := range ways {
					a := way(c.cc)
					all := auths{a}
					if c.cc == tcg.TPMCCNVUndefineSpaceSpecial {
						all = append(all, tpmtest.Password(""))
					}
					code := tpm.Run(c.cc, hs, all, c.params...).Code
					// What is locked for writing may be locked again, and then is
					// as before.
					if code == tcg.TPMRCSuccess && c.cc != tcg.TPMCCNVWriteLock && c.cc != tcg.TPMCCNVGlobalWriteLock {
						t.Errorf("%v of %v by %s succeeds", c.cc, hs, name)
					}
					check(fmt.Sprintf("%v of %v by %s", c.cc, hs, name))
					if s, ok := a.(*tpmtest.Session); ok {
						tpm.Flush(s.Handle)
					}
				}
			}
		}
	}
	for h := vtpm.EKChain; h <= vtpm.EKChainLast; h += 0x11 {
		for by, a := range map[tcg.TPMHandle]tcg.TPMANV{owner: byOwner, platform: byPlatform | tcg.TPMANVPlatformCreate} {
			p := index(8, a)
			p.NVIndex = h
			rc := tcg.TPMRCValue.P(2)
			if want[h] != nil {
				rc = tcg.TPMRCNVDefined
			}
			tpm.Want(rc, tcg.TPMCCNVDefineSpace, handles{by}, nil, nil, p)
			tpm.Want(rc, tcg.TPMCCNVDefineSpace2, handles{by}, nil, nil, p.Public2())
		}
	}
	for _, cc := range []tcg.TPMCC{tcg.TPMCCClear, tcg.TPMCCChangeEPS, tcg.TPMCCChangePPS} {
		tpm.Do(cc, handles{platform}, nil)
		check(cc.String())
	}
	tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, nil, tcg.TPMRHPlatformNV, false)
	tpm.Do(tcg.TPMCCNVGlobalWriteLock, handles{platform}, nil)
	tpm.Restart()
	check("after platform NV was turned off, and a restart")
}

// TestCertificatesReplaceGuests: what a guest had made in these indices before is gone
// when the maker sets certificates, or shows not as the maker's.
func TestCertificatesReplaceGuests(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	forged := index(900, byPlatform|byIndex|byOwner|tcg.TPMANVPlatformCreate)
	forgeries := []tcg.TPMHandle{vtpm.EKCertRSA2048, vtpm.EKCertP256, vtpm.EKChain, vtpm.EKChain + 1, vtpm.EKChain + 2, vtpm.EKChainLast}
	for _, h := range forgeries {
		forged.NVIndex = h
		define(tpm, platform, forged)
		tpm.Do(tcg.TPMCCNVWrite, handles{platform, h}, nil, "forged", 0)
	}
	neighbours := []tcg.TPMHandle{vtpm.EKCertRSA2048 + 2, vtpm.EKChain - 1, vtpm.EKChainLast + 1} // a template, and no certificates
	for _, h := range neighbours {
		p := index(8, byOwner)
		p.NVIndex = h
		define(tpm, owner, p)
	}
	for _, h := range forgeries {
		if got := tpm.Certificate(h); got != nil {
			t.Errorf("%#x passes for the maker's: %x", h, got)
		}
	}
	set(t, tpm, nil) // of the maker there are none: these are somebody's own
	if got := len(indices(tpm)); got != len(forgeries)+len(neighbours) {
		t.Errorf("%d indices", got)
	}
	want := map[tcg.TPMHandle][]byte{vtpm.EKCertP256: []byte("good"), vtpm.EKChain: []byte("chain")}
	set(t, tpm, want)
	certified(t, tpm, "over a guest's", want)
	if got := len(indices(tpm)); got != len(want)+len(neighbours) {
		t.Errorf("%v are left", indices(tpm))
	}
	// None that a guest defines passes for one of the maker's, not if it is as
	// like it as TPM2_NV_DefineSpace allows.
	set(t, tpm, nil)
	forged.Attributes = tcg.TPMANVPlatformCreate | tcg.TPMANVPolicyDelete | tcg.TPMANVPolicyWrite | tcg.TPMANVWriteDefine |
		tcg.TPMANVAuthRead | tcg.TPMANVOwnerRead | tcg.TPMANVPPRead | tcg.TPMANVNoDA
	forged.NVIndex = vtpm.EKCertP256
	define(tpm, platform, forged)
	for _, cc := range []tcg.TPMCC{tcg.TPMCCNVWrite, tcg.TPMCCNVWriteLock} {
		s := tpm.StartPolicy()
		params := []any{"forged", 0}
		if cc == tcg.TPMCCNVWriteLock {
			params = nil
		}
		if rc := tpm.Run(cc, handles{vtpm.EKCertP256, vtpm.EKCertP256}, auths{s}, params...).Code; rc == tcg.TPMRCSuccess {
			t.Errorf("%v by an empty policy succeeds", cc)
		}
	}
	if got := tpm.Certificate(vtpm.EKCertP256); got != nil {
		t.Errorf("an index of a guest's passes for the maker's: %x", got)
	}
}

// TestCertificatesInFullMemory: a guest that has taken all room, of either kind,
// does not keep the maker from setting certificates, and what TPM2_GetCapability has
// of the room stays true.
func TestCertificatesInFullMemory(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"bytes": 2048, "indices": 1} {
		tpm := tpmtest.New(t)
		p := index(size, byOwner)
		n := 0
		for ; tpm.Run(tcg.TPMCCNVDefineSpace, handles{owner}, nil, nil, p).Code == tcg.TPMRCSuccess; n++ {
			p.NVIndex++
		}
		want := certificates()
		set(t, tpm, want)
		certified(t, tpm, name, want)
		tpm.PowerLoss()
		certified(t, tpm, name, want)
		for _, pt := range []tcg.TPMPT{tcg.TPMPTNVCountersAvail, tcg.TPMPTHRNVIndex} {
			r := tpm.Do(tcg.TPMCCGetCapability, nil, nil, tcg.TPMCapTPMProperties, pt, 1)
			v := be(uint32(pt), uint32(0))
			if pt == tcg.TPMPTHRNVIndex {
				v = be(uint32(pt), uint32(n+len(want)))
			}
			if !bytes.HasSuffix(r.Params, v) {
				t.Errorf("%s: property %#x is %x", name, uint32(pt), r.Params)
			}
		}
		tpm.Want(tcg.TPMRCNVSpace, tcg.TPMCCNVDefineSpace, handles{owner}, nil, nil, p)
	}
}

// TestCertificatesBeforeStartup: they can be set before TPM2_Startup, and that does
// not set Clock back.
func TestCertificatesBeforeStartup(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Wait(100 * time.Hour)
	tpm.Do(tcg.TPMCCShutdown, nil, nil, tcg.TPMSUState)
	before, err := vtpm.ReadFloors(tpm.Store.State())
	if err != nil || before.Clock < uint64((100*time.Hour).Milliseconds()) {
		t.Fatalf("%+v, %v", before, err)
	}
	tpm.PowerCycle()
	tpm.Clock.Advance(time.Second)
	set(t, tpm, certificates())
	if after, err := vtpm.ReadFloors(tpm.Store.State()); after != before || err != nil {
		t.Errorf("%+v, %v; before it was %+v", after, err, before)
	}
	tpm.PowerCycle()
	tpm.Do(tcg.TPMCCStartup, nil, nil, tcg.TPMSUState) // what TPM2_Shutdown saved is there
	certified(t, tpm, "after TPM2_Startup", certificates())
}

// TestCertificatesRefused: what cannot be set changes nothing.
func TestCertificatesRefused(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	want := certificates()
	set(t, tpm, want)
	state := tpm.Store.State()
	long := map[tcg.TPMHandle][]byte{}
	for i := range tcg.TPMHandle(vtpm.MaxCertificates/2048 + 1) {
		long[vtpm.EKChain+i] = make([]byte, 2048)
	}
	one := func(h tcg.TPMHandle, data []byte) map[tcg.TPMHandle][]byte {
		return map[tcg.TPMHandle][]byte{h: data, vtpm.EKCertP256: []byte("another")}
	}
	for name, m := range map[string]map[tcg.TPMHandle][]byte{
		"not an NV index": one(owner, []byte("x")), "the epoch": one(vtpm.EpochIndex, []byte("x")),
		"a template": one(vtpm.EKCertRSA2048+2, []byte("x")), "behind the chain": one(vtpm.EKChainLast+1, []byte("x")),
		"a gap": one(vtpm.EKChain+1, []byte("x")), "empty": one(vtpm.EKCertP384, []byte{}), "nil": one(vtpm.EKCertP384, nil),
		"longer than an index": one(vtpm.EKCertP384, make([]byte, 2049)), "all too long": long,
	} {
		if err := tpm.SetCertificates(m); err == nil {
			t.Errorf("%s is taken", name)
		}
		certified(t, tpm, name, want)
	}
	if !bytes.Equal(state, tpm.Store.State()) {
		t.Error("something is saved")
	}
}

// TestCertificatesAndGuests has maker and guest act as they like, with a store that
// fails and power that goes: what the maker set last is there, and with it nothing else.
func TestCertificatesAndGuests(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 1))
	pool := []tcg.TPMHandle{vtpm.EKCertRSA2048, vtpm.EKCertP256, vtpm.EKCertP384, vtpm.EKChain, vtpm.EKChain + 1, vtpm.EKChain + 2}
	tpm := tpmtest.New(t)
	want := map[tcg.TPMHandle][]byte{} // the maker's
	guests := map[tcg.TPMHandle]bool{}
	refused, replaced := 0, 0
	for i := range 1000 {
		h := pool[r.IntN(len(pool))]
		switch r.IntN(8) {
		case 0, 1:
			next := map[tcg.TPMHandle][]byte{}
			none := r.IntN(3) == 0
			for _, h := range pool {
				if _, before := next[h-1]; !none && r.IntN(2) == 0 && (h <= vtpm.EKChain || before) {
					next[h] = fmt.Append(nil, i, h)
				}
			}
			tpm.Do(tcg.TPMCCPCREvent, handles{16}, nil, "x") // which is not undone
			before, err := tpm.Volatile()
			if err != nil {
				t.Fatal(err)
			}
			fail := r.IntN(2) == 0
			if fail {
				tpm.Store.Fail(errors.New("disk is gone"))
			}
			err = tpm.SetCertificates(next)
			tpm.Store.Fail(nil)
			if err == nil {
				if want = next; len(next) > 0 {
					replaced += len(guests)
					clear(guests)
				}
				break
			}
			if after, verr := tpm.Volatile(); !fail || verr != nil || !bytes.Equal(before, after) {
				t.Fatalf("%d: %v, store fails: %v; the volatile state changed: %v", i, err, fail, verr)
			}
			refused++
		case 2, 3:
			p := index(8, byOwner|byIndex)
			if r.IntN(2) == 0 {
				p.Attributes |= tcg.TPMANVOrderly
			}
			p.NVIndex = h
			rc := tcg.TPMRCSuccess
			switch {
			case want[h] != nil || guests[h]:
				rc = tcg.TPMRCNVDefined
			case len(want) > 0:
				rc = tcg.TPMRCValue.P(2)
			default:
				guests[h] = true
			}
			tpm.Want(rc, tcg.TPMCCNVDefineSpace, handles{owner}, nil, nil, p)
		case 4:
			if rc := tpm.Run(tcg.TPMCCNVWrite, handles{h, h}, nil, "forged", 0).Code; (rc == tcg.TPMRCSuccess) != guests[h] {
				t.Fatalf("%d: write of %#x: %v", i, h, rc)
			}
		case 5:
			if rc := tpm.Run(tcg.TPMCCNVUndefineSpace, handles{owner, h}, nil).Code; (rc == tcg.TPMRCSuccess) != guests[h] {
				t.Fatalf("%d: undefine %#x: %v", i, h, rc)
			}
			delete(guests, h)
		case 6:
			tpm.Do(tcg.TPMCCClear, handles{platform}, nil)
			clear(guests)
		case 7:
			[]func(){tpm.PowerLoss, tpm.Reset, tpm.Restart, tpm.Resume, tpm.Suspend}[r.IntN(5)]()
		}
		certified(t, tpm, fmt.Sprint(i), want)
		if got := len(indices(tpm)); got != len(want)+len(guests) {
			t.Fatalf("%d: %v", i, indices(tpm))
		}
		for _, h := range pool {
			if got := tpm.Certificate(h); !bytes.Equal(got, want[h]) {
				t.Fatalf("%d: %#x is %x", i, h, got)
			}
		}
	}
	if refused < 10 || replaced < 10 {
		t.Errorf("%d failed saves and %d indices replaced are too few to say anything", refused, replaced)
	}
}
