package command

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/internal/engine"
)

// TestResumeInPolicySession stops a device in the middle of a policy session
// and goes on with another made of its states.
func TestResumeInPolicySession(t *testing.T) {
	t.Parallel()
	d, s, tpm := newTestDevice(t)
	scenario(t, tpm)
	session, _, err := tpm2.PolicySession(tpm, tpm2.TPMAlgSHA256, 16)
	if err != nil {
		t.Fatal(err)
	}
	pcrs := tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(8)}}}
	if _, err := (tpm2.PolicyPCR{PolicySession: session.Handle(), Pcrs: pcrs}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	want, err := tpm2.PolicyGetDigest{PolicySession: session.Handle()}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	v, err := d.Volatile()
	if err != nil {
		t.Fatal(err)
	}

	d2, err := Resume(engine.Config{Store: s}, s.state, v)
	if err != nil {
		t.Fatal(err)
	}
	tpm = client{d2}
	got, err := tpm2.PolicyGetDigest{PolicySession: session.Handle()}.Execute(tpm)
	if err != nil || !bytes.Equal(got.PolicyDigest.Buffer, want.PolicyDigest.Buffer) {
		t.Fatalf("policy digest after resuming: %v", err)
	}
	again, err := d2.Volatile()
	if err != nil || len(again) != len(v) {
		t.Fatalf("volatile state of the resumed device: %d bytes, was %d: %v", len(again), len(v), err)
	}
	if !bytes.Equal(d.Vol.PCRs.Bank(0x0B).Value(8), d2.Vol.PCRs.Bank(0x0B).Value(8)) {
		t.Fatal("PCR 8 is another")
	}

	other := new(memStore)
	if _, err := Manufacture(engine.Config{Store: other}); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(engine.Config{Store: other}, other.state, v); !errors.Is(err, engine.ErrState) {
		t.Fatalf("with another TPM's permanent state: %v", err)
	}
	for n := range v {
		if _, err := Resume(engine.Config{Store: s}, s.state, v[:n]); !errors.Is(err, engine.ErrState) {
			t.Fatalf("%d bytes of %d: %v", n, len(v), err)
		}
	}
}

// TestMeasuredLaunch checks PCR 0 after an H-CRTM, and PCR 17 after a dynamic
// launch, against values computed here.
func TestMeasuredLaunch(t *testing.T) {
	t.Parallel()
	d := testDevice(t, new(memStore))
	event := sha256.Sum256([]byte("code"))
	extend := func(start byte) []byte {
		old := make([]byte, 32)
		old[31] = start
		v := sha256.Sum256(append(old, event[:]...))
		return v[:]
	}
	launch := func() {
		d.HashStart()
		d.HashData([]byte("co"))
		d.HashData([]byte("de"))
		d.HashEnd()
	}
	launch()
	d.Execute(0, startupClear)
	if got := d.Vol.PCRs.Bank(0x0B).Value(0); !bytes.Equal(got, extend(4)) {
		t.Fatalf("PCR 0 after an H-CRTM: %x", got)
	}
	if got := d.Vol.PCRs.Bank(0x0B).Value(17); !bytes.Equal(got, bytes.Repeat([]byte{0xFF}, 32)) {
		t.Fatalf("PCR 17 before a launch: %x", got)
	}
	launch()
	if got := d.Vol.PCRs.Bank(0x0B).Value(17); !bytes.Equal(got, extend(0)) {
		t.Fatalf("PCR 17 after a launch: %x", got)
	}
	if got := d.Vol.PCRs.Bank(0x0B).Value(18); !bytes.Equal(got, make([]byte, 32)) {
		t.Fatalf("PCR 18 after a launch: %x", got)
	}
}

func FuzzResume(f *testing.F) {
	s := new(memStore)
	d := testDevice(f, s)
	d.Execute(0, startupClear)
	scenario(f, client{d})
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
		d.Execute(0, []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x81})
		if d.Vol.Failed {
			t.Fatal("failure mode")
		}
	})
}
