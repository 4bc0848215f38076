package command_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// policyC is what the EK Credential Profile has in NV index 0x01C07F02: with
// TPM2_PolicySecret it makes up PolicyB.
const policyC = "d6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165"

// p384EKTemplate is template H-3, made up of what it is made from.
func p384EKTemplate(t *testing.T) tpm2.TPMTPublic {
	sum := func(parts ...[]byte) []byte {
		d := sha512.Sum384(bytes.Join(parts, nil))
		return d[:]
	}
	zero := make([]byte, 48)
	secret := sum(sum(zero, be(tcg.TPMCCPolicySecret, endorsement)))
	nv, err := hex.DecodeString(policyC)
	if err != nil {
		t.Fatal(err)
	}
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA384,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, AdminWithPolicy: true,
			Restricted: true, Decrypt: true,
		},
		AuthPolicy: tpm2.TPM2BDigest{Buffer: sum(zero, be(tcg.TPMCCPolicyOR), secret, nv)},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgAES,
				KeyBits: tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(256)), Mode: tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB)},
			CurveID: tpm2.TPMECCNistP384,
		}),
	}
}

// publics are the endorsement keys of the device, by the index of the certificate.
func publics(t *testing.T, d *vtpm.Device) map[tcg.TPMHandle][]byte {
	t.Helper()
	keys, err := d.EndorsementKeys()
	if err != nil {
		t.Fatal(err)
	}
	m := map[tcg.TPMHandle][]byte{}
	for _, k := range keys {
		m[k.Certificate] = k.Public
	}
	return m
}

// TestEndorsementKeys: they are what a guest makes of the same templates with
// TPM2_CreatePrimary, before TPM2_Startup as after it, whatever the guest set, and to
// ask for them changes nothing.
func TestEndorsementKeys(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	templates := map[tcg.TPMHandle]tpm2.TPMTPublic{
		vtpm.EKCertRSA2048: tpm2.RSAEKTemplate, vtpm.EKCertP256: tpm2.ECCEKTemplate, vtpm.EKCertP384: p384EKTemplate(t),
	}
	keys := publics(t, tpm.Device)
	if len(keys) != len(templates) {
		t.Errorf("%d keys, not %d", len(keys), len(templates))
	}
	for h, template := range templates {
		made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template)}.Execute(tpm)
		if err != nil {
			t.Fatalf("%#x: %v", h, err)
		}
		public, err := made.OutPublic.Contents()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(tpm2.Marshal(public), keys[h]) {
			t.Errorf("%#x: the guest made another key:\n%x\n%x", h, tpm2.Marshal(public), keys[h])
		}
		tpm.Flush(tcg.TPMHandle(made.ObjectHandle))
	}

	fill(t, tpm)
	tpm.Do(tcg.TPMCCHierarchyChangeAuth, handles{endorsement}, nil, "secret")
	tpm.Do(tcg.TPMCCHierarchyChangeAuth, handles{platform}, nil, "secret")
	p256 := func(when string, same bool) {
		t.Helper()
		saves := tpm.Store.Saves()
		state := tpm.Store.State()
		got, err := tpm.EndorsementKey(vtpm.EKCertP256)
		if err != nil || bytes.Equal(got, keys[vtpm.EKCertP256]) != same {
			t.Errorf("%s: %x, %v", when, got, err)
		}
		if tpm.Store.Saves() != saves || !bytes.Equal(state, tpm.Store.State()) {
			t.Errorf("%s: it saves the state", when)
		}
	}
	before, err := tpm.Volatile()
	if err != nil {
		t.Fatal(err)
	}
	p256("with a guest's values, and without room", true)
	if after, err := tpm.Volatile(); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the volatile state changed: %v", err)
	}
	tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, auths{tpmtest.Password("secret")}, endorsement, false)
	p256("with the hierarchy turned off", true)
	tpm.PowerCycle()
	p256("before TPM2_Startup", true)
	tpm.Do(tcg.TPMCCStartup, nil, nil, tcg.TPMSUClear)
	tpm.Do(tcg.TPMCCChangeEPS, handles{platform}, nil)
	p256("with another seed", false)
}

// TestEndorsementKeysOfProfile: what the profile has not, and what is no certificate's
// index, has no key, which is no error.
func TestEndorsementKeysOfProfile(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t, tpmtest.Profile("base = pc-client\ncurves = -p384\n"))
	keys, err := tpm.EndorsementKeys()
	if err != nil || len(keys) != 2 || keys[0].Certificate != vtpm.EKCertRSA2048 || keys[1].Certificate != vtpm.EKCertP256 {
		t.Errorf("%v, %v", keys, err)
	}
	for _, h := range []tcg.TPMHandle{vtpm.EKCertP384, vtpm.EpochIndex, 0} {
		if public, err := tpm.EndorsementKey(h); public != nil || err != nil {
			t.Errorf("%#x: %x, %v", h, public, err)
		}
	}
}

// TestNoEndorsementKeyInFailureMode: no key is returned, and a known answer that is not
// met is how failure mode begins.
func TestNoEndorsementKeyInFailureMode(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.TestingOnlyFailSelfTest(tcg.TPMAlgECC)
	for range 2 {
		if public, err := tpm.EndorsementKey(vtpm.EKCertP256); public != nil || err == nil {
			t.Errorf("%x, %v", public, err)
		}
	}
	tpm.Want(tcg.TPMRCFailure, tcg.TPMCCGetRandom, nil, nil, 1)
}
