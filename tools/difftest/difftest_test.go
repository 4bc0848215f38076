package main

import (
	"bytes"
	"encoding/binary"
	"testing"

	"stubtpm/tools/difftest/stream"
	"stubtpm/tools/hosted/tpmproc"
	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

// ciSeed is where CI begins; other seeds are for the long run.
const ciSeed = 1000

// TestSwtpm compares 5,000 commands with Debian's swtpm.
func TestSwtpm(t *testing.T) {
	if testing.Short() {
		t.Skip("5,000 commands to two TPMs: not with -short")
	}
	swtpm, err := tpmproc.Swtpm()
	if err != nil {
		t.Skip(err)
	}
	compare(t, open(swtpm), 5000)
}

// TestSelf compares our device with another of its kind: nothing may differ,
// which is a test of the generator and its model.
func TestSelf(t *testing.T) {
	t.Parallel()
	res := compare(t, func() (stream.TPM, stream.TPM, func(), error) {
		a, err := newDevice()
		if err != nil {
			return nil, nil, nil, err
		}
		b, err := newDevice()
		return b, a, func() {}, err
	}, 1500)
	if len(res.Known) != 0 {
		t.Errorf("differences to itself: %v", res.Known)
	}
	if res.Succeeded < res.Commands/2 {
		t.Errorf("only %d of %d commands succeeded", res.Succeeded, res.Commands)
	}
}

// A restored device is ours that, at every third command, is saved and goes on as
// another one, made of its states.
type restored struct {
	*vtpm.Device
	state []byte
	n     int
}

func (r *restored) Save(state []byte) error {
	r.state = bytes.Clone(state)
	return nil
}

func (r *restored) Execute(cmd []byte) ([]byte, error) {
	if r.n++; r.n%3 == 0 {
		v, err := r.Volatile()
		if err != nil {
			return nil, err
		}
		if r.Device, err = vtpm.Resume(vtpm.Config{Store: r}, r.state, v); err != nil {
			return nil, err
		}
	}
	return r.Device.Execute(0, cmd), nil
}

func (r *restored) Reset() error { r.Init(); return nil }

// TestSelf185 compares the keys and commands of version 1.85, which the other TPMs
// have not, on our device with one that is saved and restored again and again.
func TestSelf185(t *testing.T) {
	t.Parallel()
	profile := tcg.NamedProfile("default-v2")
	n := 20000
	if testing.Short() {
		n = 2500
	}
	res, err := stream.Run(stream.Options{Seed: ciSeed, Commands: n, V185: true, Open: func() (stream.TPM, stream.TPM, func(), error) {
		a, err := vtpm.Manufacture(vtpm.Config{Store: noStore{}, Profile: profile})
		if err != nil {
			return nil, nil, nil, err
		}
		b := new(restored)
		b.Device, err = vtpm.Manufacture(vtpm.Config{Store: b, Profile: profile})
		return device{a}, b, func() {}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(res)
	if len(res.Divergences) > 0 || len(res.Known) > 0 {
		t.Errorf("%d divergences, differences to itself: %v", len(res.Divergences), res.Known)
	}
	for cc := tcg.TPMCCVerifySequenceComplete; cc <= tcg.TPMCCSignSequenceStart; cc++ {
		if n := res.Codes[cc]; n[1] < 3 {
			t.Errorf("%v: sent %d times, succeeded %d times", cc, n[0], n[1])
		}
	}
}

// A wrong device is ours with a fault in what it answers.
type wrong struct {
	stream.TPM
	alter func(command, response []byte) []byte
}

func (w wrong) Execute(command []byte) ([]byte, error) {
	b, err := w.TPM.Execute(command)
	if err == nil && len(b) >= 10 && len(command) >= 10 {
		b = w.alter(command, bytes.Clone(b))
	}
	return b, err
}

// TestWrong gives our device faults of the kind that the differential tester is
// there to find: each is found, so that no listed difference hides it.
func TestWrong(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of commands to two TPMs: not with -short")
	}
	swtpm, err := tpmproc.Swtpm()
	if err != nil {
		t.Skip(err)
	}
	code := func(b []byte) tcg.TPMCC { return tcg.TPMCC(binary.BigEndian.Uint32(b[6:])) }
	good := func(b []byte) bool { return binary.BigEndian.Uint32(b[6:]) == 0 }
	tries := 0
	for name, alter := range map[string]func(command, response []byte) []byte{
		"an attribute of an index": func(c, r []byte) []byte {
			if code(c) == tcg.TPMCCNVReadPublic && good(r) && len(r) > 21 && r[0] == 0x80 && r[1] == 1 {
				r[18] ^= 0x20 // TPMA_NV_WRITTEN
			}
			return r
		},
		"a counter": func(c, r []byte) []byte {
			if code(c) == tcg.TPMCCNVRead && good(r) && r[1] == 2 && len(r) >= 24 && r[15] == 8 {
				r[23]++
			}
			return r
		},
		"which parameter is at fault": func(c, r []byte) []byte {
			if rc := binary.BigEndian.Uint32(r[6:]); rc&0xC0 == 0xC0 && rc&0xF00 == 0x100 {
				r[8] = r[8]&0xF0 | 2
			}
			return r
		},
		"lockout too early": func(c, r []byte) []byte {
			if rc := binary.BigEndian.Uint32(r[6:]); rc&^0x700 == 0x88E {
				if tries++; tries%4 == 0 {
					binary.BigEndian.PutUint32(r[6:], uint32(tcg.TPMRCLockout))
				}
			}
			return r
		},
		"no failure of an authorization": func(c, r []byte) []byte {
			rc := binary.BigEndian.Uint32(r[6:])
			if spec := tcg.CommandByCode(code(c)); spec != nil && len(spec.Response) == 0 && spec.AuthCount() == 1 && (rc == 0x9A2 || rc == 0x98E) {
				return []byte{0x80, 2, 0, 0, 0, 19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}
			}
			return r
		},
		"a digest": func(c, r []byte) []byte {
			if code(c) == tcg.TPMCCHash && good(r) {
				r[len(r)-1] ^= 1
				r[12] ^= 1
			}
			return r
		},
	} {
		pair := open(swtpm)
		res, err := stream.Run(stream.Options{Seed: ciSeed, Commands: 6000, Stop: 1, Open: func() (stream.TPM, stream.TPM, func(), error) {
			a, b, done, err := pair()
			return wrong{a, alter}, b, done, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Divergences) == 0 {
			t.Errorf("%s: not found in %d commands", name, res.Commands)
		} else {
			t.Logf("%s: found after %d commands: %s", name, res.Commands, res.Divergences[0].What)
		}
	}
}

func compare(t *testing.T, open func() (stream.TPM, stream.TPM, func(), error), n int) *stream.Result {
	t.Helper()
	res, err := stream.Run(stream.Options{Seed: ciSeed, Commands: n, Open: open})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(res)
	if len(res.Divergences) > 0 {
		t.Errorf("%d divergences", len(res.Divergences))
	}
	return res
}

// TestDifferences checks that each has a paragraph and a reason.
func TestDifferences(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, d := range stream.Differences {
		if d.Name == "" || d.Paragraph == "" || d.Reason == "" || names[d.Name] {
			t.Errorf("%+v", d)
		}
		names[d.Name] = true
	}
}
