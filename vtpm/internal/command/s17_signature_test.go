package command_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// signer is a template of a key with a scheme of its own.
func signer(p tcg.TPMTPublic, scheme tcg.TPMTAsymScheme) tcg.TPMTPublic {
	p.RSA.Scheme, p.ECC.Scheme = scheme, scheme
	return p
}

// signers are templates of keys that sign messages, of each kind.
func signers() []tcg.TPMTPublic {
	ecc, rsa := tpmtest.ECC(sign), tpmtest.RSA(sign)
	return append(mldsaSets(), signer(ecc, ecdsa), signer(ecc, ecschnorr), signer(rsa, rsassa), signer(rsa, rsapss), tpmtest.HMAC(0))
}

// startSign and startVerify start a sequence of a key, and verify completes one with
// the response code that is wanted.
func startSign(tpm *tpmtest.TPM, key tcg.TPMHandle, auth, context string) tcg.TPMHandle {
	return tpm.Do(tcg.TPMCCSignSequenceStart, handles{key}, nil, auth, context).Handle
}

func startVerify(tpm *tpmtest.TPM, key tcg.TPMHandle, context string) tcg.TPMHandle {
	return tpm.Do(tcg.TPMCCVerifySequenceStart, handles{key}, nil, nil, nil, context).Handle
}

// signMessage signs a message in one piece.
func signMessage(tpm *tpmtest.TPM, key tcg.TPMHandle, context, message string) tcg.TPMTSignature {
	h := startSign(tpm, key, "", context)
	s := signature(tpm.Do(tcg.TPMCCSignSequenceComplete, handles{h, key}, nil, message))
	s.Sig, s.R, s.S, s.HMAC = bytes.Clone(s.Sig), bytes.Clone(s.R), bytes.Clone(s.S), bytes.Clone(s.HMAC)
	return s
}

// verified verifies a signature over a message in pieces, which has to be answered rc.
func verified(t *testing.T, tpm *tpmtest.TPM, rc tcg.TPMRC, what string, key tcg.TPMHandle, context string, s tcg.TPMTSignature, pieces ...string) (k tcg.TPMTTk) {
	t.Helper()
	h := startVerify(tpm, key, context)
	for _, p := range pieces {
		tpm.Do(tcg.TPMCCSequenceUpdate, handles{h}, nil, p)
	}
	r := tpm.Run(tcg.TPMCCVerifySequenceComplete, handles{h, key}, nil, s)
	if r.Code != rc {
		t.Errorf("%s: %v, want %v", what, r.Code, rc)
	}
	if r.Code != 0 {
		tpm.Flush(h)
		return k
	}
	tpm.Want(tcg.TPMRCReferenceH0, tcg.TPMCCSequenceUpdate, handles{h}, nil, "more")
	k.UnmarshalVerified(&r.Reader)
	k.Digest = bytes.Clone(k.Digest)
	return k
}

// checkSignature checks a signature over a message apart from the device.
func checkSignature(t *testing.T, o *tpmtest.Object, context, message string, s tcg.TPMTSignature, secret []byte) {
	t.Helper()
	digest := sha256.Sum256([]byte(message))
	switch p := &o.Public; {
	case p.Type == tcg.TPMAlgMLDSA, p.Type == tcg.TPMAlgHashMLDSA:
		checkML(t, p, context, []byte(message), s)
	case p.Type == tcg.TPMAlgKeyedHash:
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(message))
		if s.SigAlg != tcg.TPMAlgHMAC || !bytes.Equal(s.HMAC, m.Sum(nil)) {
			t.Error("another HMAC")
		}
	case s.SigAlg != tcg.TPMAlgECSchnorr && !good(p, digest[:], s):
		t.Errorf("%v: no signature", s.SigAlg)
	}
}

// TestSignSequence: what a key signs of a message in pieces is a signature over the
// whole, and another TPM with the public key alone verifies it (Part 1, 29.4.5).
func TestSignSequence(t *testing.T) {
	t.Parallel()
	tpm, peer := postQuantum(t), postQuantum(t)
	long := string(bytes.Repeat([]byte("0123456789abcdef"), 64))
	for _, p := range signers() {
		secret := []byte("an HMAC key")
		sensitive := none
		if p.Type == tcg.TPMAlgKeyedHash {
			sensitive.Data = secret
			p.ObjectAttributes &^= tcg.TPMAObjectSensitiveDataOrigin
		}
		key := tpm.Primary(owner, p, sensitive)
		verifier, public := peer, tcg.TPMHandle(0)
		if p.Type == tcg.TPMAlgKeyedHash {
			verifier, public = tpm, key.Handle
		} else {
			public = external(peer, key.Public, nil)
		}
		contexts := []string{""}
		if p.Type == tcg.TPMAlgMLDSA || p.Type == tcg.TPMAlgHashMLDSA {
			contexts = []string{"", "context", long[:255]}
		}
		for i, context := range contexts {
			for _, pieces := range [][]string{{""}, {"abc"}, {"a message", " in ", "pieces"}, {long, long, "end"}}[i:] {
				all := ""
				h := startSign(tpm, key.Handle, "", context)
				for _, p := range pieces[:len(pieces)-1] {
					tpm.Do(tcg.TPMCCSequenceUpdate, handles{h}, nil, p)
					all += p
				}
				all += pieces[len(pieces)-1]
				s := signature(tpm.Do(tcg.TPMCCSignSequenceComplete, handles{h, key.Handle}, nil, pieces[len(pieces)-1]))
				tpm.Want(tcg.TPMRCReferenceH0, tcg.TPMCCSequenceUpdate, handles{h}, nil, "more")
				checkSignature(t, &key, context, all, s, secret)
				verified(t, verifier, 0, "the signature", public, context, s, pieces...)
				verified(t, verifier, tcg.TPMRCSignature.P(1), "another message", public, context, s, append(pieces, "x")...)
				if len(contexts) > 1 {
					verified(t, verifier, tcg.TPMRCSignature.P(1), "another context", public, context[:len(context)/2]+"y", s, pieces...)
				}
			}
		}
		// Signatures are hedged (FIPS 204, 3.4): none comes twice, but of RSASSA and HMAC.
		a, b := signMessage(tpm, key.Handle, "", "message"), signMessage(tpm, key.Handle, "", "message")
		same := bytes.Equal(a.Sig, b.Sig) && bytes.Equal(a.R, b.R)
		if want := p.Type == tcg.TPMAlgKeyedHash || a.SigAlg == tcg.TPMAlgRSASSA; same != want {
			t.Errorf("%#x: the same signature twice: %v", a.SigAlg, same)
		}
		tpm.Flush(key.Handle)
	}
}

// TestSignatureSequenceKept: a sequence goes on from a saved context and after the
// TPM was suspended, and is gone after a reset.
func TestSignatureSequenceKept(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	for _, p := range append(mldsaSets()[:2], signer(tpmtest.ECC(sign), ecdsa), tpmtest.HMAC(0)) {
		key := tpm.Primary(owner, p, none)
		context := ""
		if key.Public.UniqueML != nil {
			context = "context"
		}
		a := auths{tpmtest.Password("a")}
		h := startSign(tpm, key.Handle, "a", context)
		v := startVerify(tpm, key.Handle, context)
		update := func(piece string) {
			tpm.Do(tcg.TPMCCSequenceUpdate, handles{h}, a, piece)
			tpm.Do(tcg.TPMCCSequenceUpdate, handles{v}, nil, piece)
		}
		move := func(h tcg.TPMHandle) tcg.TPMHandle {
			saved := bytes.Clone(tpm.Do(tcg.TPMCCContextSave, handles{h}, nil).Params)
			if n := len(saved); n > 1024 {
				t.Errorf("%#x: a context of %d bytes", p.Type, n)
			}
			tpm.Flush(h)
			return tpm.Do(tcg.TPMCCContextLoad, nil, nil, tpmtest.Raw(saved)).Handle
		}
		update("one, ")
		h, v = move(h), move(v)
		update("two, ")
		tpm.Suspend()
		update("three, ")
		// What fails changes nothing: the last piece comes again.
		tpm.Want(tcg.TPMRCBadAuth.S(1), tcg.TPMCCSignSequenceComplete, handles{h, key.Handle}, auths{tpmtest.Password("b"), tpmtest.Password("")}, "lost")
		s := signature(tpm.Do(tcg.TPMCCSignSequenceComplete, handles{h, key.Handle}, append(a, tpmtest.Password("")), "four"))
		s.Sig, s.R, s.S, s.HMAC = bytes.Clone(s.Sig), bytes.Clone(s.R), bytes.Clone(s.S), bytes.Clone(s.HMAC)
		bad := s
		bad.Sig, bad.HMAC, bad.R = flipped(s.Sig), flipped(s.HMAC), flipped(s.R)
		tpm.Want(tcg.TPMRCSignature.P(1), tcg.TPMCCVerifySequenceComplete, handles{v, key.Handle}, nil, bad)
		tpm.Do(tcg.TPMCCSequenceUpdate, handles{v}, nil, "four")
		tpm.Do(tcg.TPMCCVerifySequenceComplete, handles{v, key.Handle}, nil, s)
		tpm.Flush(key.Handle)
	}
	key := tpm.Primary(owner, tpmtest.MLDSA(0), none)
	saved := bytes.Clone(tpm.Do(tcg.TPMCCContextSave, handles{startSign(tpm, key.Handle, "", "")}, nil).Params)
	tpm.Reset()
	tpm.Want(tcg.TPMRCIntegrity.P(1), tcg.TPMCCContextLoad, nil, nil, tpmtest.Raw(saved))
}

// flipped is b with a bit turned.
func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) > 5 {
		b[5] ^= 1
	}
	return b
}

// TestSignatureSequenceKey: no other key completes a sequence, be it in no more than
// its hierarchy or, for an HMAC key without a Name, its secret; and a MAC comes of it
// by no other command.
func TestSignatureSequenceKey(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	nameless := func(secret string) tcg.TPMHandle {
		p, s := outsideMAC(secret)
		p.NameAlg, p.UniqueDigest = tcg.TPMAlgNull, nil
		return external(tpm, p, &s)
	}
	victim, mine := nameless("victim's"), nameless("mine")
	h := startSign(tpm, victim, "", "")
	tpm.Want(tcg.TPMRCSignContextKey.H(2), tcg.TPMCCSignSequenceComplete, handles{h, mine}, nil, "message")
	tpm.Want(tcg.TPMRCMode.H(1), tcg.TPMCCSequenceComplete, handles{h}, nil, "message", null)
	tpm.Want(tcg.TPMRCMode.H(2), tcg.TPMCCEventSequenceComplete, handles{16, h}, nil, "message")
	tpm.Flush(h, victim, mine)

	key := tpm.Primary(owner, tpmtest.MLDSA(0), none)
	elsewhere := external(tpm, key.Public, nil)
	s := signMessage(tpm, key.Handle, "", "message")
	v := startVerify(tpm, key.Handle, "")
	tpm.Do(tcg.TPMCCSequenceUpdate, handles{v}, nil, "message")
	tpm.Want(tcg.TPMRCSignContextKey.H(2), tcg.TPMCCVerifySequenceComplete, handles{v, elsewhere}, nil, s)
	const persistent = tcg.TPMHandle(0x81000100)
	tpm.Do(tcg.TPMCCEvictControl, handles{owner, key.Handle}, nil, persistent)
	tpm.Flush(key.Handle)
	tpm.Do(tcg.TPMCCVerifySequenceComplete, handles{v, persistent}, nil, s)
}

// startRows are those that both commands share that start a signature sequence. before
// are the parameters between auth and context.
func startRows(c *codes, before ...any) {
	c.t.Helper()
	n := 2 + len(before)
	row := func(rc tcg.TPMRC, why string, p tcg.TPMTPublic, context any) {
		c.t.Helper()
		o := c.tpm.Primary(owner, p, none)
		r := c.row(rc, why, handles{o.Handle}, slices.Concat([]any{nil}, before, []any{context})...)
		c.tpm.Flush(o.Handle)
		if r.Code == 0 {
			c.tpm.Flush(r.Handle)
		}
	}
	mldsa := tpmtest.MLDSA(0)
	row(tcg.TPMRCSuccess, "a key of ML-DSA", mldsa, nil)
	row(tcg.TPMRCSuccess, "the longest context", mldsa, make([]byte, 255))
	row(tcg.TPMRCSize.P(n), "a context longer than any", mldsa, make([]byte, 256))
	row(tcg.TPMRCSize.P(n), "a context with ECDSA", signer(tpmtest.ECC(sign), ecdsa), "x")
	row(tcg.TPMRCSize.P(n), "a context with HMAC", tpmtest.HMAC(0), "x")
	row(tcg.TPMRCScheme.H(1), "a key without a scheme", tpmtest.ECC(sign), nil)
	row(tcg.TPMRCScheme.H(1), "an HMAC key without a scheme", anyHMAC(), nil)
	row(tcg.TPMRCScheme.H(1), "a key that decrypts, too", tpmtest.RSA(sign|decrypt), nil)
	row(tcg.TPMRCKey.H(1), "a key that decrypts", tpmtest.MLKEM(decrypt), nil)
	row(tcg.TPMRCKey.H(1), "a cipher's key", tpmtest.AES(sign), nil)
	c.row(tcg.TPMRCKey.H(1), "a sequence", handles{sequence(c.tpm)}, slices.Concat([]any{nil}, before, []any{nil})...)
	p, _ := outsideMAC("key")
	c.row(tcg.TPMRCHandle.H(1), "the public part of an HMAC key", handles{external(c.tpm, p, nil)}, slices.Concat([]any{nil}, before, []any{nil})...)
	o := c.tpm.Primary(owner, mldsa, none)
	c.row(tcg.TPMRCSize.P(1), "an authorization value longer than any digest", handles{o.Handle}, slices.Concat([]any{make([]byte, 65)}, before, []any{nil})...)
	fill(c.t, c.tpm)
	c.row(tcg.TPMRCObjectMemory, "no slot is free", handles{o.Handle}, slices.Concat([]any{nil}, before, []any{nil})...)
}

func TestSignSequenceStartCodes(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	c := codesOf(t, tpm, tcg.TPMCCSignSequenceStart)
	c.row(tcg.TPMRCAttributes.H(1), "a restricted HMAC key", handles{tpm.Primary(owner, tpmtest.HMAC(restricted), none).Handle}, nil, nil)
	c.row(tcg.TPMRCAttributes.H(1), "a key for certificates only", handles{tpm.Primary(owner, tpmtest.MLDSA(tcg.TPMAObjectX509Sign), none).Handle}, nil, nil)
	anon := tpm.Primary(owner, anonymous(), none)
	c.row(tcg.TPMRCSize.P(2), "an anonymous scheme without a counter", handles{anon.Handle}, nil, nil)
	c.row(tcg.TPMRCSize.P(2), "a counter of three bytes", handles{anon.Handle}, nil, "abc")
	c.row(tcg.TPMRCSuccess, "a counter", handles{anon.Handle}, nil, "ab")
	startRows(c)
}

func TestVerifySequenceStartCodes(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	c := codesOf(t, tpm, tcg.TPMCCVerifySequenceStart)
	key := tpm.Primary(owner, tpmtest.MLDSA(0), none)
	c.row(tcg.TPMRCSize.P(2), "a hint", handles{key.Handle}, nil, "R", nil)
	c.row(tcg.TPMRCSize.P(2), "a hint longer than any", handles{key.Handle}, nil, make([]byte, 200), nil)
	c.row(tcg.TPMRCScheme.H(1), "an anonymous scheme", handles{tpm.Primary(owner, anonymous(), none).Handle}, nil, nil, "ab")
	c.row(tcg.TPMRCSuccess, "a key for certificates only", handles{tpm.Primary(owner, tpmtest.MLDSA(tcg.TPMAObjectX509Sign), none).Handle}, nil, nil, nil)
	startRows(c, nil)
}

// TestSignatureSequenceUndone: a command that could not be saved, the first after
// TPM2_Shutdown, has added nothing to a sequence, and completed none.
func TestSignatureSequenceUndone(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	for _, p := range append(mldsaSets()[:2], tpmtest.HMAC(0)) {
		key := tpm.Primary(owner, p, none)
		h, v := startSign(tpm, key.Handle, "", ""), startVerify(tpm, key.Handle, "")
		twice := func(cc tcg.TPMCC, h handles, params ...any) *tpmtest.Response {
			t.Helper()
			tpm.Do(tcg.TPMCCShutdown, nil, nil, tcg.TPMSUState)
			tpm.Store.FailAt(1, errors.New("disk is gone"))
			tpm.Want(tcg.TPMRCNVUnavailable, cc, h, nil, params...)
			return tpm.Do(cc, h, nil, params...)
		}
		twice(tcg.TPMCCSequenceUpdate, handles{h}, "a message ")
		twice(tcg.TPMCCSequenceUpdate, handles{v}, "a message ")
		s := signature(twice(tcg.TPMCCSignSequenceComplete, handles{h, key.Handle}, "that is sent again"))
		s.Sig, s.HMAC = bytes.Clone(s.Sig), bytes.Clone(s.HMAC)
		if key.Public.UniqueML != nil {
			checkSignature(t, &key, "", "a message that is sent again", s, nil)
		}
		twice(tcg.TPMCCSequenceUpdate, handles{v}, "that is sent again")
		twice(tcg.TPMCCVerifySequenceComplete, handles{v, key.Handle}, s)
		other := twice(tcg.TPMCCSignSequenceStart, handles{key.Handle}, nil, nil).Handle
		tpm.Flush(other, key.Handle)
	}
}
