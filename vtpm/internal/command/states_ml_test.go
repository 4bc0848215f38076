package command_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"testing"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// Fixtures of a TPM whose profile is stored in version 3, and of its volatile state in
// version 4.
const (
	stateML    = "testdata/state-profile-v3.bin"
	volatileML = "testdata/volatile-v4.bin"
	contextML  = "testdata/context-v4.bin" // of a sequence
)

// Handles of what the fixture has.
const (
	mlParent   = tcg.TPMHandle(0x81000001) // ML-KEM-768, storage
	mlSigner   = tcg.TPMHandle(0x81000002) // ML-DSA-65, its child
	mlSequence = tcg.TPMHandle(0x80000000) // of mlSigner, with "one, "
)

// makeML writes the fixture.
func makeML(t *testing.T) {
	t.Helper()
	tpm := tpmtest.New(t, tpmtest.Profile("base = default-v2"), tpmtest.Seed(185))
	parent := tpm.Primary(owner, tpmtest.MLKEM(tpmtest.Parent|tpmtest.Fixed), none)
	tpm.Do(tcg.TPMCCEvictControl, handles{owner, parent.Handle}, nil, mlParent)
	tpm.Flush(parent.Handle)
	key := tpm.Create(mlParent, tpmtest.MLDSA(0), none)
	tpm.Do(tcg.TPMCCEvictControl, handles{owner, key.Handle}, nil, mlSigner)
	tpm.Flush(key.Handle)
	h := startSign(tpm, mlSigner, "auth", "context")
	tpm.Do(tcg.TPMCCSequenceUpdate, handles{h}, auths{tpmtest.Password("auth")}, "one, ")
	context := bytes.Clone(tpm.Do(tcg.TPMCCContextSave, handles{h}, nil).Params)
	volatile, err := tpm.Volatile()
	if err != nil || h != mlSequence {
		t.Fatalf("sequence %#x: %v", h, err)
	}
	for name, b := range map[string][]byte{stateML: tpm.Store.State(), volatileML: volatile, contextML: context} {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStateML loads and resumes what was written when profiles got version 3: its keys
// are there and are the ones of then, and a sequence that was begun is completed.
func TestStateML(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(stateML); os.IsNotExist(err) && flag.Lookup("update").Value.String() == "true" {
		makeML(t)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tpm := tpmtest.Load(t, read(stateML))
	resumed, err := vtpm.Resume(vtpm.Config{Store: tpm.Store}, read(stateML), read(volatileML))
	if err != nil {
		t.Fatal(err)
	}
	cold := tpm.Device
	tpm.Device = resumed
	key := tpmtest.Object{Handle: mlSigner, Public: tpm.Public(mlSigner)}
	a := auths{tpmtest.Password("auth"), tpmtest.Password("")}
	fromContext := tpm.Do(tcg.TPMCCContextLoad, nil, nil, tpmtest.Raw(read(contextML))).Handle
	for _, h := range []tcg.TPMHandle{mlSequence, fromContext} {
		s := signature(tpm.Do(tcg.TPMCCSignSequenceComplete, handles{h, mlSigner}, a, "two"))
		checkSignature(t, &key, "context", "one, two", s, nil)
	}

	tpm.Device = cold
	tpm.Do(tcg.TPMCCStartup, nil, nil, tcg.TPMSUClear)
	for h, want := range map[tcg.TPMHandle]string{
		mlParent: "000b73af3e5d2182b59c93af1e3110a2da03255abdd58a24dd015294d0f2d5de4de5",
		mlSigner: "000b9c9153ce3ce8e1a68497cee6997e0c44b38c2e127579b29adefaea77463197d4",
	} {
		if got := hex.EncodeToString(tpm.Name(h)); got != want {
			t.Errorf("%#x: %s, always was %s", h, got, want)
		}
	}
	parent := tpm.Primary(owner, tpmtest.MLKEM(tpmtest.Parent|tpmtest.Fixed), none)
	if !bytes.Equal(parent.Name, tpm.Name(mlParent)) {
		t.Error("the seed makes another storage key")
	}
	item := tpm.Create(mlParent, tpmtest.Sealed(), data("treasure"))
	if got := take(tpm.Do(tcg.TPMCCUnseal, handles{item.Handle}, nil)); string(got) != "treasure" {
		t.Errorf("unsealed %q", got)
	}
	checkSignature(t, &key, "", "message", signMessage(tpm, mlSigner, "", "message"), nil)
}
