package command_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

func hmacOf(key, data string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(data))
	return m.Sum(nil)
}

// TestCredential: what was made for an object and a key that are on one TPM comes
// out there, and nowhere else (Part 3, 12.5 and 12.6).
func TestCredential(t *testing.T) {
	t.Parallel()
	for name, template := range map[string]tcg.TPMTPublic{"ECC": storage(), "RSA": tpmtest.RSA(tpmtest.Parent | tpmtest.Fixed)} {
		tpm, verifier := tpmtest.New(t), tpmtest.New(t)
		ek := tpm.Primary(endorsement, template, none)
		ak := tpm.Primary(owner, tpmtest.ECC(sign), none)
		public := external(verifier, ek.Public, nil)
		r := verifier.Do(tcg.TPMCCMakeCredential, handles{public}, nil, "credential", ak.Name)
		blob, secret := take(r), take(r)
		if bytes.Contains(blob, []byte("credential")) {
			t.Errorf("%s: the credential is in its blob", name)
		}
		r = tpm.Do(tcg.TPMCCActivateCredential, handles{ak.Handle, ek.Handle}, nil, blob, secret)
		if got := take(r); string(got) != "credential" {
			t.Errorf("%s: the credential is %q", name, got)
		}
		other := tpm.Primary(owner, tpmtest.ECC(decrypt), none)
		tpm.Want(tcg.TPMRCIntegrity.P(1), tcg.TPMCCActivateCredential, handles{other.Handle, ek.Handle}, nil, blob, secret)
	}
}

func TestMakeCredentialCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCMakeCredential)
	key := tpm.Primary(endorsement, storage(), none)
	name := key.Name
	c.row(tcg.TPMRCType.H(1), "a signing key", handles{tpm.Primary(owner, tpmtest.ECC(sign), none).Handle}, "x", name)
	c.row(tcg.TPMRCType.H(1), "a symmetric storage key", handles{tpm.Primary(owner, tpmtest.AES(tpmtest.Parent), none).Handle}, "x", name)
	c.row(tcg.TPMRCType.H(1), "a sequence", handles{sequence(tpm)}, "x", name)
	c.row(tcg.TPMRCSize.P(1), "a credential longer than nameAlg's digest", handles{key.Handle}, make33(), name)
	c.row(tcg.TPMRCSize.P(2), "a Name that is too long", handles{key.Handle}, "x", make([]byte, 100))
	c.excuse(tcg.TPMRCKey, "a storage key is of ECC or RSA and has a Name, so it can share a secret; others are TPM_RC_TYPE")
}

func TestActivateCredentialCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCActivateCredential)
	key, ak := tpm.Primary(endorsement, storage(), none), tpm.Primary(owner, tpmtest.ECC(sign), none)
	h := handles{ak.Handle, key.Handle}
	r := tpm.Do(tcg.TPMCCMakeCredential, handles{key.Handle}, nil, "credential", ak.Name)
	blob, secret := take(r), take(r)
	c.row(tcg.TPMRCType.H(2), "a signing key to activate with", handles{key.Handle, ak.Handle}, blob, secret)
	bad := bytes.Clone(blob)
	bad[len(bad)-1] ^= 1
	c.row(tcg.TPMRCIntegrity.P(1), "a bit of the blob is turned", h, bad, secret)
	c.row(tcg.TPMRCIntegrity.P(1), "for another object", handles{key.Handle, key.Handle}, blob, secret)
	c.row(tcg.TPMRCInsufficient.P(1), "no blob", h, nil, secret)
	long, sent := credentialFor(t, key.Public, make33(), ak.Name)
	c.row(tcg.TPMRCSize.P(1), "the credential is longer than nameAlg's digest", h, long, sent)
	c.row(tcg.TPMRCInsufficient.P(2), "the secret is cut", h, blob, secret[:20])
	c.row(tcg.TPMRCSize.P(2), "bytes after the secret", h, blob, append(bytes.Clone(secret), 0))
	off := bytes.Clone(secret)
	off[len(off)-1] ^= 1
	c.row(tcg.TPMRCECCPoint.P(2), "a point off the curve", h, blob, off)
	rsa := tpm.Primary(endorsement, tpmtest.RSA(tpmtest.Parent|tpmtest.Fixed), none)
	c.row(tcg.TPMRCValue.P(2), "a secret that does not decrypt", handles{ak.Handle, rsa.Handle}, blob, make([]byte, 256))
	c.row(tcg.TPMRCSize.P(2), "a secret not of the key's size", handles{ak.Handle, rsa.Handle}, blob, make([]byte, 255))
	c.by(tcg.TPMRCAuthMissing, "only one authorization", h, auths{tpmtest.Password("")}, blob, secret)
}

// credentialFor makes a credential as a verifier does that has no TPM. It may be
// longer than one.
func credentialFor(t *testing.T, public tcg.TPMTPublic, credential, name []byte) (blob, secret []byte) {
	t.Helper()
	p, err := tpm2.Unmarshal[tpm2.TPMTPublic](tcg.Marshal(&public))
	if err != nil {
		t.Fatal(err)
	}
	k, err := tpm2.ImportEncapsulationKey(p)
	if err != nil {
		t.Fatal(err)
	}
	blob, secret, err = tpm2.CreateCredential(rand.Reader, k, name, credential)
	if err != nil {
		t.Fatal(err)
	}
	return blob, secret
}
