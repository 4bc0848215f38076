package command_test

import (
	"testing"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

func TestSignSequenceCompleteCodes(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	c := codesOf(t, tpm, tcg.TPMCCSignSequenceComplete)
	key := tpm.Primary(owner, tpmtest.MLDSA(0), none)
	other := tpm.Primary(owner, tpmtest.ECC(sign), none)
	h := startSign(tpm, key.Handle, "", "")
	c.row(tcg.TPMRCMode.H(1), "a hash sequence", handles{sequence(tpm), key.Handle}, nil)
	c.row(tcg.TPMRCMode.H(1), "a sequence that verifies", handles{startVerify(tpm, key.Handle, ""), key.Handle}, nil)
	c.row(tcg.TPMRCMode.H(1), "a key", handles{key.Handle, key.Handle}, nil)
	c.row(tcg.TPMRCSignContextKey.H(2), "another key", handles{h, other.Handle}, nil)
	c.row(tcg.TPMRCSignContextKey.H(2), "the sequence", handles{h, h}, nil)
	c.row(tcg.TPMRCAttributes.H(2), "a key for certificates only", handles{h, tpm.Primary(owner, tpmtest.MLDSA(tcg.TPMAObjectX509Sign), none).Handle}, nil)
	c.row(tcg.TPMRCAuthUnavailable.S(2), "a public key", handles{h, external(tpm, key.Public, nil)}, nil)
	c.row(tcg.TPMRCSize.P(1), "more than a buffer", handles{h, key.Handle}, make([]byte, 1025))
	tpm.SetBufferSize(vtpm.MinBufferSize)
	c.row(tcg.TPMRCParms, "a buffer that is too small", handles{h, key.Handle}, nil)
	tpm.SetBufferSize(vtpm.MaxCommandSize)
	c.row(tcg.TPMRCSuccess, "as much as a buffer takes", handles{h, key.Handle}, make([]byte, 1024))
	c.excuse(tcg.TPMRCNoResult, "of a million signatures none needs 814 attempts; package mldsa has a test with a limit of its own")

	// What a restricted key signs is no structure of the TPM's own, in whatever pieces.
	for _, p := range []tcg.TPMTPublic{tpmtest.MLDSA(restricted), signer(tpmtest.ECC(sign|restricted), ecdsa)} {
		key := tpm.Primary(owner, p, none)
		for _, x := range []struct {
			rc     tcg.TPMRC
			pieces []string
		}{
			{tcg.TPMRCValue.P(1), []string{generated}},
			{tcg.TPMRCValue.P(1), []string{"", generated}},
			{tcg.TPMRCValue.P(1), []string{"\xFF", "T", "CG"}},
			{tcg.TPMRCValue.P(1), []string{generated, "", "more"}},
			{0, []string{"\xFFTC"}},
			{0, []string{""}},
			{0, []string{"a", generated}},
		} {
			h := startSign(tpm, key.Handle, "", "")
			last := len(x.pieces) - 1
			for _, p := range x.pieces[:last] {
				tpm.Do(tcg.TPMCCSequenceUpdate, handles{h}, nil, p)
			}
			if c.row(x.rc, "a restricted key", handles{h, key.Handle}, x.pieces[last]).Code != 0 {
				tpm.Flush(h)
			}
		}
		tpm.Flush(key.Handle)
	}

	anon := tpm.Primary(owner, anonymous(), none)
	n := commitment(tpm, anon.Handle)
	first, again := startSign(tpm, anon.Handle, "", string(be(n))), startSign(tpm, anon.Handle, "", string(be(n)))
	c.row(tcg.TPMRCRange, "a counter that never was", handles{startSign(tpm, anon.Handle, "", string(be(n+1))), anon.Handle}, "message")
	c.row(tcg.TPMRCSuccess, "a counter", handles{first, anon.Handle}, "message")
	c.row(tcg.TPMRCValue, "a counter that was used", handles{again, anon.Handle}, "message")
}

func TestVerifySequenceCompleteCodes(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	c := codesOf(t, tpm, tcg.TPMCCVerifySequenceComplete)
	for _, p := range signers() {
		key := tpm.Primary(owner, p, none)
		s := signMessage(tpm, key.Handle, "", "message")
		h := startVerify(tpm, key.Handle, "")
		tpm.Do(tcg.TPMCCSequenceUpdate, handles{h}, nil, "message")
		both := handles{h, key.Handle}
		bad := s
		bad.Sig, bad.HMAC, bad.S = flipped(s.Sig), flipped(s.HMAC), flipped(s.S)
		c.row(tcg.TPMRCSignature.P(1), "a bit is turned", both, bad)
		if s.SigAlg != tcg.TPMAlgHMAC {
			cut := s
			cut.Sig, cut.S = s.Sig[:len(s.Sig)/2], s.S[:len(s.S)/2]
			c.row(tcg.TPMRCSignature.P(1), "half of it", both, cut)
		}
		wrong := tcg.TPMTSignature{SigAlg: tcg.TPMAlgRSASSA, Hash: tcg.TPMAlgSHA384, Sig: []byte{1}}
		c.row(tcg.TPMRCScheme.P(1), "another scheme", both, wrong)
		if s.Hash != 0 && s.SigAlg != tcg.TPMAlgHMAC {
			other := s
			other.Hash = tcg.TPMAlgSHA384
			c.row(tcg.TPMRCScheme.P(1), "another hash", both, other)
		}
		c.row(tcg.TPMRCScheme.P(1), "no signature", both, nil)
		c.row(tcg.TPMRCMode.H(1), "a hash sequence", handles{sequence(tpm), key.Handle}, s)
		c.row(tcg.TPMRCMode.H(1), "a sequence that signs", handles{startSign(tpm, key.Handle, "", ""), key.Handle}, s)
		c.row(tcg.TPMRCSignContextKey.H(2), "another key", handles{h, tpm.Primary(owner, storage(), none).Handle}, s)
		c.row(tcg.TPMRCSuccess, "the signature", both, s)
		tpm.Reset()
	}
}

// TestVerifiedTickets: a policy that a key approved is authorized by the ticket of
// each command that verifies, with the hash of the key's scheme, and by none for
// another message, key, kind or context (Part 2, 10.6.5; Part 3, 23.16).
func TestVerifiedTickets(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	sha384 := ecdsa
	sha384.HashAlg = tcg.TPMAlgSHA384
	other := tpm.Primary(owner, signer(tpmtest.ECC(sign), ecdsa), none)
	for _, p := range append(mldsaSets()[:2], signer(tpmtest.ECC(sign), sha384), signer(tpmtest.RSA(sign), rsassa), tpmtest.HMAC(0)) {
		key := tpm.Primary(owner, p, none)
		const ref = "ref"
		ask := func(rc tcg.TPMRC, what string, name []byte, ref string, k any) {
			t.Helper()
			s := tpm.StartPolicy()
			defer tpm.Flush(s.Handle)
			step(tcg.TPMCCPolicyLocality, 1)(tpm, s)
			if got := tpm.Run(tcg.TPMCCPolicyAuthorize, handles{s.Handle}, nil, digest(tpm, s), ref, name, k).Code; got != rc {
				t.Errorf("%#x, %s: %v, want %v", p.Type, what, got, rc)
			}
		}
		session := tpm.StartPolicy()
		step(tcg.TPMCCPolicyLocality, 1)(tpm, session)
		approved := string(digest(tpm, session))
		tpm.Flush(session.Handle)

		s := signMessage(tpm, key.Handle, "", approved+ref)
		tickets := []tcg.TPMTTk{verified(t, tpm, 0, "approval", key.Handle, "", s, approved, ref)}
		if alg := s.Hash; alg != 0 && p.Type != tcg.TPMAlgKeyedHash {
			v := sum(alg, []byte(approved+ref))
			r := tpm.Do(tcg.TPMCCSignDigest, handles{key.Handle}, nil, nil, v, nil)
			r = tpm.Do(tcg.TPMCCVerifyDigestSignature, handles{key.Handle}, nil, nil, v, tpmtest.Raw(r.Rest()))
			var k tcg.TPMTTk
			k.UnmarshalVerified(&r.Reader)
			if k.Tag != tcg.TPMSTDigestVerified || k.HashAlg != alg {
				t.Errorf("%#x: ticket %v of hash %#x", p.Type, k.Tag, k.HashAlg)
			}
			k.Digest = append([]byte(nil), k.Digest...)
			tickets = append(tickets, k)
		}
		for _, k := range tickets {
			if k.Hierarchy != owner || len(k.Digest) != 32 {
				t.Fatalf("%#x: ticket %+v", p.Type, k)
			}
			ask(0, "the ticket", key.Name, ref, k)
			ask(tcg.TPMRCPolicy, "another policyRef", key.Name, "re", k)
			ask(tcg.TPMRCPolicy, "another key", other.Name, ref, k)
			x := k
			x.Digest = flipped(k.Digest)
			ask(tcg.TPMRCPolicy, "a bit is turned", key.Name, ref, x)
			x = k
			x.Hierarchy = endorsement
			ask(tcg.TPMRCPolicy, "another hierarchy", key.Name, ref, x)
			for _, tag := range []tcg.TPMST{tcg.TPMSTVerified, tcg.TPMSTMessageVerified, tcg.TPMSTDigestVerified} {
				if x = k; tag == k.Tag {
					continue
				}
				x.Tag, x.HashAlg = tag, tcg.TPMAlgSHA256
				ask(tcg.TPMRCPolicy, "another kind", key.Name, ref, x)
			}
			if x = k; k.Tag == tcg.TPMSTDigestVerified {
				x.HashAlg = tcg.TPMAlgSHA512
				ask(tcg.TPMRCPolicy, "another hash", key.Name, ref, x)
			}
		}
		for _, tag := range []tcg.TPMST{tcg.TPMSTVerified, tcg.TPMSTMessageVerified, tcg.TPMSTDigestVerified} {
			k := tcg.NullTicket(tag)
			ask(tcg.TPMRCPolicy, "no ticket", key.Name, ref, k)
			k.HashAlg = tcg.TPMAlgSHA256
			ask(tcg.TPMRCPolicy, "no ticket, of a hash", key.Name, ref, k)
		}
		// A signature with a context is for something else: no ticket.
		if key.Public.UniqueML != nil {
			s := signMessage(tpm, key.Handle, "context", approved+ref)
			if k := verified(t, tpm, 0, "with a context", key.Handle, "context", s, approved, ref); k.Hierarchy != null || len(k.Digest) != 0 {
				t.Errorf("%#x: a ticket of a signature with a context: %+v", p.Type, k)
			}
		}
		// Nor of a key in the null hierarchy.
		if p.Type != tcg.TPMAlgKeyedHash {
			if k := verified(t, tpm, 0, "elsewhere", external(tpm, key.Public, nil), "", s, approved, ref); k.Tag != tcg.TPMSTMessageVerified || k.Hierarchy != null || len(k.Digest) != 0 {
				t.Errorf("%#x: a ticket of the null hierarchy: %+v", p.Type, k)
			}
		}
		tpm.Flush(key.Handle)
	}
}

// TestPolicySignedML: keys of version 1.85 sign authorizations as they sign messages
// (Part 3, 23.3).
func TestPolicySignedML(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	for _, p := range mldsaSets() {
		key := tpm.Primary(owner, p, none)
		s := tpm.StartPolicy()
		const expiration = -100 & 0xFFFFFFFF
		message := string(s.NonceTPM) + string(be(uint32(expiration))) + "ref"
		run := func(rc tcg.TPMRC, what string, sig tcg.TPMTSignature) *tpmtest.Response {
			t.Helper()
			r := tpm.Run(tcg.TPMCCPolicySigned, handles{key.Handle, s.Handle}, nil, s.NonceTPM, nil, "ref", expiration, sig)
			if r.Code != rc {
				t.Errorf("%#x, %s: %v, want %v", p.Type, what, r.Code, rc)
			}
			return r
		}
		sig := signMessage(tpm, key.Handle, "", message)
		run(tcg.TPMRCPolicyFail, "another message", signMessage(tpm, key.Handle, "", message+"x"))
		run(tcg.TPMRCPolicyFail, "a context", signMessage(tpm, key.Handle, "context", message))
		run(tcg.TPMRCScheme.P(5), "another scheme", tcg.TPMTSignature{SigAlg: tcg.TPMAlgRSASSA, Hash: tcg.TPMAlgSHA256, Sig: sig.Sig[:256]})
		if p.Type == tcg.TPMAlgHashMLDSA {
			other := sig
			other.Hash = tcg.TPMAlgSHA384
			run(tcg.TPMRCScheme.P(5), "another hash", other)
		}
		r := run(0, "the signature", sig)
		timeout, ticket := ticketOf(r)
		if got, want := digest(tpm, s), updated(zero, tcg.TPMCCPolicySigned, key.Name, []byte("ref")); string(got) != string(want) {
			t.Errorf("%#x: the digest is %x", p.Type, got)
		}
		again := tpm.StartPolicy()
		tpm.Do(tcg.TPMCCPolicyTicket, handles{again.Handle}, nil, timeout, nil, "ref", key.Name, ticket)
		// An ML-DSA signature with a key that signs digests.
		if p.Type == tcg.TPMAlgMLDSA {
			ecc := authority(tpm)
			tpm.Want(tcg.TPMRCScheme.P(5), tcg.TPMCCPolicySigned, handles{ecc.Handle, s.Handle}, nil, nil, nil, nil, 0, sig)
			tpm.Flush(ecc.Handle)
		}
		tpm.Flush(key.Handle, s.Handle, again.Handle)
	}
}
