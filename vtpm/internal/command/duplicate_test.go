package command

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/tcg"
)

// policyFor starts a policy session that allows one command by its code, and
// returns the policy's digest: duplication needs a policy.
func (x rawTPM) policyFor(cc tcg.TPMCC, trial bool) (tcg.TPMHandle, []byte) {
	x.t.Helper()
	kind := tcg.TPMSEPolicy
	if trial {
		kind = tcg.TPMSETrial
	}
	h := x.session(kind)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCPolicyCommandCode, handles(h), func(w *tcg.Writer) { w.Uint32(uint32(cc)) })
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCPolicyGetDigest, handles(h), nil)
	return h, bytes.Clone(r.Sized(64))
}

// TestDuplicateRewrapImport moves a sealed object with both wrappers to a
// second parent, by way of a first, and unseals it there.
func TestDuplicateRewrapImport(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	const storage = tcg.TPMAObjectDecrypt | tcg.TPMAObjectRestricted | tcg.TPMAObjectFixedTPM | tcg.TPMAObjectFixedParent
	first, _, _ := x.eccKey(storage, noScheme, aes128CFB)
	aes256 := aes128CFB
	aes256.KeyBits = 256
	second, _, _ := x.eccKey(storage, noScheme, aes256)
	_, policy := x.policyFor(tcg.TPMCCDuplicate, true)

	secret := []byte("moves house")
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCCreate, handles(first), func(w *tcg.Writer) {
		w.Nested(func(w *tcg.Writer) { w.Sized(nil); w.Sized(secret) })
		p := tcg.TPMTPublic{
			Type: tcg.TPMAlgKeyedHash, NameAlg: tcg.TPMAlgSHA256, AuthPolicy: policy,
			ObjectAttributes: tcg.TPMAObjectUserWithAuth | tcg.TPMAObjectNoDA | tcg.TPMAObjectEncryptedDuplication,
		}
		p.KeyedHash.Scheme.Scheme = tcg.TPMAlgNull
		p.Marshal2B(w)
		w.Sized(nil)
		w.Uint32(0)
	})
	private := bytes.Clone(r.Sized(2048))
	public := bytes.Clone(r.Sized(2048))
	load := func(parent tcg.TPMHandle, private []byte) tcg.TPMHandle {
		rc, h, _ := x.send(tcg.TPMCCLoad, handles(parent), func(w *tcg.Writer) { w.Sized(private); w.Sized(public) })
		if rc != tcg.TPMRCSuccess {
			t.Fatalf("Load: %#x", uint32(rc))
		}
		return h
	}
	object := load(first, private)
	name := d.Object(object).Name

	// go-tpm's suite covers authorization; here the handler is called past it.
	key := bytes.Repeat([]byte{7}, 16)
	dup := func(parent tcg.TPMHandle, key []byte, sym tcg.TPMTSymDefObject) (*dispatch.Call, error) {
		var w tcg.Writer
		w.Sized(key)
		sym.Marshal(&w)
		c := &dispatch.Call{Spec: tcg.CommandByCode(tcg.TPMCCDuplicate), Params: w.B, Profile: d.Profile}
		c.Handles[0], c.Handles[1] = object, parent
		return c, duplicate(d, c)
	}
	for _, bad := range []struct {
		parent tcg.TPMHandle
		key    []byte
		sym    tcg.TPMTSymDefObject
		want   tcg.TPMRC
	}{
		{first, nil, noSym, tcg.TPMRCSymmetric.P(2)},
		{tcg.TPMRHNull, key, aes128CFB, tcg.TPMRCHierarchy.H(2)},
		{object, key, aes128CFB, tcg.TPMRCType.H(2)},
		{first, key[1:], aes128CFB, tcg.TPMRCSize.P(1)},
	} {
		if _, err := dup(bad.parent, bad.key, bad.sym); err != bad.want {
			t.Fatalf("Duplicate: %v, not %v", err, bad.want)
		}
	}
	c, err := dup(first, key, aes128CFB)
	if err != nil {
		t.Fatal(err)
	}
	r = tcg.NewReader(c.Out.B, nil)
	if k := r.Sized(64); len(k) != 0 {
		t.Fatal("a key that was given is not given back")
	}
	blob, seed := bytes.Clone(r.Sized(2048)), bytes.Clone(r.Sized(2048))

	// Rewrap.
	rewrap := func(blob, name, seed []byte) func(w *tcg.Writer) {
		return func(w *tcg.Writer) { w.Sized(blob); w.Sized(name); w.Sized(seed) }
	}
	spoiled := bytes.Clone(blob)
	spoiled[len(spoiled)-1] ^= 1
	x.want(tcg.TPMRCIntegrity.P(1), tcg.TPMCCRewrap, handles(first, second), rewrap(spoiled, name, seed))
	x.want(tcg.TPMRCIntegrity.P(1), tcg.TPMCCRewrap, handles(first, second), rewrap(blob, name[1:], seed))
	x.want(tcg.TPMRCIntegrity.P(1), tcg.TPMCCRewrap, handles(second, first), rewrap(blob, name, seed))
	x.want(tcg.TPMRCHandle.H(1), tcg.TPMCCRewrap, handles(first, second), rewrap(blob, name, nil))
	r = x.want(tcg.TPMRCSuccess, tcg.TPMCCRewrap, handles(first, second), rewrap(blob, name, seed))
	blob2, seed2 := bytes.Clone(r.Sized(2048)), bytes.Clone(r.Sized(2048))

	// Import.
	imp := func(key, blob, seed []byte, sym tcg.TPMTSymDefObject) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Sized(key)
			w.Sized(public)
			w.Sized(blob)
			w.Sized(seed)
			sym.Marshal(w)
		}
	}
	wrong := bytes.Repeat([]byte{8}, 16)
	x.want(tcg.TPMRCIntegrity.P(3), tcg.TPMCCImport, handles(first), imp(key, blob2, seed2, aes128CFB))
	x.want(tcg.TPMRCAttributes.P(1), tcg.TPMCCImport, handles(second), imp(nil, blob2, seed2, noSym))
	x.want(tcg.TPMRCAttributes.P(4), tcg.TPMCCImport, handles(second), imp(key, blob2, nil, aes128CFB))
	x.want(tcg.TPMRCSize.P(1), tcg.TPMCCImport, handles(second), imp(key[1:], blob2, seed2, aes128CFB))
	if rc, _, _ := x.send(tcg.TPMCCImport, handles(second), imp(wrong, blob2, seed2, aes128CFB)); rc != tcg.TPMRCIntegrity.P(3) &&
		rc != tcg.TPMRCSize.P(3) && rc != tcg.TPMRCInsufficient.P(3) {
		t.Fatalf("another inner key: %#x", uint32(rc))
	}
	r = x.want(tcg.TPMRCSuccess, tcg.TPMCCImport, handles(second), imp(key, blob2, seed2, aes128CFB))
	moved := load(second, bytes.Clone(r.Sized(2048)))
	r = x.want(tcg.TPMRCSuccess, tcg.TPMCCUnseal, handles(moved), nil)
	if got := r.Sized(128); !bytes.Equal(got, secret) {
		t.Fatalf("unsealed %q", got)
	}
}

// TestCredential: a credential opens for the object and key that it was made
// for, and for no other.
func TestCredential(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	key, _, _ := x.eccKey(tcg.TPMAObjectDecrypt|tcg.TPMAObjectRestricted, noScheme, aes128CFB)
	ak, _, name := x.eccKey(tcg.TPMAObjectSignEncrypt, noScheme, noSym)
	other, _, _ := x.eccKey(tcg.TPMAObjectDecrypt, noScheme, noSym)

	credential := []byte("a credential")
	made := func(credential []byte) func(w *tcg.Writer) {
		return func(w *tcg.Writer) { w.Sized(credential); w.Sized(name) }
	}
	x.want(tcg.TPMRCSize.P(1), tcg.TPMCCMakeCredential, handles(key), made(make([]byte, 33)))
	x.want(tcg.TPMRCType.H(1), tcg.TPMCCMakeCredential, handles(ak), made(credential))
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCMakeCredential, handles(key), made(credential))
	blob, secret := bytes.Clone(r.Sized(2048)), bytes.Clone(r.Sized(2048))
	activate := func(blob []byte) func(w *tcg.Writer) {
		return func(w *tcg.Writer) { w.Sized(blob); w.Sized(secret) }
	}
	x.want(tcg.TPMRCIntegrity.P(1), tcg.TPMCCActivateCredential, handles(other, key), activate(blob))
	x.want(tcg.TPMRCType.H(2), tcg.TPMCCActivateCredential, handles(ak, other), activate(blob))
	spoiled := bytes.Clone(blob)
	spoiled[len(blob)-1] ^= 1
	x.want(tcg.TPMRCIntegrity.P(1), tcg.TPMCCActivateCredential, handles(ak, key), activate(spoiled))
	r = x.want(tcg.TPMRCSuccess, tcg.TPMCCActivateCredential, handles(ak, key), activate(blob))
	if got := r.Sized(64); !bytes.Equal(got, credential) {
		t.Fatalf("activated %q", got)
	}
}
