package command_test

import (
	"bytes"
	"crypto"
	goecdsa "crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

var (
	rsapss    = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgRSAPSS, HashAlg: tcg.TPMAlgSHA256}
	ecschnorr = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECSchnorr, HashAlg: tcg.TPMAlgSHA256}
)

// signature takes the response's next TPMT_SIGNATURE.
func signature(r *tpmtest.Response) (s tcg.TPMTSignature) {
	s.UnmarshalPlus(&r.Reader)
	return s
}

// goECDSA is a public key on P-256 as Go's standard library has it.
func goECDSA(p *tcg.TPMTPublic) *goecdsa.PublicKey {
	x, y := new(big.Int).SetBytes(p.UniqueECC.X), new(big.Int).SetBytes(p.UniqueECC.Y)
	return &goecdsa.PublicKey{Curve: elliptic.P256(), X: x, Y: y}
}

// good reports whether a signature of an ECC or RSA key is one over a SHA-256
// digest, as Go's standard library sees it.
func good(p *tcg.TPMTPublic, digest []byte, s tcg.TPMTSignature) bool {
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(p.UniqueRSA), E: 65537}
	switch s.SigAlg {
	case tcg.TPMAlgECDSA:
		return goecdsa.Verify(goECDSA(p), digest, new(big.Int).SetBytes(s.R), new(big.Int).SetBytes(s.S))
	case tcg.TPMAlgRSASSA:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, s.Sig) == nil
	case tcg.TPMAlgRSAPSS:
		return rsa.VerifyPSS(key, crypto.SHA256, digest, s.Sig, nil) == nil
	}
	return false
}

// outsideRSA is an RSA key that was made outside the TPM.
func outsideRSA(t *testing.T, attributes tcg.TPMAObject) (tcg.TPMTPublic, tcg.TPMTSensitive) {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := given(tpmtest.RSA(attributes))
	p.UniqueRSA = k.N.Bytes()
	return p, tcg.TPMTSensitive{SensitiveType: tcg.TPMAlgRSA, Sensitive: k.Primes[0].Bytes()}
}

// TestSign: what the TPM signs Go's standard library verifies, and so does the TPM
// with the public key alone; no other digest goes with it (Part 3, 20.2 and 20.5).
func TestSign(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	rp, rs := outsideRSA(t, sign)
	ep, es := outside(t, sign)
	digest, other := hash([]byte("message")), hash([]byte("another"))
	for _, c := range []struct {
		scheme    tcg.TPMTAsymScheme
		public    tcg.TPMTPublic
		sensitive tcg.TPMTSensitive
	}{{rsassa, rp, rs}, {rsapss, rp, rs}, {ecdsa, ep, es}, {ecschnorr, ep, es}} {
		key, public := external(tpm, c.public, &c.sensitive), external(tpm, c.public, nil)
		s := signature(tpm.Do(tcg.TPMCCSign, handles{key}, nil, digest, c.scheme, nil))
		if s.SigAlg != c.scheme.Scheme || s.Hash != tcg.TPMAlgSHA256 {
			t.Errorf("%v: signed with %v and %v", c.scheme.Scheme, s.SigAlg, s.Hash)
		}
		if c.scheme != ecschnorr && !good(&c.public, digest, s) {
			t.Errorf("%v: not a signature", c.scheme.Scheme)
		}
		tpm.Do(tcg.TPMCCVerifySignature, handles{public}, nil, digest, s)
		tpm.Want(tcg.TPMRCSignature.P(2), tcg.TPMCCVerifySignature, handles{public}, nil, other, s)
		tpm.Flush(key, public)
	}
	mp, ms := outsideMAC("key")
	key := external(tpm, mp, &ms)
	s := signature(tpm.Do(tcg.TPMCCSign, handles{key}, nil, digest, nil, nil))
	m := hmac.New(sha256.New, []byte("key"))
	m.Write(digest)
	if s.SigAlg != tcg.TPMAlgHMAC || !bytes.Equal(s.HMAC, m.Sum(nil)) {
		t.Errorf("the MAC is %v %x", s.SigAlg, s.HMAC)
	}
	tpm.Do(tcg.TPMCCVerifySignature, handles{key}, nil, digest, s)
	tpm.Want(tcg.TPMRCSignature.P(2), tcg.TPMCCVerifySignature, handles{key}, nil, other, s)
}

// TestVerifySignature: the ticket is of the key's hierarchy, and of nothing that is
// outside of all (Part 3, 20.2).
func TestVerifySignature(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	digest := hash([]byte("message"))
	seen := map[string]bool{}
	for _, h := range []tcg.TPMHandle{owner, endorsement, platform, null} {
		key := tpm.Primary(h, tpmtest.ECC(sign), none)
		for _, d := range [][]byte{digest, hash(digest)} {
			s := signature(tpm.Do(tcg.TPMCCSign, handles{key.Handle}, nil, d, ecdsa, nil))
			for range 2 { // the same ticket each time
				var k tcg.TPMTTk
				k.UnmarshalVerified(&tpm.Do(tcg.TPMCCVerifySignature, handles{key.Handle}, nil, d, s).Reader)
				if k.Tag != tcg.TPMSTVerified || k.Hierarchy != h || (len(k.Digest) == 0) != (h == null) {
					t.Errorf("hierarchy %#x: ticket %v of %#x, digest %x", h, k.Tag, k.Hierarchy, k.Digest)
				}
				seen[string(k.Digest)] = true
			}
		}
		tpm.Flush(key.Handle)
	}
	if len(seen) != 7 { // two of each hierarchy, and none
		t.Errorf("%d different tickets", len(seen))
	}
}

// TestSignRestricted: a restricted key signs what a ticket says is safe to sign,
// with the algorithm and in the hierarchy that it says, and as long as it lives
// (Part 3, 20.5).
func TestSignRestricted(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	p := tpmtest.ECC(sign | restricted)
	p.ECC.Scheme = ecdsa
	key := tpm.Primary(owner, p, none)
	free := tpm.Primary(owner, tpmtest.ECC(sign), none)
	hashed := func(data string, alg tcg.TPMAlgID, h tcg.TPMHandle) ([]byte, tcg.TPMTTk) {
		r := tpm.Do(tcg.TPMCCHash, nil, nil, data, alg, h)
		return take(r), hashTicket(r)
	}
	want := func(rc tcg.TPMRC, why string, digest []byte, k any) {
		t.Helper()
		if r := tpm.Run(tcg.TPMCCSign, handles{key.Handle}, nil, digest, nil, k); r.Code != rc {
			t.Errorf("%s: %v, not %v", why, r.Code, rc)
		}
	}
	const bad = tcg.TPMRCTicket
	digest, k := hashed("message", tcg.TPMAlgSHA256, owner)
	want(tcg.TPMRCSuccess, "a ticket", digest, k)
	want(bad.P(3), "no ticket", digest, nil)
	want(bad.P(3), "a ticket for another digest", hash(digest), k)
	spoiled := k
	spoiled.Digest = bytes.Clone(k.Digest)
	spoiled.Digest[0] ^= 1
	want(bad.P(3), "a bit of the ticket is turned", digest, spoiled)
	spoiled = k
	spoiled.Hierarchy = endorsement
	want(bad.P(3), "a ticket said to be of another hierarchy", digest, spoiled)
	wide, other := hashed("message", tcg.TPMAlgSHA384, owner)
	want(bad.P(3), "a ticket of another algorithm", wide, other)
	tcgData, empty := hashed(generated, tcg.TPMAlgSHA256, owner)
	want(bad.P(3), "data that look like a structure of the TPM", tcgData, empty)
	if rc := tpm.Run(tcg.TPMCCSign, handles{free.Handle}, nil, hash(digest), ecdsa, k).Code; rc != bad.P(3) {
		t.Errorf("a key that needs no ticket, and a wrong one: %v", rc)
	}
	// A ticket lasts as long as its hierarchy is enabled and has this proof.
	_, k = hashed("message", tcg.TPMAlgSHA256, endorsement)
	want(tcg.TPMRCSuccess, "a ticket of another hierarchy", digest, k)
	disable(tpm, endorsement)
	want(bad.P(3), "a ticket of a hierarchy that is disabled", digest, k)
}

func TestSignCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCSign)
	digest := hash([]byte("message"))
	row := func(rc tcg.TPMRC, why string, p tcg.TPMTPublic, digest []byte, scheme any) {
		t.Helper()
		h := tpm.Primary(owner, p, none).Handle
		c.row(rc, why, handles{h}, digest, scheme, nil)
		tpm.Flush(h)
	}
	x509 := tpmtest.ECC(sign | tcg.TPMAObjectX509Sign)
	own := tpmtest.ECC(sign)
	own.ECC.Scheme = ecdsa
	bound := tpmtest.ECC(sign | restricted)
	bound.ECC.Scheme = ecdsa
	sha384 := ecdsa
	sha384.HashAlg = tcg.TPMAlgSHA384
	row(tcg.TPMRCKey.H(1), "a key that decrypts", tpmtest.ECC(decrypt), digest, ecdsa)
	row(tcg.TPMRCKey.H(1), "a cipher's key", tpmtest.AES(sign), digest, ecdsa)
	c.row(tcg.TPMRCKey.H(1), "a sequence", handles{sequence(tpm)}, digest, ecdsa, nil)
	row(tcg.TPMRCAttributes.H(1), "a key for certificates only", x509, digest, ecdsa)
	row(tcg.TPMRCScheme.P(2), "no scheme at all", tpmtest.ECC(sign), digest, nil)
	row(tcg.TPMRCScheme.P(2), "a scheme for RSA", tpmtest.ECC(sign), digest, rsassa)
	row(tcg.TPMRCScheme.P(2), "a scheme for ECC, and an HMAC key", tpmtest.HMAC(0), digest, ecdsa)
	row(tcg.TPMRCScheme.P(2), "another scheme than the key's", own, digest, ecschnorr)
	row(tcg.TPMRCScheme.P(2), "another hash algorithm than the key's", own, digest, sha384)
	row(tcg.TPMRCScheme.P(2), "a scheme that does not sign", tpmtest.ECC(sign), digest, oaep)
	row(tcg.TPMRCHash.P(2), "a scheme with a cipher for hash", tpmtest.ECC(sign), digest,
		tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDSA, HashAlg: tcg.TPMAlgAES})
	row(tcg.TPMRCTicket.P(3), "a restricted key, and no ticket", bound, digest, nil)
	row(tcg.TPMRCSize.P(1), "a digest that is cut", own, digest[:31], nil)
	row(tcg.TPMRCSize.P(1), "a digest of another algorithm", tpmtest.ECC(sign), digest, sha384)
	row(tcg.TPMRCSize.P(1), "a digest longer than any", own, make([]byte, 65), nil)
	h := handles{tpm.Primary(owner, own, none).Handle}
	c.row(tcg.TPMRCTag.P(3), "a ticket of another kind", h, digest, nil,
		tcg.TPMTTk{Tag: tcg.TPMSTVerified, Hierarchy: null})
	c.row(tcg.TPMRCSuccess, "the key's own scheme", h, digest, ecdsa, nil)
	c.row(tcg.TPMRCAuthUnavailable, "a public key", handles{external(tpm, tpm.Public(h[0]), nil)}, digest, ecdsa, nil)
	row(tcg.TPMRCScheme.P(2), "an anonymous key, without a counter", anonymous(), digest, nil)
	row(tcg.TPMRCRange, "a counter that never was", anonymous(), digest, counted(0))
	h = handles{tpm.Primary(owner, anonymous(), none).Handle}
	n := commitment(tpm, h[0])
	c.row(tcg.TPMRCSuccess, "a counter", h, digest, counted(n), nil)
	c.row(tcg.TPMRCValue, "a counter that was used", h, digest, counted(n), nil)
}

func TestVerifySignatureCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCVerifySignature)
	digest := hash([]byte("message"))
	own := tpmtest.ECC(sign)
	own.ECC.Scheme = ecdsa
	key := handles{tpm.Primary(owner, tpmtest.ECC(sign), none).Handle}
	s := signature(tpm.Do(tcg.TPMCCSign, key, nil, digest, ecdsa, nil))
	row := func(rc tcg.TPMRC, why string, h handles, digest []byte, change func(s *tcg.TPMTSignature)) {
		t.Helper()
		x := tcg.TPMTSignature{SigAlg: s.SigAlg, Hash: s.Hash, R: bytes.Clone(s.R), S: bytes.Clone(s.S)}
		if change != nil {
			change(&x)
		}
		c.row(rc, why, h, digest, x)
	}
	made := func(p tcg.TPMTPublic) handles { return handles{tpm.Primary(owner, p, none).Handle} }
	sha384 := func(s *tcg.TPMTSignature) { s.Hash = tcg.TPMAlgSHA384 }
	mac := func(s *tcg.TPMTSignature) {
		*s = tcg.TPMTSignature{SigAlg: tcg.TPMAlgHMAC, Hash: tcg.TPMAlgSHA256, HMAC: digest}
	}
	row(tcg.TPMRCAttributes.H(1), "a key that decrypts", made(tpmtest.ECC(decrypt)), digest, nil)
	row(tcg.TPMRCAttributes.H(1), "a sequence", handles{sequence(tpm)}, digest, nil)
	mp, _ := outsideMAC("key")
	row(tcg.TPMRCHandle.H(1), "the public part of an HMAC key", handles{external(tpm, mp, nil)}, digest, mac)
	owned := made(own)
	row(tcg.TPMRCScheme.P(2), "another scheme than the key's", owned, digest, func(s *tcg.TPMTSignature) { s.SigAlg = tcg.TPMAlgECSchnorr })
	row(tcg.TPMRCScheme.P(2), "another hash algorithm than the key's", owned, digest, sha384)
	row(tcg.TPMRCScheme.P(2), "an ECC key, and a signature of RSA", key, digest, func(s *tcg.TPMTSignature) {
		*s = tcg.TPMTSignature{SigAlg: tcg.TPMAlgRSASSA, Hash: tcg.TPMAlgSHA256, Sig: make([]byte, 256)}
	})
	row(tcg.TPMRCScheme.P(2), "an HMAC key, and a signature of ECC", made(anyHMAC()), digest, nil)
	row(tcg.TPMRCScheme.P(2), "a cipher's key", made(tpmtest.AES(sign)), digest, nil)
	row(tcg.TPMRCScheme.P(2), "no signature", key, digest, func(s *tcg.TPMTSignature) { s.SigAlg = tcg.TPMAlgNull })
	row(tcg.TPMRCHash.P(2), "a signature with a cipher for hash", key, digest, func(s *tcg.TPMTSignature) { s.Hash = tcg.TPMAlgAES })
	row(tcg.TPMRCSize.P(1), "a digest of another algorithm", key, digest, sha384)
	row(tcg.TPMRCSize.P(1), "a digest that is cut", key, digest[:31], nil)
	row(tcg.TPMRCSignature.P(2), "another key's", owned, digest, nil)
	row(tcg.TPMRCSignature.P(2), "a bit of r is turned", key, digest, func(s *tcg.TPMTSignature) { s.R[3] ^= 1 })
	row(tcg.TPMRCSignature.P(2), "zeros", key, digest, func(s *tcg.TPMTSignature) { s.R, s.S = nil, nil })
	row(tcg.TPMRCSuccess, "the signature", key, digest, nil)
	row(tcg.TPMRCSize.P(2), "an r longer than any curve", key, digest, func(s *tcg.TPMTSignature) { s.R = make([]byte, 129) })
}
