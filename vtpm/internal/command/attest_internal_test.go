package command

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpmmgr/evidence"
)

// FuzzAsk: the device takes what package evidence takes, reads the same Name, and
// nothing that is written to the index ends in failure mode or changes the state.
func FuzzAsk(f *testing.F) {
	ask := func(nonce int, alg tcg.TPMAlgID) []byte {
		b, err := (&evidence.Ask{Nonce: make([]byte, nonce), AK: append([]byte{0, byte(alg)}, make([]byte, alg.DigestSize())...)}).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(ask(16, tcg.TPMAlgSHA256))
	f.Add(ask(64, tcg.TPMAlgSHA512))
	f.Add(ask(32, tcg.TPMAlgSHA384))
	f.Add([]byte{})
	f.Add([]byte{1, 16})
	d, err := Manufacture(engine.Config{Store: new(memStore), Now: func() time.Duration { return time.Hour },
		Attest: func(_, _ []byte) ([]byte, error) { return []byte("x"), nil }})
	if err != nil {
		f.Fatal(err)
	}
	d.Execute(0, startupClear)
	f.Fuzz(func(t *testing.T, b []byte) {
		name, ok := parseAsk(b)
		a, err := evidence.ParseAsk(b)
		if ok != (err == nil) || ok && !bytes.Equal(name, a.AK) {
			t.Errorf("%x: %v, %x; package evidence: %v", b, ok, name, err)
		}
		for _, offset := range []uint16{0, uint16(len(b))} {
			cmd := command(tcg.TPMCCNVWrite, 1, nil, parameters(func(w *tcg.Writer) {
				w.Sized(b[:min(len(b), 1024)])
				w.Uint16(offset)
			}), tcg.TPMRHOwner, engine.AskIndex)
			if r := checkCommand(t, d, 0, cmd); ok && len(r) > 10 {
				t.Errorf("%x is answered, and no key is loaded", b)
			}
		}
	})
}

// TestPairOfEarlierVersion: what a guest defined at the pair's indices when they were
// free is gone.
func TestPairOfEarlierVersion(t *testing.T) {
	t.Parallel()
	d, s, _ := newTestDevice(t)
	for _, h := range handles(engine.AskIndex, engine.AnswerIndex) {
		p := tcg.TPMSNVPublic{NVIndex: h, NameAlg: tcg.TPMAlgSHA256, Attributes: tcg.TPMANVOwnerWrite | tcg.TPMANVOwnerRead | tcg.TPMANVOrderly, DataSize: 8}
		if rc := d.Perm.NV.Define(p, nil, 0); rc != tcg.TPMRCSuccess {
			t.Fatal(rc)
		}
	}
	d.Dirty = true
	if err := d.Save(); err != nil {
		t.Fatal(err)
	}
	v, err := d.Volatile()
	if err != nil {
		t.Fatal(err)
	}
	for _, attest := range []func(_, _ []byte) ([]byte, error){nil, func(_, _ []byte) ([]byte, error) { return nil, nil }} {
		again, err := Resume(engine.Config{Store: s, Attest: attest}, s.state, v)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		if attest != nil {
			want = 2
		}
		if len(again.Perm.NV.Indices) != 0 || len(again.IndexHandles()) != want {
			t.Errorf("%v", again.IndexHandles())
		}
	}
}

// TestTableCommandsAtPair sends commands made from the specification's table at the
// pair: a refused one changes neither index, none changes the answer but a question,
// and none ends in failure mode.
func TestTableCommandsAtPair(t *testing.T) {
	t.Parallel()
	rounds := 10000
	if testing.Short() {
		rounds = 2000
	}
	g := newTableGenerator(t, 13)
	g.indices = handles(engine.AskIndex, engine.AnswerIndex)
	answers := byte(0)
	attest := func(ask, _ []byte) ([]byte, error) { answers++; return append([]byte{answers}, ask...), nil }
	var name []byte
	renew := func() {
		cfg := g.d.Cfg
		cfg.Attest = attest
		v, err := g.d.Volatile()
		if err != nil {
			t.Fatal(err)
		}
		if g.d, err = Resume(cfg, g.d.Kept, v); err != nil {
			t.Fatal(err)
		}
		x := rawTPM{t, g.d}
		_, _, n := x.eccKey(tcg.TPMAObjectSignEncrypt|tcg.TPMAObjectRestricted|tcg.TPMAObjectFixedTPM|tcg.TPMAObjectFixedParent,
			tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDSA, HashAlg: tcg.TPMAlgSHA256}, noSym)
		name = n
	}
	renew()
	both := func() []byte {
		return append(encodedIndex(g.d, engine.AskIndex), encodedIndex(g.d, engine.AnswerIndex)...)
	}
	asked, named := 0, 0
	for i := range rounds {
		cmd := g.next()
		if i%10 == 0 {
			cmd = command(tcg.TPMCCNVWrite, 1, nil, parameters(func(w *tcg.Writer) {
				w.Nested(func(w *tcg.Writer) {
					w.Bytes(append([]byte{1, 16}, g.bytes(16)...))
					w.Uint8(uint8(len(name)))
					w.Bytes(name)
				})
				w.Uint16(0)
			}), tcg.TPMRHOwner, engine.AskIndex)
		}
		cc := tcg.TPMCC(binary.BigEndian.Uint32(cmd[6:]))
		if slices.Contains(slowCommands, cc) {
			continue
		}
		before := both()
		r := checkCommand(t, g.d, uint8(g.IntN(5)), cmd)
		if bytes.Contains(cmd, tcg.TPMHandle(engine.AskIndex).Bytes()) || bytes.Contains(cmd, tcg.TPMHandle(engine.AnswerIndex).Bytes()) {
			named++
		}
		if changed := !bytes.Equal(before, both()); changed {
			if asked++; !ok(r) || cc != tcg.TPMCCNVWrite {
				t.Fatalf("%v %x: %x, and the pair changed", cc, cmd, r)
			}
		}
		if i%200 == 199 || !g.d.Vol.Started {
			g.restart(t)
			renew()
		}
	}
	if asked < rounds/40 || named < rounds/10 {
		t.Errorf("%d questions, %d commands named an index: too few to say anything", asked, named)
	}
}
