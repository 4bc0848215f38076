//go:build !nosm

package command

import (
	"bytes"
	"math/big"
	"testing"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

func TestSMOpenSSL(t *testing.T) {
	t.Parallel()
	testCiphers(t, "sm", tcg.TPMAlgSM4, map[int]string{128: "sm4"}, "ecb cbc cfb ofb ctr")
	testHash(t, "sm", tcg.TPMAlgSM3256, "sm3")
}

func TestSMWrapping(t *testing.T) {
	t.Parallel()
	x, _ := profiled(t, "base = sm")
	testWrapping(t, x, []tcg.TPMTSymDefObject{{Algorithm: tcg.TPMAlgSM4, KeyBits: 128, Mode: tcg.TPMAlgCFB}})
}

// sm2Key makes a primary key on the curve of SM2.
func (x rawTPM) sm2Key(attrs tcg.TPMAObject) (tcg.TPMHandle, tcg.TPMTPublic) {
	return x.primary(tcg.TPMTPublic{Type: tcg.TPMAlgECC, ObjectAttributes: attrs,
		ECC: tcg.TPMSECCParms{Symmetric: noSym, Scheme: noScheme, CurveID: tcg.TPMECCSM2P256, KDF: noScheme}}, nil)
}

// An SM2 signature over a digest of SM3 is what GB/T 32918.2, 7.1, takes, as
// the plainest arithmetic computes it; TPM2_VerifySignature takes it too.
func TestSM2Big(t *testing.T) {
	t.Parallel()
	x, _ := profiled(t, "base = sm")
	c := x.curve(tcg.TPMECCSM2P256)
	digest := bytes.Repeat([]byte{0xE1}, 32)
	h, p := x.sm2Key(tcg.TPMAObjectSignEncrypt)
	scheme := tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgSM2, HashAlg: tcg.TPMAlgSM3256}
	r := x.signature(h, scheme, digest)
	sig := bigs(bytes.Clone(r.Sized(128)), bytes.Clone(r.Sized(128)))
	verify := func(e *big.Int) bool {
		u := new(big.Int).Add(sig[0], sig[1]) // B5
		u.Mod(u, c.n)
		p := c.add(c.mul(sig[1], c.generator()), c.mul(u, bigs(p.UniqueECC.X, p.UniqueECC.Y))) // B6
		return p != nil && e.Add(e, p[0]).Mod(e, c.n).Cmp(sig[0]) == 0                         // B7
	}
	if !verify(new(big.Int).SetBytes(digest)) {
		t.Error("the signature is none")
	}
	if verify(big.NewInt(1)) {
		t.Error("the test takes anything")
	}
	check := func(digest []byte) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Sized(digest)
			scheme.Marshal(w)
			w.Sized(sig[0].Bytes())
			w.Sized(sig[1].Bytes())
		}
	}
	x.want(tcg.TPMRCSuccess, tcg.TPMCCVerifySignature, handles(h), check(digest))
	digest[0] ^= 1
	x.want(tcg.TPMRCSignature.P(2), tcg.TPMCCVerifySignature, handles(h), check(digest))
}

// Two TPMs exchange a key by SM2: TPM2_ZGen_2Phase gives both the point that
// GB/T 32918.3, 6.1, computes.
func TestSM2Exchange(t *testing.T) {
	t.Parallel()
	type side struct {
		x       rawTPM
		key     tcg.TPMHandle
		qs, qe  tcg.TPMSECCPoint
		counter uint16

		ephemeral []byte // secret of qe
	}
	var sides [2]side
	for i := range sides {
		s := &sides[i]
		s.x, _ = profiled(t, "base = sm")
		var public tcg.TPMTPublic
		s.key, public = s.x.sm2Key(tcg.TPMAObjectDecrypt)
		s.qs = public.UniqueECC
		var err error
		if s.ephemeral, err = commitSecret(s.x.d, tpmcrypto.CurveByID(tcg.TPMECCSM2P256), engine.ContextHash, nil, s.x.d.Reset.CommitCounter); err != nil {
			t.Fatal(err)
		}
		r := s.x.want(tcg.TPMRCSuccess, tcg.TPMCCECEphemeral, nil, func(w *tcg.Writer) { w.Uint16(uint16(tcg.TPMECCSM2P256)) })
		s.qe.Unmarshal2B(&r)
		s.qe = tcg.TPMSECCPoint{X: bytes.Clone(s.qe.X), Y: bytes.Clone(s.qe.Y)}
		s.counter = r.Uint16()
	}
	var z [2][]*big.Int
	for i := range sides {
		me, other := &sides[i], &sides[1-i]
		r := me.x.want(tcg.TPMRCSuccess, tcg.TPMCCZGen2Phase, handles(me.key), func(w *tcg.Writer) {
			other.qs.Marshal2B(w)
			other.qe.Marshal2B(w)
			w.Uint16(uint16(tcg.TPMAlgSM2))
			w.Uint16(me.counter)
		})
		var p tcg.TPMSECCPoint
		p.Unmarshal2B(&r)
		z[i] = bigs(p.X, p.Y)
	}
	if z[0][0].Cmp(z[1][0]) != 0 || z[0][1].Cmp(z[1][1]) != 0 || z[0][0].Sign() == 0 {
		t.Fatalf("the sides differ: %x %x", z[0], z[1])
	}
	// From the secrets of the first side: t = d + x1*r, U = [t](P + [x2]R),
	// with x = 2^127 + (x mod 2^127).
	a, b := &sides[0], &sides[1]
	c := a.x.curve(tcg.TPMECCSM2P256)
	cut := func(x []byte) *big.Int {
		w := new(big.Int).Lsh(big.NewInt(1), 127)
		return new(big.Int).Add(w, new(big.Int).Mod(new(big.Int).SetBytes(x), w))
	}
	d := new(big.Int).SetBytes(a.x.d.Object(a.key).Sensitive.Sensitive)
	if q := c.mul(d, c.generator()); q[0].Cmp(new(big.Int).SetBytes(a.qs.X)) != 0 {
		t.Fatal("not the private key")
	}
	v := c.add(bigs(b.qs.X, b.qs.Y), c.mul(cut(b.qe.X), bigs(b.qe.X, b.qe.Y)))
	e := new(big.Int).Mul(cut(a.qe.X), new(big.Int).SetBytes(a.ephemeral))
	want := c.mul(e.Add(e, d).Mod(e, c.n), v)
	if z[0][0].Cmp(want[0]) != 0 || z[0][1].Cmp(want[1]) != 0 {
		t.Error("not the point of the standard")
	}
}
