package command

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/internal/clock"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
)

// A flaky TPM fails the first save of each command. What is answered
// TPM_RC_NV_UNAVAILABLE must have changed nothing, and is sent again as it was.
type flaky struct {
	t      *testing.T
	d      *engine.Device
	s      *memStore
	failed map[tcg.TPMCC]int
}

var errDisk = errors.New("disk is gone")

func (f *flaky) Send(cmd []byte) ([]byte, error) {
	f.t.Helper()
	before, counts := f.all(), countsBefore(f.d)
	f.s.fail = errDisk
	r := f.d.Execute(0, cmd)
	f.s.fail = nil
	if len(r) < 10 || tcg.TPMRC(binary.BigEndian.Uint32(r[6:])) != tcg.TPMRCNVUnavailable {
		return r, nil
	}
	counts.takeBack(f.d) // TestTriesCountWithoutStore looks at them
	if !bytes.Equal(before, f.all()) {
		f.t.Fatalf("command %x: not saved, and something changed:\n%x\n%x", cmd, before, f.all())
	}
	if len(cmd) >= 10 {
		f.failed[tcg.TPMCC(binary.BigEndian.Uint32(cmd[6:]))]++
	}
	return f.d.Execute(0, cmd), nil
}

// all is the whole state, as far as it would be kept for a Resume.
func (f *flaky) all() []byte {
	f.t.Helper()
	v, err := f.d.Volatile()
	if err != nil {
		f.t.Fatal(err)
	}
	return append(v, f.d.EncodePermanent().B...)
}

func newFlaky(t *testing.T, now func() time.Duration) *flaky {
	t.Helper()
	s := new(memStore)
	d, err := Manufacture(engine.Config{Store: s, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	f := &flaky{t: t, d: d, s: s, failed: map[tcg.TPMCC]int{}}
	r, _ := f.Send(startupClear)
	if !ok(r) || f.failed[tcg.TPMCCStartup] != 1 {
		t.Fatalf("startup: %x", r)
	}
	return f
}

func (f *flaky) raw(cmd []byte) {
	f.t.Helper()
	if r, _ := f.Send(cmd); !ok(r) {
		f.t.Fatalf("command %x: %x", cmd, r)
	}
}

// TestFailedSaveChangesNothing: of no command, on any way to its save, anything
// is left if that fails; it succeeds when it is sent again.
func TestFailedSaveChangesNothing(t *testing.T) {
	t.Parallel()
	still := func() time.Duration { return time.Hour }

	t.Run("everyday", func(t *testing.T) {
		t.Parallel()
		f := newFlaky(t, still)
		scenario(t, f)
		for _, cc := range []tcg.TPMCC{tcg.TPMCCNVDefineSpace, tcg.TPMCCNVIncrement, tcg.TPMCCEvictControl} {
			if f.failed[cc] == 0 {
				t.Errorf("no save of %s failed", tcg.CommandByCode(cc).Name)
			}
		}
	})

	t.Run("hierarchies", func(t *testing.T) {
		t.Parallel()
		f := newFlaky(t, still)
		srk, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(f)
		if err != nil {
			t.Fatal(err)
		}
		parent := tpm2.NamedHandle{Handle: srk.ObjectHandle, Name: srk.Name}
		// An audited session, and all that follows in it.
		session, done, err := tpm2.HMACSession(f, tpm2.TPMAlgSHA256, 16, tpm2.Audit())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (tpm2.EvictControl{
			Auth:         tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: session},
			ObjectHandle: &parent, PersistentHandle: 0x81000001,
		}).Execute(f); err != nil {
			t.Fatal(err)
		}
		if err := done(); err != nil {
			t.Fatal(err)
		}
		x := rawTPM{t, f.d}
		x.want(tcg.TPMRCSuccess, tcg.TPMCCSetPrimaryPolicy, handles(tcg.TPMRHPlatform), func(w *tcg.Writer) {
			w.Sized(bytes.Repeat([]byte{7}, 32))
			w.Uint16(uint16(tcg.TPMAlgSHA256))
		})
		password := []byte{0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 1, 0, 0}
		command := func(cc tcg.TPMCC, h tcg.TPMHandle, params ...byte) []byte {
			b := []byte{0x80, 0x02, 0, 0, 0, 0}
			b = binary.BigEndian.AppendUint32(b, uint32(cc))
			b = binary.BigEndian.AppendUint32(b, uint32(h))
			b = append(append(b, password...), params...)
			binary.BigEndian.PutUint32(b[2:], uint32(len(b)))
			return b
		}
		for _, c := range []struct {
			cc     tcg.TPMCC
			h      tcg.TPMHandle
			params []byte
			failed int
		}{
			{tcg.TPMCCSetCommandCodeAuditStatus, tcg.TPMRHOwner, []byte{0, 0x10, 0, 0, 0, 1, 0, 0, 1, 0x82, 0, 0, 0, 0}, 1}, // begins an audit digest
			{tcg.TPMCCPCRExtend, 8, append([]byte{0, 0, 0, 1, 0, 0x0B}, make([]byte, 32)...), 0},
			{tcg.TPMCCChangePPS, tcg.TPMRHPlatform, nil, 1},
			{tcg.TPMCCChangeEPS, tcg.TPMRHPlatform, nil, 1},
			{tcg.TPMCCClockSet, tcg.TPMRHOwner, []byte{0, 0, 1, 0, 0, 0, 0, 0}, 1},
			{tcg.TPMCCClear, tcg.TPMRHPlatform, nil, 1},
		} {
			f.raw(command(c.cc, c.h, c.params...))
			if f.failed[c.cc] != c.failed {
				t.Errorf("%d saves of %s failed, not %d", f.failed[c.cc], tcg.CommandByCode(c.cc).Name, c.failed)
			}
		}
		if f.d.Vol.Objects != (object.Slots{}) {
			t.Error("TPM2_Clear leaves objects")
		}

		// After a TPM2_Shutdown the first change has to be saved, whatever it is.
		f.raw(shutdownState)
		extends := f.failed[tcg.TPMCCPCRExtend]
		extend := command(tcg.TPMCCPCRExtend, 9, append([]byte{0, 0, 0, 1, 0, 0x0B}, make([]byte, 32)...)...)
		f.raw(extend)
		if f.failed[tcg.TPMCCPCRExtend] != extends+1 || f.d.Perm.Shutdown != engine.DisorderlyShutdown {
			t.Error("the first change after TPM2_Shutdown was not saved")
		}
		// One that is refused leaves it an orderly one.
		f.raw(shutdownState)
		bad := bytes.Clone(extend)
		bad[len(bad)-33] = 0xEE // no such algorithm
		if r, _ := f.Send(bad); ok(r) || f.d.Perm.Shutdown != uint16(tcg.TPMSUState) || !f.d.Vol.ShutdownDone {
			t.Errorf("after a refused command: %x, shutdown %#x", r, f.d.Perm.Shutdown)
		}
		f.d.Init()
		f.raw(startupState)
	})

	t.Run("policies", func(t *testing.T) {
		t.Parallel()
		f := newFlaky(t, still)
		// A PIN index counts what it authorizes: here a policy command.
		const index = tpm2.TPMHandle(0x01800009)
		if _, err := (tpm2.NVDefineSpace{
			AuthHandle: tpm2.TPMRHOwner, Auth: tpm2.TPM2BAuth{Buffer: []byte("pin")},
			PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
				Attributes: tpm2.TPMANV{OwnerWrite: true, AuthRead: true, NT: tpm2.TPMNTPinPass, NoDA: true}}),
		}).Execute(f); err != nil {
			t.Fatal(err)
		}
		name := func() tpm2.TPM2BName { return must1(tpm2.NVReadPublic{NVIndex: index}.Execute(f)).NVName }
		if _, err := (tpm2.NVWrite{AuthHandle: tpm2.TPMRHOwner, NVIndex: tpm2.NamedHandle{Handle: index, Name: name()},
			Data: tpm2.TPM2BMaxNVBuffer{Buffer: []byte{0, 0, 0, 0, 0, 0, 0, 9}}}).Execute(f); err != nil {
			t.Fatal(err)
		}
		session, done, err := tpm2.PolicySession(f, tpm2.TPMAlgSHA256, 16)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (tpm2.PolicySecret{
			AuthHandle:    tpm2.AuthHandle{Handle: index, Name: name(), Auth: tpm2.PasswordAuth([]byte("pin"))},
			PolicySession: session.Handle(), NonceTPM: session.NonceTPM(),
		}).Execute(f); err != nil {
			t.Fatal(err)
		}
		if count, _ := f.d.Perm.NV.Indices[tcg.TPMHandle(index)].PIN(); count != 1 || f.failed[tcg.TPMCCPolicySecret] != 1 {
			t.Errorf("%d uses counted, %d saves failed", count, f.failed[tcg.TPMCCPolicySecret])
		}
		if err := done(); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("recorded", func(t *testing.T) {
		t.Parallel()
		files, err := filepath.Glob("testdata/streams/*.bin")
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for _, file := range files {
			stream, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f := newFlaky(t, still)
			var cmd []byte
			for n := 0; len(stream) > 0 && n < streamCommands; n++ {
				cmd, stream = nextOf(stream)
				f.Send(cmd)
			}
			for _, n := range f.failed {
				failed += n
			}
		}
		t.Logf("%d saves of recorded commands failed", failed)
		if failed < 20 {
			t.Errorf("only %d saves failed", failed)
		}
	})
}

// TestUnsavedCommands sends all kinds of commands that may change the permanent state
// to a TPM whose store fails. Nothing is left of one that could not be saved, in what
// is loaded either.
func TestUnsavedCommands(t *testing.T) {
	t.Parallel()
	g := newTableGenerator(t, 7)
	g.specs = slices.DeleteFunc(g.specs, func(s *tcg.CommandSpec) bool {
		return s.Has(tcg.AttrReads) || s.Has(tcg.AttrVolatile) || !g.d.Implements(s.Code) || slices.Contains(slowCommands, s.Code)
	})
	failed := map[tcg.TPMCC]int{}
	for range 1500 {
		store := g.d.Cfg.Store.(*memStore)
		f := flaky{t: t, d: g.d, s: store}
		store.fail = errDisk
		cmd := g.next()
		before, counts := f.all(), countsBefore(g.d)
		r := g.d.Execute(0, cmd)
		if store.fail = nil; ok(r) { // what it changed is not permanent
			g.restart(t)
			continue
		}
		counts.takeBack(g.d) // TestTriesCountWithoutStore looks at them
		if after := f.all(); !bytes.Equal(before, after) {
			t.Fatalf("command %x: answered %x, and something changed:\n%x\n%x", cmd, r, before, after)
		}
		if tcg.TPMRC(binary.BigEndian.Uint32(r[6:])) == tcg.TPMRCNVUnavailable {
			failed[tcg.TPMCC(binary.BigEndian.Uint32(cmd[6:]))]++
		}
	}
	var never []tcg.TPMCC
	for _, s := range g.specs {
		if failed[s.Code] == 0 {
			never = append(never, s.Code)
		}
	}
	t.Logf("saves of %d kinds of commands failed; not of %v", len(failed), never)
	if len(failed) < 10 {
		t.Errorf("saves of only %d kinds of commands failed", len(failed))
	}
}

// TestClockThatCannotBeSaved: it stands still, commands go on, and nothing that
// was read of it is read again.
func TestClockThatCannotBeSaved(t *testing.T) {
	t.Parallel()
	now := time.Hour
	s := new(memStore)
	d, err := Manufacture(engine.Config{Store: s, Now: func() time.Duration { return now }})
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	readClock := func() uint64 {
		t.Helper()
		r, err := tpm2.ReadClock{}.Execute(client{d})
		if err != nil {
			t.Fatal(err)
		}
		return r.CurrentTime.ClockInfo.Clock
	}
	const clockInterval = clock.SaveInterval
	const interval = clockInterval * time.Millisecond
	d.Perm.DA.FailedTries = 3
	d.Dirty = true
	if err := d.Save(); err != nil {
		t.Fatal(err)
	}
	s.fail = errDisk
	saves := s.saves
	now += 2 * interval
	for range 3 {
		if c := readClock(); c != clockInterval-1 {
			t.Fatalf("Clock is %d, not one before %d", c, clockInterval)
		}
		now += time.Second
	}
	if d.Perm.DA.FailedTries != 3 {
		t.Fatalf("%d failures count; that one is forgiven was not saved", d.Perm.DA.FailedTries)
	}
	now += engine.SaveRetry
	if c := readClock(); c != clockInterval-1 || s.saves != saves {
		t.Fatalf("after another try Clock is %d", c)
	}
	s.fail = nil
	now += engine.SaveRetry
	if c := readClock(); c != clockInterval || s.saves != saves+1 || d.Perm.DA.FailedTries != 2 {
		t.Fatalf("Clock is %d after %d saves, failures %d", c, s.saves-saves, d.Perm.DA.FailedTries)
	}
	now += time.Minute
	if c := readClock(); c != clockInterval+60000 {
		t.Fatalf("Clock is %d: it does not run again", c)
	}
}
