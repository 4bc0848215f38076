package tpmtest_test

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// A TPM in one line, and a command by its table.
func Example() {
	tpm := tpmtest.New(nil) // of a test: tpmtest.New(t)
	r := tpm.Do(tcg.TPMCCGetRandom, nil, nil, 16)
	fmt.Println(len(r.Sized(64)), "bytes")

	r = tpm.Run(tcg.TPMCCNVReadPublic, tpmtest.Handles{0x01800001}, nil)
	fmt.Println(r.Code)
	// Output:
	// 16 bytes
	// TPM_RC_HANDLE (handle 1)
}

// go-tpm's typed commands and sessions work as well.
func Example_goTPM() {
	tpm := tpmtest.New(nil)
	session := tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.AESEncryption(128, tpm2.EncryptOut))
	r, err := tpm2.GetRandom{BytesRequested: 16}.Execute(tpm, session)
	fmt.Println(len(r.RandomBytes.Buffer), err)
	// Output: 16 <nil>
}

// A session that is salted and bound encrypts the secret of an object on its way
// in, and its data on their way out.
func ExampleTPM_StartSession() {
	tpm := tpmtest.New(nil)
	srk := tpm.Primary(tcg.TPMRHOwner, tpmtest.ECC(tpmtest.Parent|tpmtest.Fixed), tcg.TPMSSensitiveCreate{})
	s := tpm.StartSession(tpmtest.SessionParams{
		Salt: srk.Handle, Bind: srk.Handle,
		Symmetric: tcg.TPMTSymDef{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: tcg.TPMAlgCFB},
	})
	s.Attributes |= tcg.TPMASessionDecrypt
	r := tpm.Do(tcg.TPMCCCreate, tpmtest.Handles{srk.Handle}, tpmtest.Auths{s},
		tcg.TPMSSensitiveCreate{UserAuth: []byte("open"), Data: []byte("the code is 7-3-1-9")}, tpmtest.Sealed(), nil, nil)
	private, public := bytes.Clone(r.Sized(1024)), bytes.Clone(r.Sized(1024))
	item := tpm.Do(tcg.TPMCCLoad, tpmtest.Handles{srk.Handle}, nil, private, public).Handle

	s.Attributes = tcg.TPMASessionContinueSession | tcg.TPMASessionEncrypt
	s.AuthValue = []byte("open")
	r = tpm.Do(tcg.TPMCCUnseal, tpmtest.Handles{item}, tpmtest.Auths{s})
	fmt.Printf("%s\n", r.Sized(128))

	s.AuthValue = []byte("guess")
	fmt.Println(tpm.Run(tcg.TPMCCUnseal, tpmtest.Handles{item}, tpmtest.Auths{s}).Code)
	// Output:
	// the code is 7-3-1-9
	// TPM_RC_BAD_AUTH (session 1)
}

// A save that fails fails the command, and nothing has changed.
func ExampleStore_FailAt() {
	tpm := tpmtest.New(nil)
	index := tcg.TPMSNVPublic{NVIndex: 0x01800001, NameAlg: tcg.TPMAlgSHA256, DataSize: 8,
		Attributes: tcg.TPMANVOwnerWrite | tcg.TPMANVOwnerRead}
	define := func() tcg.TPMRC {
		return tpm.Run(tcg.TPMCCNVDefineSpace, tpmtest.Handles{tcg.TPMRHOwner}, nil, nil, index).Code
	}
	tpm.Store.FailAt(1, errors.New("the disk is gone"))
	fmt.Println(define())
	fmt.Println(define())
	fmt.Println(define())
	// Output:
	// TPM_RC_NV_UNAVAILABLE
	// TPM_RC_SUCCESS
	// TPM_RC_NV_DEFINED
}

// What each way of going off and on leaves of a PCR.
func ExampleTPM_Resume() {
	for _, way := range []struct {
		name string
		goes func(*tpmtest.TPM)
	}{
		{"PowerLoss", (*tpmtest.TPM).PowerLoss},
		{"Reset", (*tpmtest.TPM).Reset},
		{"Restart", (*tpmtest.TPM).Restart},
		{"Resume", (*tpmtest.TPM).Resume},
		{"Suspend", (*tpmtest.TPM).Suspend},
	} {
		tpm := tpmtest.New(nil)
		tpm.Do(tcg.TPMCCPCREvent, tpmtest.Handles{8}, nil, "something was measured")
		way.goes(tpm)
		r, err := tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
			{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(8)}}}}.Execute(tpm)
		if err != nil {
			panic(err)
		}
		kept := !bytes.Equal(r.PCRValues.Digests[0].Buffer, make([]byte, 32))
		fmt.Printf("%s: %t\n", way.name, kept)
	}
	// Output:
	// PowerLoss: false
	// Reset: false
	// Restart: false
	// Resume: true
	// Suspend: true
}

// The TPM's time passes when the test says so.
func ExampleTPM_Wait() {
	tpm := tpmtest.New(nil)
	clock := func() uint64 {
		r := tpm.Do(tcg.TPMCCReadClock, nil, nil)
		r.Uint64() // Time
		return r.Uint64()
	}
	before := clock()
	tpm.Wait(90 * time.Second)
	fmt.Println(clock()-before, "ms")
	// Output: 90000 ms
}

// A copy is asked what would happen.
func ExampleTPM_Fork() {
	tpm := tpmtest.New(nil)
	tpm.Fork().Do(tcg.TPMCCClear, tpmtest.Handles{tcg.TPMRHLockout}, nil)
	tpm.Fork().Do(tcg.TPMCCHierarchyChangeAuth, tpmtest.Handles{tcg.TPMRHLockout}, nil, "secret")
	fmt.Println(tpm.Run(tcg.TPMCCClear, tpmtest.Handles{tcg.TPMRHLockout}, nil).Code)
	// Output: TPM_RC_SUCCESS
}
