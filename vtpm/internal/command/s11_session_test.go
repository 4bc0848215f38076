package command_test

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

var (
	aesCFB = tcg.TPMTSymDef{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: tcg.TPMAlgCFB}
	nonce  = make([]byte, 16)
)

// TestStartAuthSession: a session authorizes, encrypts and keeps its nonces
// moving (Part 3, 11.1). The kit checks each response's HMAC; all combinations
// are in the kit's own tests.
func TestStartAuthSession(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key := tpm.Primary(owner, storage(), tcg.TPMSSensitiveCreate{UserAuth: []byte("key")})
	s := tpm.StartSession(tpmtest.SessionParams{Salt: key.Handle, Bind: key.Handle, BindAuth: []byte("key"), Symmetric: aesCFB})
	s.AuthValue, s.Attributes = []byte("key"), s.Attributes|tcg.TPMASessionDecrypt|tcg.TPMASessionEncrypt
	before := s.NonceTPM
	tpm.Do(tcg.TPMCCCreate, handles{key.Handle}, auths{s}, data("secret"), tpmtest.Sealed(), nil, nil)
	if bytes.Equal(before, s.NonceTPM) {
		t.Error("nonceTPM is the one before")
	}
	used := *s
	tpm.Do(tcg.TPMCCCreate, handles{key.Handle}, auths{s}, data("secret"), tpmtest.Sealed(), nil, nil)
	tpm.Want(tcg.TPMRCBadAuth.S(1), tcg.TPMCCCreate, handles{key.Handle}, auths{&used}, data("secret"), tpmtest.Sealed(), nil, nil)

	s.Attributes &^= tcg.TPMASessionContinueSession
	tpm.Do(tcg.TPMCCCreate, handles{key.Handle}, auths{s}, data("secret"), tpmtest.Sealed(), nil, nil)
	tpm.Want(tcg.TPMRCReferenceS0, tcg.TPMCCCreate, handles{key.Handle}, auths{s}, data("secret"), tpmtest.Sealed(), nil, nil)
}

func TestStartAuthSessionCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCStartAuthSession)
	start := func(rc tcg.TPMRC, why string, key, bind tcg.TPMHandle, nonce, salt []byte, rest ...any) {
		t.Helper()
		if rest == nil {
			rest = []any{tcg.TPMSEHMAC, nil, tcg.TPMAlgSHA256}
		}
		c.row(rc, why, handles{key, bind}, append([]any{nonce, salt}, rest...)...)
	}
	nonce16 := nonce
	hmacSession := func(symmetric any, hash tcg.TPMAlgID) []any { return []any{tcg.TPMSEHMAC, symmetric, hash} }

	start(tcg.TPMRCSize.P(1), "a nonce of 15 bytes", null, null, nonce[:15], nil)
	start(tcg.TPMRCSize.P(1), "a nonce longer than SHA-256", null, null, make([]byte, 33), nil)
	start(tcg.TPMRCValue.P(2), "a salt without a key", null, null, nonce16, []byte{1})
	start(tcg.TPMRCValue.P(3), "no such type of session", null, null, nonce16, nil, 2, nil, tcg.TPMAlgSHA256)
	start(tcg.TPMRCSymmetric.P(4), "no such cipher", null, null, nonce16, nil, tcg.TPMSEHMAC, tpmtest.Raw{0, 0x0B}, tcg.TPMAlgSHA256)
	cbc := aesCFB
	cbc.Mode = tcg.TPMAlgCBC
	start(tcg.TPMRCMode.P(4), "a mode other than CFB", null, null, nonce16, nil, hmacSession(cbc, tcg.TPMAlgSHA256)...)
	start(tcg.TPMRCHash.P(5), "no such hash", null, null, nonce16, nil, hmacSession(nil, tcg.TPMAlgAES)...)

	// Keys that take no salt.
	signs := tpm.Primary(owner, tpmtest.ECC(sign), none)
	decrypts := tpm.Primary(owner, tpmtest.ECC(decrypt), none)
	mac := tpm.Primary(owner, tpmtest.HMAC(0), none)
	public := external(tpm, decrypts.Public, nil)
	nameless := tpmtest.ECC(decrypt)
	nameless.NameAlg, nameless.UniqueECC = tcg.TPMAlgNull, decrypts.Public.UniqueECC
	rsaes := tpmtest.RSA(decrypt)
	rsaes.RSA.Scheme.Scheme = tcg.TPMAlgRSAES
	es := tpm.Primary(owner, rsaes, none)
	_, salt := saltFor(tpm, decrypts.Handle)
	start(tcg.TPMRCAttributes.H(1), "the key does not decrypt", signs.Handle, null, nonce16, salt)
	start(tcg.TPMRCKey.H(1), "an HMAC key", mac.Handle, null, nonce16, salt)
	start(tcg.TPMRCKey.H(1), "a sequence", sequence(tpm), null, nonce16, salt)
	start(tcg.TPMRCKey.H(1), "a key without a Name", external(tpm, nameless, nil), null, nonce16, salt)
	start(tcg.TPMRCHandle.H(1), "a public key", public, null, nonce16, salt)
	start(tcg.TPMRCValue.H(1), "a key for RSAES", es.Handle, null, nonce16, make([]byte, 256))
	start(tcg.TPMRCValue.P(2), "the salt is cut", decrypts.Handle, null, nonce16, salt[:10])
	off := bytes.Clone(salt)
	off[len(off)-1] ^= 1
	start(tcg.TPMRCValue.P(2), "a point off the curve", decrypts.Handle, null, nonce16, off)

	// What nothing is bound to.
	tpm.Do(tcg.TPMCCNVDefineSpace, handles{owner}, nil, nil, tcg.TPMSNVPublic{NVIndex: 0x01800001, NameAlg: tcg.TPMAlgSHA256,
		DataSize: 8, Attributes: tcg.TPMANV(tcg.TPMNTPinFail)<<4 | tcg.TPMANVOwnerWrite | tcg.TPMANVAuthRead | tcg.TPMANVNoDA})
	start(tcg.TPMRCHandle.H(2), "bound to a PIN index", null, 0x01800001, nonce16, nil)
	start(tcg.TPMRCHandle.H(2), "bound to a public key", null, public, nonce16, nil)
	start(tcg.TPMRCReferenceH0, "no such key", 0x8000000F, null, nonce16, nil)
	start(tcg.TPMRCReferenceH1, "bound to no such object", null, 0x8000000F, nonce16, nil)
	start(tcg.TPMRCSuccess, "a salt, and bound", decrypts.Handle, signs.Handle, nonce16, salt)

	sessionLimits(c.on(tpmtest.New(t)))
	c.excuse(tcg.TPMRCContextGap, "a session starts all the same: it is TPM2_ContextSave that is refused")
}

// saltFor returns a salt that a session was started with, and how it was sent.
func saltFor(tpm *tpmtest.TPM, key tcg.TPMHandle) (point tcg.TPMSECCPoint, sent []byte) {
	r := tpm.Do(tcg.TPMCCECDHKeyGen, handles{key}, nil)
	take(r)
	sent = take(r)
	in := tcg.NewReader(sent, nil)
	point.Unmarshal(&in)
	return point, sent
}

// sessionLimits starts as many sessions as there can be (Part 1, "Session Context
// Management").
func sessionLimits(c *codes) {
	tpm := c.tpm
	var active []tcg.TPMHandle
	start := func() tcg.TPMRC {
		r := tpm.Run(tcg.TPMCCStartAuthSession, handles{null, null}, nil, nonce, nil, tcg.TPMSEHMAC, nil, tcg.TPMAlgSHA256)
		if r.Code == tcg.TPMRCSuccess {
			active = append(active, r.Handle)
		}
		return r.Code
	}
	for start() == tcg.TPMRCSuccess {
	}
	c.row(tcg.TPMRCSessionMemory, "all slots are full", handles{null, null}, nonce, nil, tcg.TPMSEHMAC, nil, tcg.TPMAlgSHA256)
	for _, h := range active {
		tpm.Do(tcg.TPMCCContextSave, handles{h}, nil)
	}
	for start() == tcg.TPMRCSuccess {
		tpm.Do(tcg.TPMCCContextSave, handles{active[len(active)-1]}, nil)
	}
	c.row(tcg.TPMRCSessionHandles, "all sessions are active", handles{null, null}, nonce, nil, tcg.TPMSEHMAC, nil, tcg.TPMAlgSHA256)
	if len(active) != tcg.MaxActiveSessions {
		c.t.Errorf("%d sessions are active, not %d", len(active), tcg.MaxActiveSessions)
	}
	tpm.Flush(active[0])
	if rc := start(); rc != tcg.TPMRCSuccess {
		c.t.Errorf("one was flushed: %v", rc)
	}
}

// TestPolicyRestart: the session is as it was when it started (Part 3, 11.2).
func TestPolicyRestart(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	s := tpm.StartPolicy()
	digest := func() []byte { return take(tpm.Do(tcg.TPMCCPolicyGetDigest, handles{s.Handle}, nil)) }
	before, nonce := digest(), s.NonceTPM
	tpm.Do(tcg.TPMCCPolicyLocality, handles{s.Handle}, nil, 1)
	tpm.Do(tcg.TPMCCPolicyPassword, handles{s.Handle}, nil)
	if bytes.Equal(digest(), before) {
		t.Fatal("the policy is empty")
	}
	tpm.Do(tcg.TPMCCPolicyRestart, handles{s.Handle}, nil)
	if !bytes.Equal(digest(), before) {
		t.Errorf("the policy is %x, not %x", digest(), before)
	}
	// What the policy asked for is forgotten: neither locality nor password.
	item := tpmtest.Sealed()
	item.AuthPolicy, item.ObjectAttributes = before, tcg.TPMAObjectNoDA
	o := tpm.Primary(owner, item, tcg.TPMSSensitiveCreate{UserAuth: []byte("a"), Data: []byte("data")})
	tpm.Locality = 1
	s.NonceTPM = nonce
	tpm.Do(tcg.TPMCCUnseal, handles{o.Handle}, auths{s})
}

func TestPolicyRestartCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPolicyRestart)
	c.row(tcg.TPMRCReferenceH0, "no such session", handles{0x03000001})
	c.row(tcg.TPMRCValue.H(1), "an HMAC session", handles{tpm.StartSession(tpmtest.SessionParams{}).Handle})
}
