package command

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/lockout"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// countsOf is what engine.UnsavedTries may leave behind of a command that failed.
type countsOf struct {
	da   lockout.Lockout
	time lockout.Timers
	pins map[tcg.TPMHandle]uint32
}

func countsBefore(d *engine.Device) countsOf {
	c := countsOf{d.Perm.DA, d.Vol.DATime, map[tcg.TPMHandle]uint32{}}
	for h, x := range d.Perm.NV.Indices {
		if x.IsPIN() {
			c.pins[h], _ = x.PIN()
		}
	}
	return c
}

// takeBack makes the device what it would be if nothing had been counted, for
// tests that compare the rest.
func (c countsOf) takeBack(d *engine.Device) {
	if !d.Tries.Owed {
		return
	}
	d.Perm.DA, d.Vol.DATime = c.da, c.time
	for h, n := range c.pins {
		if x := d.Perm.NV.Indices[h]; x != nil && x.IsPIN() {
			x.SetPINCount(n)
		}
	}
	d.Tries = engine.UnsavedTries{}
}

// A guess is one command with an authorization in it.
type guess struct {
	t *testing.T
	d *engine.Device
}

const (
	victimPIN  tcg.TPMHandle = 0x01800055
	victimNV   tcg.TPMHandle = 0x01800056
	lockSecret               = "the right one"
)

// password sends a command whose first authorization is a password.
func (g guess) password(cc tcg.TPMCC, hs []tcg.TPMHandle, value string, params func(w *tcg.Writer)) tcg.TPMRC {
	g.t.Helper()
	return g.session(cc, hs, tcg.TPMRSPW, 0, value, params)
}

// session sends a command whose first authorization is by session s. The nonce
// of the caller is empty.
func (g guess) session(cc tcg.TPMCC, hs []tcg.TPMHandle, s tcg.TPMHandle, attrs tcg.TPMASession, value string, params func(w *tcg.Writer)) tcg.TPMRC {
	g.t.Helper()
	var w tcg.Writer
	w.Uint16(uint16(tcg.TPMSTSessions))
	w.Uint32(0)
	w.Uint32(uint32(cc))
	for _, h := range hs {
		w.Uint32(uint32(h))
	}
	w.Uint32(uint32(9 + len(value)))
	w.Uint32(uint32(s))
	w.Sized(nil)
	w.Uint8(uint8(attrs))
	w.Sized([]byte(value))
	if params != nil {
		params(&w)
	}
	copy(w.B[2:], binary.BigEndian.AppendUint32(nil, uint32(len(w.B))))
	resp, err := execute(g.d, 0, w.B)
	if err != nil {
		g.t.Error(err)
	}
	return tcg.TPMRC(binary.BigEndian.Uint32(resp[6:]))
}

// policy starts a policy session, bound to an entity if bind is not
// TPM_RH_NULL, in which code ran.
func (g guess) policy(bind tcg.TPMHandle, codes ...tcg.TPMCC) tcg.TPMHandle {
	g.t.Helper()
	x := rawTPM(g)
	rc, s, _ := x.send(tcg.TPMCCStartAuthSession, handles(tcg.TPMRHNull, bind), func(w *tcg.Writer) {
		w.Sized(make([]byte, 16))
		w.Sized(nil)
		w.Uint8(uint8(tcg.TPMSEPolicy))
		w.Uint16(uint16(tcg.TPMAlgAES))
		w.Uint16(128)
		w.Uint16(uint16(tcg.TPMAlgCFB))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	if rc != tcg.TPMRCSuccess {
		g.t.Fatalf("StartAuthSession: %#x", uint32(rc))
	}
	for _, cc := range codes {
		x.want(tcg.TPMRCSuccess, cc, handles(s), nil)
	}
	return s
}

// policyOf is the digest of a policy that is these commands, which have no
// parameters.
func policyOf(codes ...tcg.TPMCC) []byte {
	p := session.NewPolicy(tcg.TPMAlgSHA256, 0, 0)
	for _, cc := range codes {
		if cc == tcg.TPMCCPolicyPassword {
			cc = tcg.TPMCCPolicyAuthValue
		}
		p.Update(tcg.TPMAlgSHA256, cc)
	}
	return p.Digest
}

// define makes an index with the value lockSecret; a PIN index is written, with
// this limit.
func (g guess) define(h tcg.TPMHandle, attrs tcg.TPMANV, policy []byte, limit uint32) {
	g.t.Helper()
	p := tcg.TPMSNVPublic{NVIndex: h, NameAlg: tcg.TPMAlgSHA256, DataSize: 8, AuthPolicy: policy,
		Attributes: attrs | tcg.TPMANVOwnerWrite | tcg.TPMANVOwnerRead}
	rawTPM(g).want(tcg.TPMRCSuccess, tcg.TPMCCNVDefineSpace, handles(tcg.TPMRHOwner), func(w *tcg.Writer) {
		w.Sized([]byte(lockSecret))
		w.Nested(p.Marshal)
	})
	g.write(h, limit)
}

// write writes a PIN index by the owner: no tries so far, of limit.
func (g guess) write(h tcg.TPMHandle, limit uint32) {
	g.t.Helper()
	rawTPM(g).want(tcg.TPMRCSuccess, tcg.TPMCCNVWrite, handles(tcg.TPMRHOwner, h), func(w *tcg.Writer) {
		w.Sized(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 0), limit))
		w.Uint16(0)
	})
}

// read reads an index by its own value.
func (g guess) read(h tcg.TPMHandle, value string) tcg.TPMRC {
	g.t.Helper()
	return g.password(tcg.TPMCCNVRead, handles(h, h), value, readAll)
}

func readAll(w *tcg.Writer) { w.Uint16(8); w.Uint16(0) }

func pinAttrs(nt tcg.TPMNT) tcg.TPMANV {
	return tcg.TPMANV(nt)<<4 | tcg.TPMANVAuthRead | tcg.TPMANVNoDA
}

// restart is a power cycle after TPM2_Shutdown(STATE), or none, and the code of
// the TPM2_Startup.
func (g guess) restart(state bool) tcg.TPMRC {
	g.d.Init()
	cmd := startupClear
	if state {
		cmd = startupState
	}
	return tcg.TPMRC(binary.BigEndian.Uint32(g.d.Execute(0, cmd)[6:]))
}

func (g guess) lockoutAuth(value string) tcg.TPMRC {
	return g.password(tcg.TPMCCDictionaryAttackLockReset, handles(tcg.TPMRHLockout), value, nil)
}

func (g guess) setLockoutAuth() {
	g.t.Helper()
	if rc := g.password(tcg.TPMCCHierarchyChangeAuth, handles(tcg.TPMRHLockout), "", func(w *tcg.Writer) { w.Sized([]byte(lockSecret)) }); rc != tcg.TPMRCSuccess {
		g.t.Fatalf("HierarchyChangeAuth: %#x", uint32(rc))
	}
}

// TestTriesCountWithoutStore: while the state cannot be saved a guess is
// counted in memory, and nobody hears whether the next one is right.
func TestTriesCountWithoutStore(t *testing.T) {
	t.Parallel()
	victims := []struct {
		name  string
		setUp func(g guess)
		try   func(g guess, value string) tcg.TPMRC
		count func(d *engine.Device) uint32
	}{
		{"NV index", func(g guess) { g.define(victimNV, tcg.TPMANVAuthRead, nil, 0) },
			func(g guess, v string) tcg.TPMRC { return g.read(victimNV, v) },
			func(d *engine.Device) uint32 { return d.Perm.DA.FailedTries }},
		{"lockout", guess.setLockoutAuth, guess.lockoutAuth,
			func(d *engine.Device) uint32 {
				if d.Perm.DA.AuthEnabled {
					return 0
				}
				return 1
			}},
		{"PIN Fail", func(g guess) { g.define(victimPIN, pinAttrs(tcg.TPMNTPinFail), nil, 5) },
			func(g guess, v string) tcg.TPMRC { return g.read(victimPIN, v) },
			func(d *engine.Device) uint32 { n, _ := d.Perm.NV.Indices[victimPIN].PIN(); return n }},
		{"orderly PIN Fail after Shutdown", func(g guess) {
			g.define(victimPIN, pinAttrs(tcg.TPMNTPinFail)|tcg.TPMANVOrderly, nil, 5)
			g.d.Execute(0, shutdownState)
		}, func(g guess, v string) tcg.TPMRC { return g.read(victimPIN, v) },
			func(d *engine.Device) uint32 { n, _ := d.Perm.NV.Indices[victimPIN].PIN(); return n }},
	}
	for _, v := range victims {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			d, s, _ := newTestDevice(t)
			g := guess{t, d}
			v.setUp(g)
			s.fail = errors.New("no space")
			if rc := v.try(g, "wrong"); rc != tcg.TPMRCNVUnavailable {
				t.Errorf("a wrong guess: %#x", uint32(rc))
			}
			for _, value := range []string{"wrong", lockSecret} {
				if rc := v.try(g, value); rc != tcg.TPMRCNVUnavailable {
					t.Errorf("%q while a count is not saved: %#x", value, uint32(rc))
				}
			}
			if n := v.count(d); n != 1 {
				t.Errorf("%d tries counted in memory", n)
			}
			// Another command that cannot be saved takes nothing back.
			rawTPM{t, d}.want(tcg.TPMRCNVUnavailable, tcg.TPMCCClearControl, handles(tcg.TPMRHPlatform), func(w *tcg.Writer) { w.Uint8(1) })
			if n := v.count(d); n != 1 {
				t.Errorf("%d tries counted after another failed save", n)
			}
			b, err := d.Volatile()
			if err != nil {
				t.Fatal(err)
			}
			there := &memStore{fail: s.fail}
			r, err := Resume(engine.Config{Store: there}, s.state, b)
			if err != nil {
				t.Fatal(err)
			}
			g2 := guess{t, r}
			if n := v.count(r); n != 1 {
				t.Errorf("%d tries counted after a resume", n)
			}
			if rc := v.try(g2, lockSecret); rc != tcg.TPMRCNVUnavailable {
				t.Errorf("the right value, resumed: %#x", uint32(rc))
			}

			s.fail = nil
			if rc := v.try(g, "wrong"); rc == tcg.TPMRCNVUnavailable || rc == tcg.TPMRCSuccess {
				t.Errorf("a wrong guess once the store works: %#x", uint32(rc))
			}
			l, err := Load(engine.Config{Store: new(memStore)}, s.state)
			if err != nil {
				t.Fatal(err)
			}
			if want, n := v.count(d), v.count(l); n != want && v.name != victims[3].name {
				t.Errorf("%d tries in the saved state, %d in memory", n, want)
			}
			if l.Perm.Shutdown != engine.DisorderlyShutdown {
				t.Error("the shutdown is not stale")
			}
		})
	}
}

// TestForgivenBeforeCounted: tries that time has forgiven while the store failed
// do not take the next failure along.
func TestForgivenBeforeCounted(t *testing.T) {
	t.Parallel()
	d, s, _ := newTestDevice(t)
	now := time.Hour
	d.Cfg.Now = func() time.Duration { return now }
	d.Init()
	d.Execute(0, startupClear)
	g := guess{t, d}
	g.define(victimNV, tcg.TPMANVAuthRead, nil, 0)
	for range 2 {
		if rc := g.read(victimNV, "wrong"); rc != tcg.TPMRCAuthFail.S(1) {
			t.Fatalf("a wrong guess: %#x", uint32(rc))
		}
	}
	s.fail = errors.New("no space")
	now += 10 * time.Duration(lockout.New().RecoveryTime) * time.Second
	d.Execute(0, []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x7C}) // TPM2_GetTestResult: what is due cannot be saved
	s.fail = nil
	if rc := g.read(victimNV, "wrong"); rc != tcg.TPMRCAuthFail.S(1) {
		t.Fatalf("a wrong guess after it: %#x", uint32(rc))
	}
	if n := d.Perm.DA.FailedTries; n != 1 {
		t.Errorf("%d tries counted, want 1", n)
	}
	now += engine.SaveRetry + time.Second
	d.Execute(0, []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x7C})
	if n := d.Perm.DA.FailedTries; n != 1 {
		t.Errorf("%d tries counted after what was due was done, want 1", n)
	}
}

// TestCountOfForgivenTry: a failure that takes the place of a forgiven one leaves
// the count that is saved, and locks all the same while it cannot be saved.
func TestCountOfForgivenTry(t *testing.T) {
	t.Parallel()
	d, s, _ := newTestDevice(t)
	now := time.Hour
	d.Cfg.Now = func() time.Duration { return now }
	d.Init()
	d.Execute(0, startupClear)
	g := guess{t, d}
	g.define(victimNV, tcg.TPMANVAuthRead, nil, 0)
	if rc := g.read(victimNV, "wrong"); rc != tcg.TPMRCAuthFail.S(1) {
		t.Fatalf("a wrong guess: %#x", uint32(rc))
	}
	s.fail = errors.New("no space")
	now += time.Duration(lockout.New().RecoveryTime) * time.Second
	for _, value := range []string{"wrong", lockSecret} {
		if rc := g.read(victimNV, value); rc != tcg.TPMRCNVUnavailable.S(1) && rc != tcg.TPMRCNVUnavailable {
			t.Errorf("%q: %#x", value, uint32(rc))
		}
	}
	s.fail = nil
	if rc := g.read(victimNV, lockSecret); rc != tcg.TPMRCSuccess {
		t.Errorf("the right value after a save: %#x", uint32(rc))
	}
}

// TestPinPassCountWithoutStore: a use that could not be saved stays counted.
func TestPinPassCountWithoutStore(t *testing.T) {
	t.Parallel()
	d, s, _ := newTestDevice(t)
	g := guess{t, d}
	g.define(victimPIN, pinAttrs(tcg.TPMNTPinPass), nil, 5)
	s.fail = errors.New("no space")
	for range 3 {
		if rc := g.read(victimPIN, lockSecret); rc != tcg.TPMRCNVUnavailable {
			t.Errorf("a use that cannot be saved: %#x", uint32(rc))
		}
	}
	if n, _ := d.Perm.NV.Indices[victimPIN].PIN(); n != 1 {
		t.Errorf("%d uses counted", n)
	}
}

// TestOrderlyPINStaysCounted: a try after TPM2_Shutdown(STATE) makes what that
// saved stale, although the command that is refused changes nothing else.
func TestOrderlyPINStaysCounted(t *testing.T) {
	t.Parallel()
	for _, by := range []struct {
		name  string
		nt    tcg.TPMNT
		value string
		cc    tcg.TPMCC // of the policy, 0 for a password
		rc    tcg.TPMRC
	}{
		{"PIN Fail by password", tcg.TPMNTPinFail, "wrong", 0, tcg.TPMRCBadAuth.S(1)},
		{"PIN Fail by PolicyPassword", tcg.TPMNTPinFail, "wrong", tcg.TPMCCPolicyPassword, tcg.TPMRCBadAuth.S(1)},
		{"PIN Fail by PolicyAuthValue", tcg.TPMNTPinFail, "wrong", tcg.TPMCCPolicyAuthValue, tcg.TPMRCBadAuth.S(1)},
		{"PIN Pass, command refused", tcg.TPMNTPinPass, lockSecret, 0, tcg.TPMRCNVRange},
	} {
		t.Run(by.name, func(t *testing.T) {
			t.Parallel()
			d, _, _ := newTestDevice(t)
			g := guess{t, d}
			g.define(victimPIN, pinAttrs(by.nt)|tcg.TPMANVOrderly|tcg.TPMANVPolicyRead, policyOf(tcg.TPMCCPolicyAuthValue), 5)
			s := tcg.TPMRSPW
			if by.cc != 0 {
				s = g.policy(tcg.TPMRHNull, by.cc)
			}
			if r := d.Execute(0, shutdownState); !ok(r) {
				t.Fatalf("%x", r)
			}
			if rc := g.session(tcg.TPMCCNVRead, handles(victimPIN, victimPIN), s, 0, by.value,
				func(w *tcg.Writer) { w.Uint16(9); w.Uint16(0) }); rc != by.rc {
				t.Fatalf("the try: %#x, not %#x", uint32(rc), uint32(by.rc))
			}
			if rc := g.restart(true); rc != tcg.TPMRCValue.P(1) {
				t.Errorf("TPM2_Startup(STATE) after a try: %#x", uint32(rc))
			}
			if rc := g.restart(false); rc != tcg.TPMRCSuccess {
				t.Fatalf("TPM2_Startup(CLEAR): %#x", uint32(rc))
			}
			if rc := g.read(victimPIN, lockSecret); rc != tcg.TPMRCAuthUnavailable.S(1) {
				t.Errorf("the right PIN, its count lost: %#x", uint32(rc))
			}
		})
	}
}

// TestPINByPolicy: pinLimit and TPMA_NV_WRITTEN hold for a policy that asks for
// the index's authorization value, too.
func TestPINByPolicy(t *testing.T) {
	t.Parallel()
	for _, cc := range []tcg.TPMCC{tcg.TPMCCPolicyPassword, tcg.TPMCCPolicyAuthValue} {
		for _, nt := range []tcg.TPMNT{tcg.TPMNTPinFail, tcg.TPMNTPinPass} {
			for _, use := range []tcg.TPMCC{tcg.TPMCCNVRead, tcg.TPMCCPolicySecret} {
				t.Run(fmt.Sprintf("%s %d %s", cc, nt, use), func(t *testing.T) {
					t.Parallel()
					d, _, _ := newTestDevice(t)
					g := guess{t, d}
					g.define(victimPIN, pinAttrs(nt)|tcg.TPMANVPolicyRead, policyOf(cc), 3)
					with := g.policy(tcg.TPMRHNull)
					hs, params := handles(victimPIN, victimPIN), readAll
					if use == tcg.TPMCCPolicySecret {
						hs, params = handles(victimPIN, with), func(w *tcg.Writer) { w.Sized(nil); w.Sized(nil); w.Sized(nil); w.Uint32(0) }
					}
					try := func(value string) tcg.TPMRC {
						s := g.policy(tcg.TPMRHNull, cc)
						defer rawTPM{t, d}.want(tcg.TPMRCSuccess, tcg.TPMCCFlushContext, nil, func(w *tcg.Writer) { w.Uint32(uint32(s)) })
						if cc == tcg.TPMCCPolicyAuthValue && value == lockSecret {
							value = g.policyHMAC(s, use, hs, params)
						}
						return g.session(use, hs, s, tcg.TPMASessionContinueSession, value, params)
					}
					value := "wrong"
					if nt == tcg.TPMNTPinPass {
						value = lockSecret
					}
					for range 3 {
						try(value)
					}
					if n, _ := d.Perm.NV.Indices[victimPIN].PIN(); n != 3 {
						t.Fatalf("%d counted, not 3", n)
					}
					if rc := try(lockSecret); rc != tcg.TPMRCAuthUnavailable.S(1) {
						t.Errorf("after pinLimit: %#x", uint32(rc))
					}
					x := d.Perm.NV.Indices[victimPIN]
					x.SetPINCount(0)
					x.SetAttributes(x.Public.Attributes &^ tcg.TPMANVWritten)
					if rc := try(lockSecret); rc != tcg.TPMRCAuthUnavailable.S(1) {
						t.Errorf("not written: %#x", uint32(rc))
					}
				})
			}
		}
	}
}

// policyHMAC is the HMAC of a command with policy session s, unbound, whose
// policy asks for the value lockSecret.
func (g guess) policyHMAC(s tcg.TPMHandle, cc tcg.TPMCC, hs []tcg.TPMHandle, params func(w *tcg.Writer)) string {
	var w tcg.Writer
	params(&w)
	var names [][]byte
	for _, h := range hs {
		n, _ := g.d.EntityName(h)
		names = append(names, n)
	}
	cp := tpmcrypto.Digest(tcg.TPMAlgSHA256, append(append([][]byte{binary.BigEndian.AppendUint32(nil, uint32(cc))}, names...), w.B)...)
	return string(tpmcrypto.MAC(tcg.TPMAlgSHA256, []byte(lockSecret), cp, nil, g.d.Session(s).NonceTPM, []byte{byte(tcg.TPMASessionContinueSession)}))
}

// TestLockResetByPolicy: it ends the lockout of lockoutAuth.
func TestLockResetByPolicy(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	g := guess{t, d}
	rawTPM{t, d}.want(tcg.TPMRCSuccess, tcg.TPMCCSetPrimaryPolicy, handles(tcg.TPMRHLockout), func(w *tcg.Writer) {
		w.Sized(policyOf(tcg.TPMCCPolicyPhysicalPresence))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	d.Vol.PhysicalPresence = true
	g.setLockoutAuth()
	if rc := g.lockoutAuth("wrong"); rc != tcg.TPMRCAuthFail.S(1) {
		t.Fatalf("wrong: %#x", uint32(rc))
	}
	if rc := g.lockoutAuth(lockSecret); rc != tcg.TPMRCLockout {
		t.Fatalf("locked: %#x", uint32(rc))
	}
	s := g.policy(tcg.TPMRHNull, tcg.TPMCCPolicyPhysicalPresence)
	if rc := g.session(tcg.TPMCCDictionaryAttackLockReset, handles(tcg.TPMRHLockout), s, 0, "", nil); rc != tcg.TPMRCSuccess {
		t.Fatalf("by policy: %#x", uint32(rc))
	}
	if rc := g.lockoutAuth(lockSecret); rc != tcg.TPMRCSuccess {
		t.Errorf("lockoutAuth after that: %#x", uint32(rc))
	}
}

// TestUnprovenKey: no parameter is en- or decrypted with a key that comes of an
// authorization value which the command does not prove.
func TestUnprovenKey(t *testing.T) {
	t.Parallel()
	const own tcg.TPMHandle = 0x01800057
	for _, attr := range []tcg.TPMASession{tcg.TPMASessionEncrypt, tcg.TPMASessionDecrypt} {
		cc, params := tcg.TPMCCNVRead, readAll
		if attr == tcg.TPMASessionDecrypt {
			cc, params = tcg.TPMCCNVWrite, func(w *tcg.Writer) { w.Sized(make([]byte, 8)); w.Uint16(0) }
		}
		const byPolicy = tcg.TPMANVPolicyRead | tcg.TPMANVPolicyWrite
		for _, bind := range []tcg.TPMHandle{victimNV, tcg.TPMRHLockout, tcg.TPMRHOwner} {
			t.Run(fmt.Sprintf("bound to %#x, %#x", bind, attr), func(t *testing.T) {
				t.Parallel()
				d, _, _ := newTestDevice(t)
				g := guess{t, d}
				g.define(victimNV, tcg.TPMANVAuthRead, nil, 0)
				g.define(own, byPolicy|tcg.TPMANVNoDA, policyOf(tcg.TPMCCPolicyPassword), 0)
				g.setLockoutAuth()
				s := g.policy(bind, tcg.TPMCCPolicyPassword)
				if rc := g.session(cc, handles(own, own), s, attr, lockSecret, params); rc != tcg.TPMRCAttributes.S(1) {
					t.Errorf("%#x", uint32(rc))
				}
				// A context keeps what the session was bound to.
				r := rawTPM{t, d}.want(tcg.TPMRCSuccess, tcg.TPMCCContextSave, handles(s), nil)
				ctx := r.Rest()
				rawTPM{t, d}.want(tcg.TPMRCSuccess, tcg.TPMCCContextLoad, nil, func(w *tcg.Writer) { w.Bytes(ctx) })
				if rc := g.session(cc, handles(own, own), s, attr, lockSecret, params); rc != tcg.TPMRCAttributes.S(1) {
					t.Errorf("from a context: %#x", uint32(rc))
				}
				// Without encryption, and without a binding, it goes on working.
				if rc := g.session(cc, handles(own, own), s, 0, lockSecret, params); rc != tcg.TPMRCSuccess {
					t.Errorf("without encryption: %#x", uint32(rc))
				}
				s = g.policy(tcg.TPMRHNull, tcg.TPMCCPolicyPassword)
				if rc := g.session(cc, handles(own, own), s, attr, lockSecret, params); rc != tcg.TPMRCSuccess {
					t.Errorf("without a binding: %#x", uint32(rc))
				}
			})
		}
		t.Run(fmt.Sprintf("by policy without the value, %#x", attr), func(t *testing.T) {
			t.Parallel()
			d, _, _ := newTestDevice(t)
			g := guess{t, d}
			d.Vol.PhysicalPresence = true
			presence := tcg.TPMCCPolicyPhysicalPresence
			g.define(victimNV, byPolicy, policyOf(presence), 0)
			s := g.policy(tcg.TPMRHNull, presence)
			if rc := g.session(cc, handles(victimNV, victimNV), s, attr, "", params); rc != tcg.TPMRCAttributes.S(1) {
				t.Errorf("%#x", uint32(rc))
			}
			if rc := g.session(cc, handles(victimNV, victimNV), s, 0, "", params); rc != tcg.TPMRCSuccess {
				t.Errorf("without encryption: %#x", uint32(rc))
			}
		})
	}
}
