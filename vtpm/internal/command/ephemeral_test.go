package command

import (
	"bytes"
	"crypto/elliptic"
	"math/big"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// TestTwoPhaseExchange: both sides of ECDH with an ephemeral and a static key
// arrive at the same two points, once.
func TestTwoPhaseExchange(t *testing.T) {
	t.Parallel()
	type side struct {
		x       rawTPM
		key     tcg.TPMHandle
		qs, qe  tcg.TPMSECCPoint
		counter uint16
	}
	var sides [2]side
	for i := range sides {
		d, _, _ := newTestDevice(t)
		s := &sides[i]
		s.x = rawTPM{t, d}
		var public tcg.TPMTPublic
		s.key, public, _ = s.x.eccKey(tcg.TPMAObjectDecrypt, noScheme, noSym)
		s.qs = public.UniqueECC
		r := s.x.want(tcg.TPMRCSuccess, tcg.TPMCCECEphemeral, nil, func(w *tcg.Writer) { w.Uint16(uint16(tcg.TPMECCNistP256)) })
		s.qe.Unmarshal2B(&r)
		s.qe = tcg.TPMSECCPoint{X: bytes.Clone(s.qe.X), Y: bytes.Clone(s.qe.Y)}
		s.counter = r.Uint16()
	}
	exchange := func(me, other *side) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			other.qs.Marshal2B(w)
			other.qe.Marshal2B(w)
			w.Uint16(uint16(tcg.TPMAlgECDH))
			w.Uint16(me.counter)
		}
	}
	a, b := &sides[0], &sides[1]

	spoiled := *b
	spoiled.qe.X = bytes.Clone(b.qe.X)
	spoiled.qe.X[5] ^= 1
	a.x.want(tcg.TPMRCECCPoint.P(2), tcg.TPMCCZGen2Phase, handles(a.key), exchange(a, &spoiled))
	late := *a
	late.counter++
	a.x.want(tcg.TPMRCRange.P(4), tcg.TPMCCZGen2Phase, handles(a.key), exchange(&late, b))

	ra := a.x.want(tcg.TPMRCSuccess, tcg.TPMCCZGen2Phase, handles(a.key), exchange(a, b))
	rb := b.x.want(tcg.TPMRCSuccess, tcg.TPMCCZGen2Phase, handles(b.key), exchange(b, a))
	za, zb := ra.Rest(), rb.Rest()
	if len(za) != 2*(2+2+32+2+32) || !bytes.Equal(za, zb) {
		t.Fatalf("the sides differ:\n%x\n%x", za, zb)
	}
	a.x.want(tcg.TPMRCValue.P(4), tcg.TPMCCZGen2Phase, handles(a.key), exchange(a, b)) // used up
}

func TestECCEncryption(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	key, _, _ := x.eccKey(tcg.TPMAObjectDecrypt, noScheme, noSym)
	storage, _, _ := x.eccKey(tcg.TPMAObjectDecrypt|tcg.TPMAObjectRestricted, noScheme, aes128CFB)
	message := []byte("for one key only")
	scheme := func(w *tcg.Writer) {
		w.Uint16(uint16(tcg.TPMAlgKDF2))
		w.Uint16(uint16(tcg.TPMAlgSHA384))
	}
	encrypt := func(w *tcg.Writer) { w.Sized(message); scheme(w) }
	x.want(tcg.TPMRCSuccess, tcg.TPMCCECCEncrypt, handles(storage), encrypt)
	x.want(tcg.TPMRCScheme.P(2), tcg.TPMCCECCEncrypt, handles(key), func(w *tcg.Writer) {
		w.Sized(message)
		w.Uint16(uint16(tcg.TPMAlgNull))
	})
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCECCEncrypt, handles(key), encrypt)
	sent := bytes.Clone(r.Rest())
	if bytes.Contains(sent, message) {
		t.Fatal("the message was not encrypted")
	}
	decrypt := func(b []byte) func(w *tcg.Writer) {
		return func(w *tcg.Writer) { w.Bytes(b); scheme(w) }
	}
	x.want(tcg.TPMRCAttributes.H(1), tcg.TPMCCECCDecrypt, handles(storage), decrypt(sent))
	r = x.want(tcg.TPMRCSuccess, tcg.TPMCCECCDecrypt, handles(key), decrypt(sent))
	if got := r.Sized(1024); !bytes.Equal(got, message) {
		t.Fatalf("decrypted %q", got)
	}
	for _, at := range []int{10, len(sent) - 51, len(sent) - 1} {
		spoiled := bytes.Clone(sent)
		spoiled[at] ^= 1
		rc, _, _ := x.send(tcg.TPMCCECCDecrypt, handles(key), decrypt(spoiled))
		want := tcg.TPMRCValue.P(3)
		if at == 10 {
			want = tcg.TPMRCECCPoint.P(1)
		}
		if rc != want {
			t.Fatalf("byte %d changed: %#x, not %#x", at, uint32(rc), uint32(want))
		}
	}
}

// TestCommitCodes: TPM2_Commit is for anonymous schemes (Part 3, 19.2).
func TestCommitCodes(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	ecdaa := tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDAA, HashAlg: tcg.TPMAlgSHA256}
	commit := func(s2, y2 []byte) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			new(tcg.TPMSECCPoint).Marshal2B(w)
			w.Sized(s2)
			w.Sized(y2)
		}
	}
	for _, s := range []tcg.TPMTAsymScheme{noScheme, {Scheme: tcg.TPMAlgECDSA, HashAlg: tcg.TPMAlgSHA256}} {
		h, _, _ := x.eccKey(tcg.TPMAObjectSignEncrypt, s, noSym)
		x.want(tcg.TPMRCScheme.H(1), tcg.TPMCCCommit, handles(h), commit(nil, nil))
		x.want(tcg.TPMRCSuccess, tcg.TPMCCFlushContext, nil, func(w *tcg.Writer) { w.Uint32(uint32(h)) })
	}
	h, _, _ := x.eccKey(tcg.TPMAObjectSignEncrypt, ecdaa, noSym)
	x.want(tcg.TPMRCSize.P(3), tcg.TPMCCCommit, handles(h), commit(nil, []byte{1}))
	x.want(tcg.TPMRCSize.P(3), tcg.TPMCCCommit, handles(h), commit([]byte{1}, nil))
	x.want(tcg.TPMRCSuccess, tcg.TPMCCCommit, handles(h), commit(nil, nil))
}

// TestAnonymousAttestation: what an anonymous key signs does not name it, and
// the caller's data are in what is signed only (Part 1, 44.3.3.3). The signature
// (k, s) is checked with the public point: [s]G = E + [H(k || P)]Q.
func TestAnonymousAttestation(t *testing.T) {
	t.Parallel()
	d, _, _ := newTestDevice(t)
	x := rawTPM{t, d}
	h, public, name := x.eccKey(tcg.TPMAObjectSignEncrypt, tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDAA, HashAlg: tcg.TPMAlgSHA256}, noSym)
	r := x.want(tcg.TPMRCSuccess, tcg.TPMCCCommit, handles(h), func(w *tcg.Writer) {
		new(tcg.TPMSECCPoint).Marshal2B(w)
		w.Sized(nil)
		w.Sized(nil)
	})
	var k, l, e tcg.TPMSECCPoint
	k.Unmarshal2B(&r)
	l.Unmarshal2B(&r)
	e.Unmarshal2B(&r)
	ex, ey := new(big.Int).SetBytes(e.X), new(big.Int).SetBytes(e.Y)
	counter := r.Uint16()

	data := []byte("the verifier's nonce")
	quote := func(counter uint16) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Sized(data)
			w.Uint16(uint16(tcg.TPMAlgECDAA))
			w.Uint16(uint16(tcg.TPMAlgSHA256))
			w.Uint16(counter)
			w.Uint32(0)
		}
	}
	x.want(tcg.TPMRCRange, tcg.TPMCCQuote, handles(h), quote(counter+1))
	// The key's scheme has no counter: the caller gives it (Part 3, 20.5.1).
	x.want(tcg.TPMRCScheme.P(2), tcg.TPMCCQuote, handles(h), func(w *tcg.Writer) {
		w.Sized(data)
		w.Uint16(uint16(tcg.TPMAlgNull))
		w.Uint32(0)
	})
	r = x.want(tcg.TPMRCSuccess, tcg.TPMCCQuote, handles(h), quote(counter))
	attest := bytes.Clone(r.Sized(1024))
	if bytes.Contains(attest, data) || bytes.Contains(attest, d.Object(h).QualifiedName) || bytes.Contains(attest, name) {
		t.Errorf("the attestation tells who signed it, or the data: %x", attest)
	}
	if alg := tcg.TPMAlgID(r.Uint16()); alg != tcg.TPMAlgECDAA {
		t.Fatalf("signature of scheme %#x", uint16(alg))
	}
	r.Uint16()
	sk, ss := bytes.Clone(r.Sized(66)), bytes.Clone(r.Sized(66))
	p := tpmcrypto.Digest(tcg.TPMAlgSHA256, data, tpmcrypto.Digest(tcg.TPMAlgSHA256, attest))
	c := elliptic.P256()
	n := c.Params().N
	h2 := new(big.Int).SetBytes(tpmcrypto.Digest(tcg.TPMAlgSHA256, sk, p))
	h2.Mod(h2, n)
	gx, gy := c.ScalarBaseMult(ss)
	qx, qy := c.ScalarMult(new(big.Int).SetBytes(public.UniqueECC.X), new(big.Int).SetBytes(public.UniqueECC.Y), h2.Bytes())
	if wx, wy := c.Add(ex, ey, qx, qy); gx.Cmp(wx) != 0 || gy.Cmp(wy) != 0 {
		t.Error("the signature is not one over the data and the attestation")
	}
	x.want(tcg.TPMRCValue, tcg.TPMCCQuote, handles(h), quote(counter)) // used up
}
