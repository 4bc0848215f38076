package command_test

import (
	"bytes"
	"crypto/sha3"
	"testing"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// externalMu is the template of an ML-DSA key that signs what is given as mu.
func externalMu(set uint16) tcg.TPMTPublic {
	p := tpmtest.MLDSA(0)
	p.MLDSA.ParameterSet, p.MLDSA.AllowExternalMu = set, true
	return p
}

// muOf is mu of a message and a context (FIPS 204, Algorithm 7, line 6), apart from
// the device.
func muOf(p *tcg.TPMTPublic, context, message string) []byte {
	tr := sha3.SumSHAKE256(p.UniqueML, 64)
	return sha3.SumSHAKE256(bytes.Join([][]byte{tr, {0, byte(len(context))}, []byte(context), []byte(message)}, nil), 64)
}

// TestSignDigest: a signature over a digest, or an external mu, is one over the
// message, which other implementations and the commands for messages verify.
func TestSignDigest(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	for _, p := range append(signers(), externalMu(tcg.TPMMLDSA44), externalMu(tcg.TPMMLDSA65)) {
		if p.Type == tcg.TPMAlgKeyedHash || p.Type == tcg.TPMAlgMLDSA && !p.MLDSA.AllowExternalMu {
			continue // they sign messages
		}
		key := tpm.Primary(owner, p, none)
		for _, context := range []string{"", "context"} {
			v := hash([]byte("message"))
			given := any(context)
			switch {
			case p.Type == tcg.TPMAlgMLDSA:
				v, given = muOf(&key.Public, context, "message"), nil // mu has the context
			case p.Type != tcg.TPMAlgHashMLDSA && context != "":
				continue
			}
			s := signature(tpm.Do(tcg.TPMCCSignDigest, handles{key.Handle}, nil, given, v, nil))
			s.Sig, s.R, s.S = bytes.Clone(s.Sig), bytes.Clone(s.R), bytes.Clone(s.S)
			checkSignature(t, &key, context, "message", s, nil)
			verified(t, tpm, 0, "as a message", key.Handle, context, s, "message")
			public := external(tpm, key.Public, nil)
			tpm.Do(tcg.TPMCCVerifyDigestSignature, handles{public}, nil, given, v, s)
			tpm.Want(tcg.TPMRCSignature.P(3), tcg.TPMCCVerifyDigestSignature, handles{public}, nil, given, flipped(v), s)
			tpm.Flush(public)
			var k tcg.TPMTTk
			k.UnmarshalVerified(&tpm.Do(tcg.TPMCCVerifyDigestSignature, handles{key.Handle}, nil, given, v, s).Reader)
			if want := context == "" && p.Type != tcg.TPMAlgMLDSA; (len(k.Digest) != 0) != want || (k.Hierarchy == owner) != want {
				t.Errorf("%#x, context %q: ticket %+v", p.Type, context, k)
			}
		}
		tpm.Flush(key.Handle)
	}
}

// TestSignDigestRestricted: a restricted key signs what a ticket says is safe to sign
// (Part 3, 20.7).
func TestSignDigestRestricted(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	hashed := mldsaSets()[1]
	hashed.ObjectAttributes |= restricted
	for _, p := range []tcg.TPMTPublic{hashed, signer(tpmtest.ECC(sign|restricted), ecdsa)} {
		key := tpm.Primary(owner, p, none)
		want := func(rc tcg.TPMRC, why string, digest []byte, k any) {
			t.Helper()
			if r := tpm.Run(tcg.TPMCCSignDigest, handles{key.Handle}, nil, nil, digest, k); r.Code != rc {
				t.Errorf("%#x, %s: %v, not %v", p.Type, why, r.Code, rc)
			}
		}
		r := tpm.Do(tcg.TPMCCHash, nil, nil, "message", tcg.TPMAlgSHA256, owner)
		digest := take(r)
		k := hashTicket(r)
		want(0, "a ticket", digest, k)
		want(tcg.TPMRCTicket.P(3), "no ticket", digest, nil)
		want(tcg.TPMRCTicket.P(3), "another digest", hash(digest), k)
		k.Digest = flipped(k.Digest)
		want(tcg.TPMRCTicket.P(3), "a bit is turned", digest, k)
		r = tpm.Do(tcg.TPMCCHash, nil, nil, generated, tcg.TPMAlgSHA256, owner)
		digest = take(r)
		want(tcg.TPMRCTicket.P(3), "a structure of the TPM's own", digest, hashTicket(r))
		tpm.Flush(key.Handle)
	}
}

// digestRows are those that both commands for digests share. last makes the last
// parameter.
func digestRows(c *codes, last any) {
	c.t.Helper()
	row := func(rc tcg.TPMRC, why string, p tcg.TPMTPublic, context any, v []byte) {
		c.t.Helper()
		o := c.tpm.Primary(owner, p, none)
		c.row(rc, why, handles{o.Handle}, context, v, last)
		c.tpm.Flush(o.Handle)
	}
	v, mu := hash([]byte("message")), make([]byte, 64)
	ecc, hashed, external := signer(tpmtest.ECC(sign), ecdsa), mldsaSets()[1], externalMu(tcg.TPMMLDSA44)
	row(tcg.TPMRCKey.H(1), "a key that decrypts", tpmtest.MLKEM(decrypt), nil, v)
	row(tcg.TPMRCKey.H(1), "a cipher's key", tpmtest.AES(sign), nil, v)
	c.row(tcg.TPMRCKey.H(1), "a sequence", handles{sequence(c.tpm)}, nil, v, last)
	row(tcg.TPMRCScheme.H(1), "a key without a scheme", tpmtest.ECC(sign), nil, v)
	row(tcg.TPMRCScheme.H(1), "an HMAC key", tpmtest.HMAC(0), nil, v)
	row(tcg.TPMRCExtMu.H(1), "ML-DSA without external mu", tpmtest.MLDSA(0), nil, mu)
	row(tcg.TPMRCExtMu.H(1), "restricted ML-DSA", tpmtest.MLDSA(restricted), nil, mu)
	row(tcg.TPMRCSize.P(1), "a context with ECDSA", ecc, "x", v)
	row(tcg.TPMRCSize.P(1), "a context besides mu", external, "x", mu)
	row(tcg.TPMRCSize.P(1), "a context longer than any", hashed, make([]byte, 256), v)
	row(tcg.TPMRCSize.P(2), "a digest that is cut", ecc, nil, v[:31])
	row(tcg.TPMRCSize.P(2), "a digest of another algorithm", hashed, nil, mu)
	row(tcg.TPMRCSize.P(2), "a mu that is cut", external, nil, mu[:63])
	row(tcg.TPMRCSize.P(2), "no digest", hashed, nil, nil)
	row(tcg.TPMRCSize.P(2), "a digest longer than any", ecc, nil, make([]byte, 65))
}

func TestSignDigestCodes(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	c := codesOf(t, tpm, tcg.TPMCCSignDigest)
	digestRows(c, nil)
	v := hash([]byte("message"))
	key := handles{tpm.Primary(owner, externalMu(tcg.TPMMLDSA65), none).Handle}
	c.row(tcg.TPMRCSuccess, "an external mu", key, nil, make([]byte, 64), nil)
	tpm.SetBufferSize(vtpm.MinBufferSize)
	c.row(tcg.TPMRCParms, "a buffer that is too small", key, nil, make([]byte, 64), nil)
	tpm.SetBufferSize(vtpm.MaxCommandSize)
	r := tpm.Do(tcg.TPMCCHash, nil, nil, "message", tcg.TPMAlgSHA512, owner)
	mu := take(r)
	c.row(tcg.TPMRCTicket.P(3), "a mu with a ticket for a digest", key, nil, mu, hashTicket(r))
	c.row(tcg.TPMRCTag.P(3), "a ticket of another kind", key, nil, make([]byte, 64), tcg.NullTicket(tcg.TPMSTVerified))
	p := signer(tpmtest.ECC(sign|restricted), ecdsa)
	c.row(tcg.TPMRCTicket.P(3), "a restricted key, and no ticket", handles{tpm.Primary(owner, p, none).Handle}, nil, v, nil)
	x509 := signer(tpmtest.ECC(sign|tcg.TPMAObjectX509Sign), ecdsa)
	c.row(tcg.TPMRCAttributes.H(1), "a key for certificates only", handles{tpm.Primary(owner, x509, none).Handle}, nil, v, nil)
	c.row(tcg.TPMRCAuthUnavailable.S(1), "a public key", handles{external(tpm, tpm.Public(key[0]), nil)}, nil, make([]byte, 64), nil)
	c.excuse(tcg.TPMRCNoResult, "of a million signatures none needs 814 attempts; package mldsa has a test with a limit of its own")
	h := handles{tpm.Primary(owner, anonymous(), none).Handle}
	n := commitment(tpm, h[0])
	c.row(tcg.TPMRCSize.P(1), "an anonymous scheme without a counter", h, nil, v, nil)
	c.row(tcg.TPMRCRange, "a counter that never was", h, be(n+1), v, nil)
	c.row(tcg.TPMRCSuccess, "a counter", h, be(n), v, nil)
	c.row(tcg.TPMRCValue, "a counter that was used", h, be(n), v, nil)
}

func TestVerifyDigestSignatureCodes(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	c := codesOf(t, tpm, tcg.TPMCCVerifyDigestSignature)
	key := handles{tpm.Primary(owner, signer(tpmtest.ECC(sign), ecdsa), none).Handle}
	v := hash([]byte("message"))
	s := signature(tpm.Do(tcg.TPMCCSignDigest, key, nil, nil, v, nil))
	s.R, s.S = bytes.Clone(s.R), bytes.Clone(s.S)
	digestRows(c, s)
	c.row(tcg.TPMRCSignature.P(3), "another digest", key, nil, hash(v), s)
	other := s
	other.SigAlg = tcg.TPMAlgECSchnorr
	c.row(tcg.TPMRCScheme.P(3), "another scheme", key, nil, v, other)
	other = s
	other.Hash = tcg.TPMAlgSHA384
	c.row(tcg.TPMRCScheme.P(3), "another hash", key, nil, v, other)
	c.row(tcg.TPMRCScheme.P(3), "no signature", key, nil, v, nil)
	anon := handles{tpm.Primary(owner, anonymous(), none).Handle}
	s2 := s
	s2.SigAlg = tcg.TPMAlgECDAA
	c.row(tcg.TPMRCScheme.P(3), "an anonymous signature, which it does not verify", anon, "ab", v, s2)
	c.row(tcg.TPMRCSuccess, "the signature", key, nil, v, s)
}
