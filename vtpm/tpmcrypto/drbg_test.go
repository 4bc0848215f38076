package tpmcrypto

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"stubtpm/vtpm/tcg"
)

// NIST CAVP drbgvectors_no_reseed, HMAC_DRBG, SHA-256, no additional input, no
// personalisation string, COUNT = 0: the second of two requests of 128 octets.
func TestDRBGVector(t *testing.T) {
	t.Parallel()
	d := NewDRBG(tcg.TPMAlgSHA256,
		unhex(t, "ca851911349384bffe89de1cbdc46e6831e44d34a4fb935ee285dd14b71a7488"),
		unhex(t, "659ba96c601dc69fc902940805ec0ca8"))
	out := make([]byte, 128)
	for range 2 {
		if err := d.Generate(out); err != nil {
			t.Fatal(err)
		}
	}
	want := unhex(t, "e528e9abf2dece54d47c7e75e5fe302149f817ea9fb4bee6f4199697d04d5b89"+
		"d54fbb978a15b5c443c9ec21036d2460b6f73ebad0dc2aba6e624abf07745bc1"+
		"07694bb7547bb0995f70de25d6b29e2d3011bb19d27676c07162c8b5ccde0668"+
		"961df86803482cb37ed6d5c0bb8d50cf1f50d476aa0458bdaba806f48be9dcb8")
	if !bytes.Equal(out, want) {
		t.Errorf("got %x", out)
	}
}

// The nonces of RFC 6979, A.2.5 (P-256, "sample") are the first output of
// HMAC_DRBG seeded with key and digest.
func TestDRBGRFC6979(t *testing.T) {
	t.Parallel()
	key := unhex(t, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
	for _, v := range []struct {
		alg tcg.TPMAlgID
		k   string
	}{
		{tcg.TPMAlgSHA256, "a6e3c57dd01abe90086538398355dd4c3b17aa873382b0f24d6129493d8aad60"},
		{tcg.TPMAlgSHA384, "09f634b188cefd98e7ec88b1aa9852d734d0bc272f7d2a47decc6ebeb375aad4"},
		{tcg.TPMAlgSHA512, "5fa81c63109badb88c1f367b47da606da28cad69aa22c4fe6ad7df73a7173aa5"},
	} {
		c := CurveByID(tcg.TPMECCNistP256)
		h := c.hashToScalar(Sum(nil, v.alg, []byte("sample"))).Bytes(c.order)
		d := NewDRBG(v.alg, key, h)
		out := make([]byte, 32)
		d.Read(out)
		if !bytes.Equal(out, unhex(t, v.k)) {
			t.Errorf("%#x: k = %x", v.alg, out)
		}
	}
}

func TestDRBGBehaviour(t *testing.T) {
	t.Parallel()
	a, b := NewDRBG(tcg.TPMAlgSHA512, []byte("see"), []byte("d")), NewDRBG(tcg.TPMAlgSHA512, []byte("seed"))
	x, y := make([]byte, 70000), make([]byte, 70000)
	io.ReadFull(a, x)
	io.ReadFull(b, y)
	if !bytes.Equal(x, y) || bytes.Contains(x, make([]byte, 16)) {
		t.Error("the same seed does not give the same octets")
	}
	a.Reseed([]byte("more"))
	io.ReadFull(a, x)
	io.ReadFull(b, y)
	if bytes.Equal(x, y) {
		t.Error("Reseed changes nothing")
	}
	if err := a.Generate(make([]byte, maxDRBGRequest+1)); err != ErrSize {
		t.Error(err)
	}
	a.Generate(x[:32])
	b = NewDRBG(tcg.TPMAlgSHA512, []byte("seed"))
	c := NewDRBG(tcg.TPMAlgSHA512, []byte("seed"))
	b.Generate(x[:32], []byte("additional"))
	c.Generate(y[:32])
	if bytes.Equal(x[:32], y[:32]) {
		t.Error("additional input changes nothing")
	}
	b.counter = maxDRBGReseed + 1
	if _, err := b.Read(x); err == nil {
		t.Error("no reseed demanded")
	}
	if NewDRBG(tcg.TPMAlgNull) != nil {
		t.Error("unknown hash accepted")
	}
	b.Zero()
	if !bytes.Equal(b.k[:], make([]byte, MaxDigest)) {
		t.Error("state still there")
	}
}

// Each input of a derivation counts, and none runs into its neighbour.
func TestPrimaryDRBGInputs(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, v := range []struct{ seed, label, template, data string }{
		{"seed", "Primary", "template", "data"}, {"seeD", "Primary", "template", "data"},
		{"seed", "primary", "template", "data"}, {"seed", "Primary", "Template", "data"},
		{"seed", "Primary", "template", "Data"}, {"seed", "Primary", "templated", "ata"},
		{"seed", "Primary", "template", ""}, {"seed", "Primary", "", "templatedata"},
		{"seed", "Primar", "ytemplate", "data"},
	} {
		b := make([]byte, 32)
		NewPrimaryDRBG([]byte(v.seed), v.label, []byte(v.template), []byte(v.data)).Read(b)
		if other, dup := seen[string(b)]; dup {
			t.Errorf("%v and %v give the same octets", v, other)
		}
		seen[string(b)] = v.label + v.template
	}
}

func TestRNG(t *testing.T) {
	t.Parallel()
	r := NewRNG(rand.Reader)
	seen := map[string]bool{}
	for range 1000 {
		b := make([]byte, 16)
		if n, err := r.Read(b); n != 16 || err != nil || seen[string(b)] {
			t.Fatal("repeated or failed")
		}
		seen[string(b)] = true
	}
	if _, err := io.ReadFull(r, make([]byte, 3*maxDRBGRequest)); err != nil {
		t.Error(err)
	}
	if err := r.Stir([]byte("stirred")); err != nil {
		t.Error(err)
	}
	boom := errors.New("no entropy")
	if err := NewRNG(iotest.ErrReader(boom)).Stir(nil); err != boom {
		t.Error(err)
	}
	r.entropy = iotest.ErrReader(boom)
	if _, err := r.Read(make([]byte, 1)); err != boom {
		t.Errorf("goes on without entropy: %v", err)
	}
	// Stirring in the same data leaves two generators different.
	a, b := NewRNG(rand.Reader), NewRNG(rand.Reader)
	x, y := make([]byte, 32), make([]byte, 32)
	a.Stir([]byte("same"))
	b.Stir([]byte("same"))
	a.Read(x)
	b.Read(y)
	if bytes.Equal(x, y) {
		t.Error("equal output")
	}
}

// A copy of a generator's memory does not repeat what the original gives out,
// not even in the first request.
func TestRNGCopyDiffers(t *testing.T) {
	t.Parallel()
	a := NewRNG(rand.Reader)
	if err := a.Stir([]byte("stirred")); err != nil {
		t.Fatal(err)
	}
	state := *a.d
	b := &RNG{d: &state, entropy: a.entropy}
	x, y := make([]byte, 32), make([]byte, 32)
	a.Read(x)
	b.Read(y)
	if bytes.Equal(x, y) {
		t.Errorf("both give %x", x)
	}
}

func BenchmarkRNG32(b *testing.B) {
	r := NewRNG(rand.Reader)
	buf := make([]byte, 32)
	for b.Loop() {
		r.Read(buf)
	}
}

func BenchmarkPrimaryDRBG(b *testing.B) {
	seed, buf := make([]byte, 64), make([]byte, 40)
	for b.Loop() {
		NewPrimaryDRBG(seed, "Primary Object Creation", seed[:34], nil).Read(buf)
	}
}
