package command_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/sha256"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// postQuantum makes a TPM of a profile with the keys of version 1.85.
func postQuantum(t *testing.T) *tpmtest.TPM {
	return tpmtest.New(t, tpmtest.Profile(tpmtest.PostQuantum))
}

// mlkemSets are templates of keys that encapsulate, of each parameter set.
func mlkemSets() (all []tcg.TPMTPublic) {
	for _, set := range []uint16{tcg.TPMMLKEM512, tcg.TPMMLKEM768, tcg.TPMMLKEM1024} {
		p := tpmtest.MLKEM(decrypt)
		p.MLKEM.ParameterSet = set
		all = append(all, p)
	}
	return all
}

// dhkem is the template of an ECC key that encapsulates.
func dhkem(curve tcg.TPMECCCurve, alg tcg.TPMAlgID) tcg.TPMTPublic {
	p := tpmtest.ECC(decrypt)
	p.ECC.CurveID = curve
	p.ECC.Scheme = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDH, HashAlg: tcg.TPMAlgSHA256}
	p.ECC.KDF = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgHKDF, HashAlg: alg}
	return p
}

// TestKEM: what one TPM encapsulates to a public key, that key's TPM decapsulates
// (Part 3, 14.10 and 14.11).
func TestKEM(t *testing.T) {
	t.Parallel()
	tpm, peer := postQuantum(t), postQuantum(t)
	for _, p := range append(mlkemSets(), dhkem(tcg.TPMECCNistP256, tcg.TPMAlgSHA256),
		dhkem(tcg.TPMECCNistP384, tcg.TPMAlgSHA384), dhkem(tcg.TPMECCNistP521, tcg.TPMAlgSHA512)) {
		key := tpm.Primary(owner, p, none)
		public := external(peer, key.Public, nil)
		r := peer.Do(tcg.TPMCCEncapsulate, handles{public}, nil)
		secret, ciphertext := take(r), take(r)
		r = peer.Do(tcg.TPMCCEncapsulate, handles{public}, nil)
		if again := take(r); bytes.Equal(again, secret) {
			t.Errorf("%#x: a secret twice", p.Type)
		}
		if got := take(tpm.Do(tcg.TPMCCDecapsulate, handles{key.Handle}, nil, ciphertext)); !bytes.Equal(got, secret) {
			t.Errorf("%#x, %+v: another secret", p.Type, p.MLKEM)
		}
		tpm.Flush(key.Handle)
		peer.Flush(public)
	}
	key := tpm.Primary(owner, tpmtest.MLKEM(decrypt), none)
	k, err := mlkem.NewEncapsulationKey768(key.Public.UniqueML)
	if err != nil {
		t.Fatal(err)
	}
	secret, ciphertext := k.Encapsulate()
	if got := take(tpm.Do(tcg.TPMCCDecapsulate, handles{key.Handle}, nil, ciphertext)); !bytes.Equal(got, secret) {
		t.Error("another secret than the standard library's")
	}
	ciphertext[3] ^= 1
	if got := take(tpm.Do(tcg.TPMCCDecapsulate, handles{key.Handle}, nil, ciphertext)); bytes.Equal(got, secret) {
		t.Error("a changed ciphertext carries the secret")
	}
}

func TestEncapsulateCodes(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	c := codesOf(t, tpm, tcg.TPMCCEncapsulate)
	c.row(tcg.TPMRCSuccess, "a storage key: attributes do not matter", handles{tpm.Primary(owner, tpmtest.MLKEM(tpmtest.Parent), none).Handle})
	c.row(tcg.TPMRCKey.H(1), "an ECC key without a KDF", handles{tpm.Primary(owner, tpmtest.ECC(decrypt), none).Handle})
	c.row(tcg.TPMRCKey.H(1), "a signing key", handles{tpm.Primary(owner, tpmtest.MLDSA(0), none).Handle})
	c.row(tcg.TPMRCKey.H(1), "a sequence", handles{sequence(tpm)})
}

func TestDecapsulateCodes(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	c := codesOf(t, tpm, tcg.TPMCCDecapsulate)
	key := tpm.Primary(owner, tpmtest.MLKEM(decrypt), none)
	ecc := tpm.Primary(owner, dhkem(tcg.TPMECCNistP256, tcg.TPMAlgSHA256), none)
	r := tpm.Do(tcg.TPMCCEncapsulate, handles{ecc.Handle}, nil)
	take(r)
	point := take(r)
	c.row(tcg.TPMRCSuccess, "a point", handles{ecc.Handle}, point)
	c.row(tcg.TPMRCSuccess, "any ciphertext", handles{key.Handle}, make([]byte, 1088))
	c.row(tcg.TPMRCSize.P(1), "a ciphertext of another set", handles{key.Handle}, make([]byte, 768))
	c.row(tcg.TPMRCSize.P(1), "a ciphertext longer than any", handles{key.Handle}, make([]byte, 1569))
	c.row(tcg.TPMRCSize.P(1), "a point without y", handles{ecc.Handle}, point[:33])
	point[64] ^= 1
	c.row(tcg.TPMRCECCPoint.P(1), "a point off the curve", handles{ecc.Handle}, point)
	c.row(tcg.TPMRCAttributes.H(1), "a storage key", handles{tpm.Primary(owner, tpmtest.MLKEM(tpmtest.Parent), none).Handle}, make([]byte, 1088))
	c.row(tcg.TPMRCKey.H(1), "an ECC key without a KDF", handles{tpm.Primary(owner, tpmtest.ECC(decrypt), none).Handle}, point)
	c.row(tcg.TPMRCKey.H(1), "a sequence", handles{sequence(tpm)}, point)
}

// openCredential opens a TPM2B_ID_OBJECT's content with AES-128 and SHA-256 (Part
// 1, "Credential Protection"), apart from the device.
func openCredential(t *testing.T, seed, name, blob []byte) []byte {
	t.Helper()
	mac, body := blob[2:34], blob[34:]
	h := hmac.New(sha256.New, tpm2.KDFa(crypto.SHA256, seed, "INTEGRITY", nil, nil, 256))
	h.Write(body)
	h.Write(name)
	if !hmac.Equal(h.Sum(nil), mac) {
		t.Error("another HMAC")
	}
	b, err := aes.NewCipher(tpm2.KDFa(crypto.SHA256, seed, "STORAGE", name, nil, 128))
	if err != nil {
		t.Fatal(err)
	}
	plain := make([]byte, len(body))
	cipher.NewCFBDecrypter(b, make([]byte, 16)).XORKeyStream(plain, body)
	return plain[2:]
}

// TestMLKEMParent: an ML-KEM storage key is a parent, a salt's key, an endorsement
// key, and where objects are duplicated to and from (Part 1, 47.4).
func TestMLKEMParent(t *testing.T) {
	t.Parallel()
	tpm, other := postQuantum(t), postQuantum(t)
	parent := tpm.Primary(owner, tpmtest.MLKEM(tpmtest.Parent|tpmtest.Fixed), none)

	item := tpm.Create(parent.Handle, tpmtest.Sealed(), data("treasure"))
	if got := take(tpm.Do(tcg.TPMCCUnseal, handles{item.Handle}, nil)); string(got) != "treasure" {
		t.Errorf("unsealed %q", got)
	}
	child := tpm.Create(parent.Handle, tpmtest.MLKEM(tpmtest.Parent|tpmtest.Fixed), none)
	grandchild := tpm.Create(child.Handle, tpmtest.MLDSA(0), none)
	if n := len(grandchild.Public.UniqueML); n != 1952 {
		t.Errorf("a public key of %d bytes", n)
	}
	tpm.Flush(item.Handle, child.Handle, grandchild.Handle)

	s := tpm.StartSession(tpmtest.SessionParams{Salt: parent.Handle, Symmetric: tcg.TPMTSymDef{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: tcg.TPMAlgCFB}})
	s.Attributes |= tcg.TPMASessionEncrypt
	salted := tpm.Create(parent.Handle, tpmtest.Sealed(), data("salted"))
	if got := take(tpm.Do(tcg.TPMCCUnseal, handles{salted.Handle}, auths{s})); string(got) != "salted" {
		t.Errorf("unsealed by a salted session: %q", got)
	}
	tpm.Want(tcg.TPMRCValue.P(2), tcg.TPMCCStartAuthSession, handles{parent.Handle, null}, nil,
		make([]byte, 16), make([]byte, 1087), tcg.TPMSEHMAC, nil, tcg.TPMAlgSHA256)

	ak := tpm.Primary(owner, tpmtest.ECC(sign), none)
	public := external(other, parent.Public, nil)
	r := other.Do(tcg.TPMCCMakeCredential, handles{public}, nil, "credential", ak.Name)
	blob, secret := take(r), take(r)
	if got := take(tpm.Do(tcg.TPMCCActivateCredential, handles{ak.Handle, parent.Handle}, nil, blob, secret)); string(got) != "credential" {
		t.Errorf("the credential is %q", got)
	}
	secret[5] ^= 1
	tpm.Want(tcg.TPMRCIntegrity.P(1), tcg.TPMCCActivateCredential, handles{ak.Handle, parent.Handle}, nil, blob, secret)
	// The same secret, recovered apart from the device.
	secret[5] ^= 1
	seed := bytes.Repeat([]byte{7}, 64)
	k, err := mlkem.NewDecapsulationKey768(seed)
	if err != nil {
		t.Fatal(err)
	}
	p := tpmtest.MLKEM(tpmtest.Parent)
	p.ObjectAttributes &^= tcg.TPMAObjectSensitiveDataOrigin
	p.UniqueML = k.EncapsulationKey().Bytes()
	r = other.Do(tcg.TPMCCMakeCredential, handles{external(other, p, nil)}, nil, "other", ak.Name)
	blob, secret = take(r), take(r)
	shared, err := k.Decapsulate(secret)
	if err != nil {
		t.Fatal(err)
	}
	protection := tpm2.KDFa(crypto.SHA256, shared, "IDENTITY", secret, p.UniqueML, 256)
	if got := openCredential(t, protection, ak.Name, blob); string(got) != "other" {
		t.Errorf("the credential outside is %q", got)
	}

	newParent := other.Primary(owner, tpmtest.MLKEM(tpmtest.Parent|tpmtest.Fixed), none)
	for _, template := range []tcg.TPMTPublic{tpmtest.MLKEM(decrypt), tpmtest.MLDSA(0), tpmtest.Sealed()} {
		template.AuthPolicy = duplicationPolicy(tpm)
		sensitive := none
		if template.Type == tcg.TPMAlgKeyedHash {
			sensitive = data("treasure")
		}
		o := tpm.Create(parent.Handle, template, sensitive)
		to := external(tpm, newParent.Public, nil)
		r := tpm.Do(tcg.TPMCCDuplicate, handles{o.Handle, to}, auths{mayDuplicate(tpm)}, nil, aes128)
		key, blob, seed := take(r), take(r), take(r)
		private := take(other.Do(tcg.TPMCCImport, handles{newParent.Handle}, nil, key, o.Public, blob, seed, aes128))
		loaded := other.Do(tcg.TPMCCLoad, handles{newParent.Handle}, nil, private, o.Public)
		if name := take(loaded); !bytes.Equal(name, o.Name) {
			t.Errorf("%#x: another Name", template.Type)
		}
		other.Flush(loaded.Handle)
		tpm.Flush(o.Handle, to)
	}
}
