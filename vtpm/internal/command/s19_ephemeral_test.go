package command_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"math/big"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

var ecdaa = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDAA, HashAlg: tcg.TPMAlgSHA256}

// noPoint is the Empty Point, which stands for none.
var noPoint tcg.TPMSECCPoint

// counted is the anonymous scheme with the counter of a TPM2_Commit.
func counted(n uint16) tcg.TPMTAsymScheme {
	s := ecdaa
	s.Count = n
	return s
}

// anonymous is the template of a key with an anonymous scheme.
func anonymous() tcg.TPMTPublic {
	p := tpmtest.ECC(sign)
	p.ECC.Scheme = ecdaa
	return p
}

// commitment has TPM2_Commit make a secret, and returns its counter.
func commitment(tpm *tpmtest.TPM, key tcg.TPMHandle) uint16 {
	r := tpm.Do(tcg.TPMCCCommit, handles{key}, nil, noPoint, nil, nil)
	point(r)
	point(r)
	point(r)
	return r.Uint16()
}

// basePoint finds what s2 and y2 have to be for a point on P-256: its x is the
// digest of s2 (Part 1, "TPM2_Commit").
func basePoint() (s2 []byte, x, y *big.Int) {
	p := elliptic.P256().Params()
	for n := byte(0); ; n++ {
		s2 = []byte{'s', n}
		x = new(big.Int).SetBytes(hash(s2))
		x.Mod(x, p.P)
		v := new(big.Int).Exp(x, big.NewInt(3), p.P) // x^3 - 3x + b
		v.Sub(v, new(big.Int).Mul(x, big.NewInt(3)))
		v.Add(v, p.B)
		if y = v.ModSqrt(v.Mod(v, p.P), p.P); y != nil {
			return s2, x, y
		}
	}
}

// scale multiplies a point by a number.
func scale(x, y *big.Int, k []byte) tcg.TPMSECCPoint {
	x, y = elliptic.P256().ScalarMult(x, y, k)
	return tcg.TPMSECCPoint{X: pad32(x.Bytes()), Y: pad32(y.Bytes())}
}

func same(p, q tcg.TPMSECCPoint) bool { return bytes.Equal(p.X, q.X) && bytes.Equal(p.Y, q.Y) }

// TestCommit: K is the base point times the private key, L and E are base point
// and P1 times a secret that the signature shows to be the same; without any point
// E is the generator times it (Part 3, 19.2; Part 1, "TPM2_Commit").
func TestCommit(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	p, s := outside(t, sign)
	p.ECC.Scheme = ecdaa
	key := external(tpm, p, &s)
	g := elliptic.P256().Params()
	s2, x2, y2 := basePoint()
	m, err := rand.Int(rand.Reader, g.N)
	if err != nil {
		t.Fatal(err)
	}
	p1 := scale(g.Gx, g.Gy, m.Bytes())
	digest := hash([]byte("message"))
	// secret is r of what the counter stands for: s = r + T * d, where T is the
	// digest of k and the message.
	secret := func(counter uint16) []byte {
		sig := signature(tpm.Do(tcg.TPMCCSign, handles{key}, nil, digest, counted(counter), nil))
		r := new(big.Int).SetBytes(hash(sig.R, digest))
		r.Mul(r, new(big.Int).SetBytes(s.Sensitive))
		r.Sub(new(big.Int).SetBytes(sig.S), r)
		return r.Mod(r, g.N).Bytes()
	}
	commit := func(p1, s2, y2 any) (k, l, e tcg.TPMSECCPoint, r []byte) {
		a := tpm.Do(tcg.TPMCCCommit, handles{key}, nil, p1, s2, y2)
		k, l, e = point(a), point(a), point(a)
		return k, l, e, secret(a.Uint16())
	}
	none := tcg.TPMSECCPoint{X: make([]byte, 32), Y: make([]byte, 32)}

	k, l, e, r := commit(p1, s2, y2.Bytes())
	if !same(k, scale(x2, y2, s.Sensitive)) {
		t.Error("K is not the base point times the private key")
	}
	if !same(l, scale(x2, y2, r)) {
		t.Error("L is not the base point times r")
	}
	if !same(e, scale(new(big.Int).SetBytes(p1.X), new(big.Int).SetBytes(p1.Y), r)) {
		t.Error("E is not P1 times r")
	}
	if k, l, e, again := commit(noPoint, nil, nil); !same(k, none) || !same(l, none) || !same(e, scale(g.Gx, g.Gy, again)) || bytes.Equal(again, r) {
		t.Error("without points: E is not the generator times another r, or K and L are there")
	}
	if k, l, e, r := commit(noPoint, s2, y2.Bytes()); !same(k, scale(x2, y2, s.Sensitive)) || !same(l, scale(x2, y2, r)) || !same(e, none) {
		t.Error("without P1: E is there, or K or L are wrong")
	}
}

func TestCommitCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCCommit)
	row := func(rc tcg.TPMRC, why string, p tcg.TPMTPublic) {
		t.Helper()
		h := tpm.Primary(owner, p, none).Handle
		c.row(rc, why, handles{h}, noPoint, nil, nil)
		tpm.Flush(h)
	}
	own := tpmtest.ECC(sign)
	own.ECC.Scheme = ecdsa
	row(tcg.TPMRCKey.H(1), "an HMAC key", tpmtest.HMAC(0))
	c.row(tcg.TPMRCKey.H(1), "a sequence", handles{sequence(tpm)}, noPoint, nil, nil)
	row(tcg.TPMRCAttributes.H(1), "a key that decrypts", tpmtest.ECC(decrypt))
	row(tcg.TPMRCScheme.H(1), "a key without a scheme", tpmtest.ECC(sign))
	row(tcg.TPMRCScheme.H(1), "a key whose scheme is not anonymous", own)
	key := tpm.Primary(owner, anonymous(), none)
	h := handles{key.Handle}
	s2, _, y2 := basePoint()
	q := key.Public.UniqueECC
	c.row(tcg.TPMRCSize.P(3), "y2 without s2", h, noPoint, nil, y2.Bytes())
	c.row(tcg.TPMRCSize.P(3), "s2 without y2", h, noPoint, s2, nil)
	c.row(tcg.TPMRCECCPoint, "P1 is off the curve", h, tcg.TPMSECCPoint{X: q.Y, Y: q.X}, nil, nil)
	c.row(tcg.TPMRCECCPoint, "s2 and y2 are off the curve", h, noPoint, s2, append(y2.Bytes()[:31], y2.Bytes()[31]^1))
	p, s := outside(t, sign)
	p.ECC.Scheme, p.NameAlg = ecdaa, tcg.TPMAlgNull
	c.row(tcg.TPMRCHash, "a key without a Name", handles{external(tpm, p, &s)}, noPoint, nil, nil)
	c.row(tcg.TPMRCSize.P(1), "a P1 without coordinates", h, nil, nil, nil)
	c.excuse(tcg.TPMRCNoResult, "the order of each curve is a prime, and neither the private key nor r is zero: no product is the point at infinity")
	c.row(tcg.TPMRCSuccess, "no points at all", h, noPoint, nil, nil)
}

// TestAnonymousAttestation: what an anonymous key signs does not name it, and the
// caller's data are in what is signed only (Part 1, 44.3.3.3). A counter is good
// for one signature.
func TestAnonymousAttestation(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	p, s := outside(t, sign)
	p.ECC.Scheme = ecdaa
	h := handles{external(tpm, p, &s)}
	r := tpm.Do(tcg.TPMCCCommit, h, nil, noPoint, nil, nil)
	point(r)
	point(r)
	e, counter := point(r), r.Uint16()
	data := []byte("the verifier's nonce")
	tpm.Want(tcg.TPMRCRange, tcg.TPMCCQuote, h, nil, data, counted(counter+1), nil)
	tpm.Want(tcg.TPMRCScheme.P(2), tcg.TPMCCQuote, h, nil, data, nil, nil)
	r = tpm.Do(tcg.TPMCCQuote, h, nil, data, counted(counter), nil)
	attest, sig := take(r), signature(r)
	if name := tpm.Name(h[0]); bytes.Contains(attest, data) || bytes.Contains(attest, name) {
		t.Errorf("the attestation tells who signed it, or the data: %x", attest)
	}
	// s times the generator is E and T times the public point.
	c := elliptic.P256()
	tt := new(big.Int).SetBytes(hash(sig.R, hash(data, hash(attest))))
	q := scale(new(big.Int).SetBytes(p.UniqueECC.X), new(big.Int).SetBytes(p.UniqueECC.Y), tt.Mod(tt, c.Params().N).Bytes())
	x, y := c.Add(new(big.Int).SetBytes(e.X), new(big.Int).SetBytes(e.Y), new(big.Int).SetBytes(q.X), new(big.Int).SetBytes(q.Y))
	if got := scale(c.Params().Gx, c.Params().Gy, sig.S); !same(got, tcg.TPMSECCPoint{X: pad32(x.Bytes()), Y: pad32(y.Bytes())}) {
		t.Error("the signature is not one over the data and the attestation")
	}
	tpm.Want(tcg.TPMRCValue, tcg.TPMCCQuote, h, nil, data, counted(counter), nil)
}

// TestECEphemeral: each call has another point and the next counter, which are
// shared with TPM2_Commit (Part 3, 19.1 and 19.3).
func TestECEphemeral(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key := tpm.Primary(owner, anonymous(), none)
	var last tcg.TPMSECCPoint
	for n := range uint16(3) {
		r := tpm.Do(tcg.TPMCCECEphemeral, nil, nil, tcg.TPMECCNistP256)
		q := point(r)
		goPoint(t, q) // is on the curve
		if counter := r.Uint16(); same(q, last) || counter != 2*n {
			t.Errorf("call %d: counter %d, point %x", n, counter, q.X)
		}
		last = q
		if counter := commitment(tpm, key.Handle); counter != 2*n+1 {
			t.Errorf("TPM2_Commit has counter %d after %d", counter, 2*n)
		}
	}
	// After a reset the same counter stands for another secret.
	first := point(tpm.Fork().Do(tcg.TPMCCECEphemeral, nil, nil, tcg.TPMECCNistP256))
	tpm.Reset()
	if q := point(tpm.Do(tcg.TPMCCECEphemeral, nil, nil, tcg.TPMECCNistP256)); same(q, first) {
		t.Error("the same point after a reset")
	}
}

func TestECEphemeralCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCECEphemeral)
	c.row(tcg.TPMRCCurve.P(1), "no curve", nil, tcg.TPMECCNone)
	c.row(tcg.TPMRCCurve.P(1), "no such curve", nil, 0x7777)
	c.row(tcg.TPMRCInsufficient.P(1), "half a number", nil, tpmtest.Raw{0})
}
