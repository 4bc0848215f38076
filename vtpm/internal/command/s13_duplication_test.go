package command_test

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

var (
	aes128   = tcg.TPMTSymDefObject{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: tcg.TPMAlgCFB}
	innerKey = []byte("0123456789abcdef")
)

// movable is the template of data that may be duplicated by a policy.
func movable(tpm *tpmtest.TPM) tcg.TPMTPublic {
	p := tpmtest.Sealed()
	p.AuthPolicy = duplicationPolicy(tpm)
	return p
}

// duplicationPolicy is the policy TPM2_PolicyCommandCode(TPM_CC_Duplicate).
func duplicationPolicy(tpm *tpmtest.TPM) []byte {
	s := mayDuplicate(tpm)
	defer tpm.Flush(s.Handle)
	return take(tpm.Do(tcg.TPMCCPolicyGetDigest, handles{s.Handle}, nil))
}

func mayDuplicate(tpm *tpmtest.TPM) *tpmtest.Session {
	s := tpm.StartPolicy()
	tpm.Do(tcg.TPMCCPolicyCommandCode, handles{s.Handle}, nil, tcg.TPMCCDuplicate)
	return s
}

// TestDuplicateRewrapImport moves an object from one TPM to another by way of a
// third, with each wrapper and without (Part 3, 13.1 to 13.3).
func TestDuplicateRewrapImport(t *testing.T) {
	t.Parallel()
	for _, inner := range []tcg.TPMTSymDefObject{{Algorithm: tcg.TPMAlgNull}, aes128} {
		from, by, to := tpmtest.New(t), tpmtest.New(t), tpmtest.New(t)
		parent := from.Primary(owner, storage(), none)
		middle := by.Primary(owner, storage(), none)
		last := to.Primary(owner, tpmtest.RSA(tpmtest.Parent|tpmtest.Fixed), none)
		o := from.Create(parent.Handle, movable(from), data("treasure"))

		r := from.Do(tcg.TPMCCDuplicate, handles{o.Handle, external(from, middle.Public, nil)}, auths{mayDuplicate(from)}, nil, inner)
		key, blob, seed := take(r), take(r), take(r)
		if (len(key) == 16) != (inner.Algorithm == tcg.TPMAlgAES) {
			t.Errorf("%+v: a key of %d bytes", inner, len(key))
		}
		r = by.Do(tcg.TPMCCRewrap, handles{middle.Handle, external(by, last.Public, nil)}, nil, blob, o.Name, seed)
		blob, seed = take(r), take(r)
		r = to.Do(tcg.TPMCCImport, handles{last.Handle}, nil, key, o.Public, blob, seed, inner)
		item := to.Do(tcg.TPMCCLoad, handles{last.Handle}, nil, take(r), o.Public).Handle
		if got := take(to.Do(tcg.TPMCCUnseal, handles{item}, nil)); string(got) != "treasure" {
			t.Errorf("%+v: unsealed %q", inner, got)
		}
	}
}

func TestDuplicateCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCDuplicate)
	parent := tpm.Primary(owner, storage(), none)
	other := tpm.Primary(endorsement, storage(), none).Handle
	o := tpm.Create(parent.Handle, movable(tpm), data("x")).Handle
	row := func(rc tcg.TPMRC, why string, o, to tcg.TPMHandle, key []byte, sym any) {
		t.Helper()
		s := mayDuplicate(tpm)
		defer tpm.Flush(s.Handle)
		c.by(rc, why, handles{o, to}, auths{s}, key, sym)
	}
	fixed := movable(tpm)
	fixed.ObjectAttributes |= tpmtest.Fixed
	row(tcg.TPMRCAttributes.H(1), "fixed to its parent", tpm.Create(parent.Handle, fixed, data("x")).Handle, other, nil, nil)
	nameless, private := outsideMAC("key")
	nameless.NameAlg, nameless.UniqueDigest = tcg.TPMAlgNull, nil
	h := external(tpm, nameless, &private)
	c.by(tcg.TPMRCPolicyFail.S(1), "without a Name, so without a policy", handles{h, other}, auths{mayDuplicate(tpm)}, nil, nil)
	row(tcg.TPMRCType.H(2), "the new parent signs", o, tpm.Primary(owner, tpmtest.ECC(sign), none).Handle, nil, nil)
	row(tcg.TPMRCType.H(2), "the new parent is symmetric", o, tpm.Primary(owner, tpmtest.AES(tpmtest.Parent), none).Handle, nil, nil)
	row(tcg.TPMRCSize.P(1), "a key of another size", o, other, innerKey[:15], aes128)
	row(tcg.TPMRCSize.P(1), "a key without an algorithm", o, other, innerKey, nil)
	row(tcg.TPMRCSuccess, "without any wrapper", o, null, nil, nil)
	row(tcg.TPMRCSuccess, "with a key that is given", o, other, innerKey, aes128)
	c.row(tcg.TPMRCAuthType, "a password: DUP needs a policy", handles{o, other}, nil, nil)

	// Below a parent that may be moved, encryptedDuplication is possible.
	group := tpm.Create(parent.Handle, tpmtest.ECC(tpmtest.Parent|tcg.TPMAObjectEncryptedDuplication), none)
	both := movable(tpm)
	both.ObjectAttributes |= tcg.TPMAObjectEncryptedDuplication
	e := tpm.Create(group.Handle, both, data("x")).Handle
	row(tcg.TPMRCSymmetric.P(2), "encryptedDuplication, and no inner wrapper", e, other, nil, nil)
	row(tcg.TPMRCHierarchy.H(2), "encryptedDuplication, and no outer wrapper", e, null, nil, aes128)
	row(tcg.TPMRCSuccess, "encryptedDuplication, and both", e, other, nil, aes128)
}

func TestRewrapCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCRewrap)
	parent := tpm.Primary(owner, storage(), none)
	o := tpm.Create(parent.Handle, movable(tpm), data("x"))
	rsa := tpm.Primary(owner, tpmtest.RSA(tpmtest.Parent), none).Handle
	signs := tpm.Primary(owner, tpmtest.ECC(sign), none).Handle
	r := tpm.Do(tcg.TPMCCDuplicate, handles{o.Handle, parent.Handle}, auths{mayDuplicate(tpm)}, nil, nil)
	take(r)
	blob, seed := take(r), take(r)
	r = tpm.Do(tcg.TPMCCDuplicate, handles{o.Handle, null}, auths{mayDuplicate(tpm)}, nil, nil)
	take(r)
	plain := take(r)

	h := handles{parent.Handle, rsa}
	c.row(tcg.TPMRCHandle.H(1), "an old parent, and no seed", h, plain, o.Name, nil)
	c.row(tcg.TPMRCHandle.H(1), "a seed, and no old parent", handles{null, rsa}, blob, o.Name, seed)
	c.row(tcg.TPMRCType.H(1), "the old parent signs", handles{signs, rsa}, blob, o.Name, seed)
	c.row(tcg.TPMRCType.H(2), "the new parent signs", handles{parent.Handle, signs}, blob, o.Name, seed)
	c.row(tcg.TPMRCIntegrity.P(1), "another Name", h, blob, parent.Name, seed)
	bad := bytes.Clone(blob)
	bad[len(bad)-1] ^= 1
	c.row(tcg.TPMRCIntegrity.P(1), "a bit is turned", h, bad, o.Name, seed)
	c.row(tcg.TPMRCValue.P(3), "a seed that does not decrypt", handles{rsa, parent.Handle}, blob, o.Name, make([]byte, 256))
	c.row(tcg.TPMRCInsufficient.P(3), "a seed that is cut", h, blob, o.Name, seed[:20])
	c.row(tcg.TPMRCSuccess, "a first wrapper", handles{null, rsa}, plain, o.Name, nil)
	c.row(tcg.TPMRCSuccess, "no wrapper any more", handles{parent.Handle, null}, blob, o.Name, seed)
}
