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

// profile185 is a profile with all commands that there are.
func profile185() *tcg.Profile { return tcg.NamedProfile("default-v2") }

// newDevice185 is testDevice with all commands, started.
func newDevice185(t testing.TB, s engine.Store) *engine.Device {
	t.Helper()
	d, err := Manufacture(engine.Config{Store: s, Profile: profile185(), Now: func() time.Duration { return time.Hour }})
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	return d
}

// primaryML is the parameters of a TPM2_CreatePrimary of a key of version 1.85. parms
// writes those of the type.
func primaryML(typ tcg.TPMAlgID, attrs tcg.TPMAObject, parms func(w *tcg.Writer)) []byte {
	return parameters(func(w *tcg.Writer) {
		w.Nested(func(w *tcg.Writer) { w.Sized(nil); w.Sized(nil) })
		w.Nested(func(w *tcg.Writer) {
			w.Uint16(uint16(typ))
			w.Uint16(uint16(tcg.TPMAlgSHA256))
			w.Uint32(uint32(attrs | tcg.TPMAObjectSensitiveDataOrigin | tcg.TPMAObjectUserWithAuth | tcg.TPMAObjectNoDA))
			w.Sized(nil)
			parms(w)
			w.Sized(nil)
		})
		w.Sized(nil)
		w.Uint32(0)
	})
}

// scenario185 sends commands of version 1.85 of every kind, all of which succeed, and
// leaves sequences and a persistent key.
func scenario185(t testing.TB, send func(cmd []byte) []byte) {
	t.Helper()
	run := func(cc tcg.TPMCC, auths int, f func(w *tcg.Writer), handles ...tcg.TPMHandle) []byte {
		t.Helper()
		var params []byte
		if f != nil {
			params = parameters(f)
		}
		r := send(command(cc, auths, nil, params, handles...))
		if !ok(r) {
			t.Fatalf("%v: %x", cc, r[:min(len(r), 10)])
		}
		r = r[10:]
		if tcg.CommandByCode(cc).ResponseHandle != nil {
			r = r[4:]
		}
		if auths > 0 {
			r = r[4 : 4+binary.BigEndian.Uint32(r)]
		}
		return bytes.Clone(r)
	}
	sized := func(b ...string) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			for _, x := range b {
				w.Sized([]byte(x))
			}
		}
	}
	raw := func(b []byte) func(w *tcg.Writer) { return func(w *tcg.Writer) { w.Bytes(b) } }
	set := func(v ...uint16) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			for _, x := range v {
				w.Uint16(x)
			}
		}
	}
	primary := func(typ tcg.TPMAlgID, attrs tcg.TPMAObject, parms func(w *tcg.Writer)) {
		run(tcg.TPMCCCreatePrimary, 1, raw(primaryML(typ, attrs, parms)), tcg.TPMRHOwner)
	}
	const first = tcg.TPMHandle(0x80000000)
	dsa, hashed, kem, seq := first, first+1, first+2, first+3
	primary(tcg.TPMAlgMLDSA, tcg.TPMAObjectSignEncrypt, func(w *tcg.Writer) { w.Uint16(tcg.TPMMLDSA44); w.Uint8(1) })
	primary(tcg.TPMAlgHashMLDSA, tcg.TPMAObjectSignEncrypt, set(tcg.TPMMLDSA65, uint16(tcg.TPMAlgSHA256)))
	primary(tcg.TPMAlgMLKEM, tcg.TPMAObjectDecrypt, set(uint16(tcg.TPMAlgNull), tcg.TPMMLKEM768))
	for _, key := range []tcg.TPMHandle{dsa, hashed} {
		run(tcg.TPMCCSignSequenceStart, 0, sized("", "context"), key)
		run(tcg.TPMCCSequenceUpdate, 1, sized("a message "), seq)
		sig := run(tcg.TPMCCSignSequenceComplete, 2, sized("in pieces"), seq, key)
		run(tcg.TPMCCVerifySequenceStart, 0, sized("", "", "context"), key)
		run(tcg.TPMCCSequenceUpdate, 1, sized("a message in pieces"), seq)
		run(tcg.TPMCCVerifySequenceComplete, 1, raw(sig), seq, key)
		context, digest := "", string(bytes.Repeat([]byte{7}, 64))
		if key == hashed {
			context, digest = "context", digest[:32]
		}
		sig = run(tcg.TPMCCSignDigest, 1, func(w *tcg.Writer) {
			sized(context, digest)(w)
			k := tcg.NullTicket(tcg.TPMSTHashCheck)
			k.Marshal(w)
		}, key)
		run(tcg.TPMCCVerifyDigestSignature, 0, func(w *tcg.Writer) { sized(context, digest)(w); w.Bytes(sig) }, key)
	}
	r := tcg.NewReader(run(tcg.TPMCCEncapsulate, 0, nil, kem), nil)
	r.Sized(64)
	run(tcg.TPMCCDecapsulate, 1, raw(r.Rest()), kem)
	run(tcg.TPMCCEvictControl, 1, func(w *tcg.Writer) { w.Uint32(0x81000010) }, tcg.TPMRHOwner, dsa)
	run(tcg.TPMCCSignSequenceStart, 0, sized("", "context"), dsa)
	run(tcg.TPMCCSequenceUpdate, 1, sized("a message "), seq)
	run(tcg.TPMCCVerifySequenceStart, 0, sized("", "", ""), hashed)
	saved := run(tcg.TPMCCContextSave, 0, func(w *tcg.Writer) { w.Uint32(uint32(seq)) })
	run(tcg.TPMCCContextLoad, 0, raw(saved))
}

// corpus185 is what scenario185 sends.
func corpus185(t testing.TB) (commands [][]byte) {
	t.Helper()
	d := newDevice185(t, new(memStore))
	scenario185(t, func(cmd []byte) []byte {
		commands = append(commands, bytes.Clone(cmd))
		return d.Execute(0, cmd)
	})
	return commands
}

// TestFailedSaves185: of a command of version 1.85 whose save fails, be it the first
// after TPM2_Shutdown or one that makes a key persistent, nothing is left; it succeeds
// when it is sent again.
func TestFailedSaves185(t *testing.T) {
	t.Parallel()
	s := new(memStore)
	f := &flaky{t: t, d: newDevice185(t, s), s: s, failed: map[tcg.TPMCC]int{}}
	scenario185(t, func(cmd []byte) []byte {
		f.d.Execute(0, shutdownState) // so that each command has to be saved
		r, _ := f.Send(cmd)
		return r
	})
	for cc := tcg.TPMCCVerifySequenceComplete; cc <= tcg.TPMCCSignSequenceStart; cc++ {
		if f.failed[cc] == 0 {
			t.Errorf("no save of %v failed", cc)
		}
	}
}

// TestPowerCuts185 cuts the power at each save that a command of version 1.85 makes,
// before and after it takes effect: none was answered, and the state that is found
// loads, with the key that was made persistent or without it.
func TestPowerCuts185(t *testing.T) {
	t.Parallel()
	cuts := map[tcg.TPMCC]int{}
	for _, late := range []bool{false, true} {
		s := new(cutStore)
		d := newDevice185(t, s)
		scenario185(t, func(cmd []byte) []byte {
			cc := tcg.TPMCC(binary.BigEndian.Uint32(cmd[6:]))
			if cc != tcg.TPMCCEvictControl { // which saves anyway
				d.Execute(0, shutdownState)
			}
			volatile, err := d.Volatile()
			if err != nil {
				t.Fatal(err)
			}
			before := bytes.Clone(s.state)
			s.n, s.at, s.late = 0, 1, late
			r, err := execute(d, 0, cmd)
			if err != nil || ok(r) || s.n != 1 {
				t.Fatalf("%v: %d saves, %v, %x", cc, s.n, err, r[:min(len(r), 10)])
			}
			if !late && !bytes.Equal(s.state, before) {
				t.Fatalf("%v: the state changed before the cut", cc)
			}
			cuts[cc]++
			found := reload(t, s.state)
			if found.Execute(0, startupClear); !found.Vol.Started || found.Vol.Failed {
				t.Fatalf("%v: the state that is found does not start", cc)
			}
			_, there := found.Perm.Objects[0x81000010]
			if cc == tcg.TPMCCEvictControl && there != late {
				t.Fatalf("%v: the key is there: %v", cc, there)
			}
			// The story goes on as if there had been no cut.
			s.n, s.at, s.state = 0, 0, before
			cfg := d.Cfg
			if d, err = Resume(cfg, before, volatile); err != nil {
				t.Fatalf("%v: %v", cc, err)
			}
			return d.Execute(0, cmd)
		})
	}
	for cc := tcg.TPMCCVerifySequenceComplete; cc <= tcg.TPMCCSignSequenceStart; cc++ {
		if cuts[cc] < 2 {
			t.Errorf("%v: %d cuts", cc, cuts[cc])
		}
	}
}

// TestResume185Damaged: a volatile state with signature sequences is resumed from, and
// none is that is cut off at any byte.
func TestResume185Damaged(t *testing.T) {
	t.Parallel()
	s := new(memStore)
	d := newDevice185(t, s)
	scenario185(t, func(cmd []byte) []byte { return d.Execute(0, cmd) })
	v, err := d.Volatile()
	if err != nil {
		t.Fatal(err)
	}
	if v[5] != engine.VolatileVersion {
		t.Errorf("version %d", v[5])
	}
	for n := range v {
		if _, err := Resume(engine.Config{Store: s}, s.state, v[:n]); !errors.Is(err, engine.ErrState) {
			t.Fatalf("%d bytes of %d: %v", n, len(v), err)
		}
	}
	if _, err := Resume(engine.Config{Store: s}, s.state, v); err != nil {
		t.Fatal(err)
	}
}

func FuzzResume185(f *testing.F) {
	s := new(memStore)
	d := newDevice185(f, s)
	scenario185(f, func(cmd []byte) []byte { return d.Execute(0, cmd) })
	v, err := d.Volatile()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(v)
	f.Fuzz(func(t *testing.T, v []byte) {
		d, err := Resume(engine.Config{Store: new(memStore)}, s.state, v)
		if err != nil {
			if !errors.Is(err, engine.ErrState) {
				t.Fatal(err)
			}
			return
		}
		for h := range tcg.TPMHandle(8) {
			d.Execute(0, command(tcg.TPMCCSequenceUpdate, 1, nil, []byte{0, 1, 7}, 0x80000000+h))
			d.Execute(0, command(tcg.TPMCCSignSequenceComplete, 2, nil, []byte{0, 0}, 0x80000000+h, 0x80000000))
		}
	})
}
