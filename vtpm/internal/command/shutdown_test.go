package command

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// A policy session that checked PCRs is refused after a Restart has set them
// again, although its saved context survives (Part 1, 16.7.7.6).
func TestPolicyPCREndsWithRestart(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	selection := tcg.TPMLPCRSelection{}
	s := tcg.TPMSPCRSelection{Hash: tcg.TPMAlgSHA256, TPMSPCRSelect: tcg.TPMSPCRSelect{Size: 3}}
	s.Set(8)
	selection.Append(s)
	policyPCR := func(w *tcg.Writer) {
		w.Sized(nil)
		selection.Marshal(w)
	}
	_, session, _ := x.send(tcg.TPMCCStartAuthSession, handles(tcg.TPMRHNull, tcg.TPMRHNull), func(w *tcg.Writer) {
		w.Sized(make([]byte, 16))
		w.Sized(nil)
		w.Uint8(uint8(tcg.TPMSEPolicy))
		w.Uint16(uint16(tcg.TPMAlgNull))
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	x.want(tcg.TPMRCSuccess, tcg.TPMCCPolicyPCR, handles(session), policyPCR)
	context := x.want(tcg.TPMRCSuccess, tcg.TPMCCContextSave, handles(session), nil)
	saved := bytes.Clone(context.Rest())
	for _, c := range [][]byte{shutdownState, nil, startupClear} {
		if c == nil {
			d.Init()
		} else if r := d.Execute(0, c); !ok(r) {
			t.Fatalf("%x: %x", c, r)
		}
	}
	x.want(tcg.TPMRCSuccess, tcg.TPMCCContextLoad, nil, func(w *tcg.Writer) { w.Bytes(saved) })
	x.want(tcg.TPMRCPCRChanged, tcg.TPMCCPolicyPCR, handles(session), policyPCR)
}

// Each counted PCR that a Startup sets moves the counter, one that Resume
// restores does not.
func TestStartupCountsPCRs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		startup []byte
		counted uint32
	}{{startupState, 4}, {startupClear, 20}} {
		d, _, _ := newTestDevice(t)
		d.Execute(0, shutdownState)
		before := d.Reset.PCRUpdateCounter
		d.Init()
		if r := d.Execute(0, c.startup); !ok(r) {
			t.Fatalf("startup: %x", r)
		}
		if n := d.Reset.PCRUpdateCounter - before; n != c.counted {
			t.Errorf("%x: %d PCRs counted, not %d", c.startup, n, c.counted)
		}
	}
}

// What an audited command adds to the digest after TPM2_Shutdown(STATE) is not
// lost without a trace: there is no Resume from what was saved before.
func TestAuditAfterShutdown(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	d.Perm.Audited = append(d.Perm.Audited, tcg.TPMCCGetRandom)
	x := rawTPM{t, d}
	getRandom := func() { x.want(tcg.TPMRCSuccess, tcg.TPMCCGetRandom, nil, func(w *tcg.Writer) { w.Uint16(4) }) }
	getRandom()
	d.Execute(0, shutdownState)
	getRandom()
	d.Init()
	if r := d.Execute(0, startupState); tcg.TPMRC(binary.BigEndian.Uint32(r[6:])) != tcg.TPMRCValue.P(1) {
		t.Fatalf("Startup(STATE) after an audited command: %x", r)
	}
	if r := d.Execute(0, startupClear); !ok(r) {
		t.Fatalf("Startup(CLEAR): %x", r)
	}
}

// Clock that was read after TPM2_Shutdown is not read again after the next
// Startup, which calls it safe.
func TestClockReadAfterShutdown(t *testing.T) {
	t.Parallel()
	now := time.Hour
	d, err := Manufacture(engine.Config{Store: new(memStore), Now: func() time.Duration { return now }})
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	d.Execute(0, shutdownState)
	now += time.Minute
	d.Execute(0, []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x81})
	read := d.ClockNow()
	d.Init()
	if r := d.Execute(0, startupState); !ok(r) {
		t.Fatalf("Startup(STATE): %x", r)
	}
	if d.ClockNow() < read {
		t.Errorf("Clock is %d, and %d was read", d.ClockNow(), read)
	}
}

// Where command audit begins a digest, commands that have nothing else to save
// change nothing either when that save fails.
func TestFailedSaveWithAudit(t *testing.T) {
	t.Parallel()
	f := newFlaky(t, func() time.Duration { return time.Hour })
	x := rawTPM{t, f.d}
	rc, seq, _ := x.send(tcg.TPMCCHashSequenceStart, nil, func(w *tcg.Writer) {
		w.Sized(nil)
		w.Uint16(uint16(tcg.TPMAlgSHA256))
	})
	if rc != tcg.TPMRCSuccess {
		t.Fatalf("HashSequenceStart: %#x", uint32(rc))
	}
	password := []byte{0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 1, 0, 0}
	extend := append([]byte{0, 0, 0, 1, 0, 0x0B}, make([]byte, 32)...)
	for _, c := range []struct {
		cc     tcg.TPMCC
		h      tcg.TPMHandle
		params []byte
	}{
		{tcg.TPMCCPCRExtend, 8, extend},
		{tcg.TPMCCPCREvent, 8, []byte{0, 1, 7}},
		{tcg.TPMCCPCRReset, 16, nil},
		{tcg.TPMCCSequenceUpdate, seq, []byte{0, 1, 7}},
	} {
		f.d.Perm.Audited = append(f.d.Perm.Audited, c.cc)
		f.d.Reset.AuditDigest = nil
		f.d.Dirty = true
		if err := f.d.Save(); err != nil {
			t.Fatal(err)
		}
		b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0x80, 2}, 0), uint32(c.cc)), uint32(c.h))
		b = append(append(b, password...), c.params...)
		copy(b[2:], binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		f.raw(b)
		if f.failed[c.cc] != 1 {
			t.Errorf("%d saves of %s failed", f.failed[c.cc], tcg.CommandByCode(c.cc).Name)
		}
	}
}

// secondFails is a store whose second save from now on fails, if left is 2.
type secondFails struct {
	memStore
	left int
}

func (s *secondFails) Save(state []byte) error {
	if s.left--; s.left == 0 {
		return errors.New("no space")
	}
	return s.memStore.Save(state)
}

// The first command after TPM2_Shutdown saves twice: that what Shutdown saved
// is stale, and its own changes. Where the second save fails, a policy that the
// command went on with is what it was.
func TestFailedSaveAfterShutdown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cc     tcg.TPMCC
		params []byte
	}{
		{tcg.TPMCCPolicyCommandCode, []byte{0, 0, 1, 0x5E}},
		{tcg.TPMCCPolicyLocality, []byte{1}},
		{tcg.TPMCCPolicyPassword, nil},
		{tcg.TPMCCPolicyAuthValue, nil},
		{tcg.TPMCCPolicyPhysicalPresence, nil},
		{tcg.TPMCCPolicyPCR, []byte{0, 0, 0, 0, 0, 1, 0, 0x0B, 3, 1, 0, 0}},
		{tcg.TPMCCPolicyRestart, nil},
	} {
		t.Run(tcg.CommandByCode(c.cc).Name, func(t *testing.T) {
			t.Parallel()
			s := new(secondFails)
			d, err := Manufacture(engine.Config{Store: s, Log: t.Logf})
			if err != nil {
				t.Fatal(err)
			}
			x := rawTPM{t, d}
			clear := func(w *tcg.Writer) { w.Uint16(0) }
			x.want(tcg.TPMRCSuccess, tcg.TPMCCStartup, nil, clear)
			rc, session, _ := x.send(tcg.TPMCCStartAuthSession, handles(tcg.TPMRHNull, tcg.TPMRHNull), func(w *tcg.Writer) {
				w.Sized(make([]byte, 16))
				w.Sized(nil)
				w.Uint8(1) // TPM_SE_POLICY
				w.Uint16(uint16(tcg.TPMAlgNull))
				w.Uint16(uint16(tcg.TPMAlgSHA256))
			})
			if rc != tcg.TPMRCSuccess {
				t.Fatalf("StartAuthSession: %#x", uint32(rc))
			}
			x.want(tcg.TPMRCSuccess, tcg.TPMCCPolicyCommandCode, handles(session), func(w *tcg.Writer) { w.Uint32(0x15E) })
			d.Perm.Audited = append(d.Perm.Audited, c.cc)
			d.Dirty = true
			if err := d.Save(); err != nil {
				t.Fatal(err)
			}
			x.want(tcg.TPMRCSuccess, tcg.TPMCCShutdown, nil, clear)

			before := bytes.Clone(d.Session(session).Policy.Digest)
			s.left = 2
			x.want(tcg.TPMRCNVUnavailable, c.cc, handles(session), func(w *tcg.Writer) { w.B = append(w.B, c.params...) })
			if s.left != 0 {
				t.Fatalf("%d saves left before the one that fails", s.left)
			}
			if got := d.Session(session).Policy.Digest; !bytes.Equal(got, before) {
				t.Errorf("policyDigest became %x", got)
			}
		})
	}
}
