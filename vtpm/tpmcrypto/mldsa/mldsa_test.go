package mldsa

import (
	"bytes"
	"crypto"
	"math/rand/v2"
	"os"
	"testing"

	oracle "filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
	"github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"
)

// A set is a parameter set here and in the two libraries that it is compared
// with.
type set struct {
	name   string
	p      *Params
	oracle oracle.Parameters
	circl  sign.Scheme
}

func sets() []set {
	return []set{
		{"ML-DSA-44", MLDSA44(), oracle.MLDSA44(), mldsa44.Scheme()},
		{"ML-DSA-65", MLDSA65(), oracle.MLDSA65(), mldsa65.Scheme()},
		{"ML-DSA-87", MLDSA87(), oracle.MLDSA87(), mldsa87.Scheme()},
	}
}

func forSets(t *testing.T, f func(t *testing.T, s set)) {
	t.Parallel()
	for _, s := range sets() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			f(t, s)
		})
	}
}

// numbers returns n bytes that a counter determines.
func numbers(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// mu is the representative of a message as FIPS 204, Algorithm 2 has it.
func mu(k *PublicKey, ctx, message []byte) []byte {
	return shake(MuSize, k.Tr(), []byte{0, byte(len(ctx))}, ctx, message)
}

// rounds is how many random exchanges a test has.
func rounds(quick, long int) int {
	if testing.Short() {
		return quick
	}
	return long
}

// exchanges is how many random exchanges a test has with each library: with STUBTPM_LONG
// 10,000, which take minutes.
func exchanges(t *testing.T, quick, long int) int {
	t.Helper()
	n := rounds(quick, long)
	if os.Getenv("STUBTPM_LONG") != "" {
		n = 10_000
	}
	t.Logf("%d exchanges of each parameter set (with STUBTPM_LONG=1, as in make soak: 10,000)", n)
	return n
}

// TestAgainstLibraries exchanges keys and signatures with two other
// implementations, both ways.
func TestAgainstLibraries(t *testing.T) {
	forSets(t, func(t *testing.T, s set) {
		r := rand.New(rand.NewPCG(1, uint64(s.p.k)))
		for range exchanges(t, 20, 200) {
			seed, message, ctx := numbers(r, SeedSize), numbers(r, r.IntN(300)), numbers(r, r.IntN(256))
			k, err := NewPrivate(s.p, seed)
			if err != nil {
				t.Fatal(err)
			}
			other, err := oracle.NewPrivateKey(s.oracle, seed)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(k.Public().Bytes(), other.PublicKey().Bytes()) {
				t.Fatalf("seed %x: another public key", seed)
			}
			third, _ := s.circl.DeriveKey(seed)
			if b, err := third.MarshalBinary(); err != nil || !bytes.Equal(b, k.Public().Bytes()) {
				t.Fatalf("seed %x: another public key than circl's: %v", seed, err)
			}
			sig, err := k.SignMu(mu(k.Public(), ctx, message), make([]byte, RndSize))
			if err != nil {
				t.Fatal(err)
			}
			want, err := other.SignDeterministic(message, &oracle.Options{Context: string(ctx)})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(sig, want) {
				t.Fatalf("seed %x, message %x, context %x: another deterministic signature", seed, message, ctx)
			}
			if !s.circl.Verify(third, message, sig, &sign.SignatureOpts{Context: string(ctx)}) {
				t.Fatal("circl refuses the signature")
			}
			hedged, err := k.SignMu(mu(k.Public(), ctx, message), numbers(r, RndSize))
			if err != nil {
				t.Fatal(err)
			}
			if err := oracle.Verify(other.PublicKey(), message, hedged, &oracle.Options{Context: string(ctx)}); err != nil {
				t.Fatalf("the oracle refuses a hedged signature: %v", err)
			}
			theirs, err := other.Sign(nil, message, &oracle.Options{Context: string(ctx)})
			if err != nil {
				t.Fatal(err)
			}
			pub, err := NewPublic(s.p, k.Public().Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if !pub.VerifyMu(mu(pub, ctx, message), theirs) {
				t.Fatal("a hedged signature of the oracle is refused")
			}
			theirs[r.IntN(len(theirs))] ^= 1 << r.IntN(8)
			if pub.VerifyMu(mu(pub, ctx, message), theirs) {
				t.Fatal("a changed signature is accepted")
			}
		}
	})
}

// TestExternalMu signs the same mu as the oracle's external one.
func TestExternalMu(t *testing.T) {
	forSets(t, func(t *testing.T, s set) {
		r := rand.New(rand.NewPCG(2, uint64(s.p.k)))
		seed, m := numbers(r, SeedSize), numbers(r, MuSize)
		k, err := NewPrivate(s.p, seed)
		if err != nil {
			t.Fatal(err)
		}
		other, err := oracle.NewPrivateKey(s.oracle, seed)
		if err != nil {
			t.Fatal(err)
		}
		want, err := other.SignDeterministic(m, crypto.Hash(mldsacrypto.MLDSAMu))
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.SignMu(m, make([]byte, RndSize))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("another signature over an external mu: %v", err)
		}
		if !k.Public().VerifyMu(m, got) {
			t.Error("it does not verify")
		}
	})
}

// TestRejected signs with so few attempts that some have to fail, and sees that
// nothing is returned then.
func TestRejected(t *testing.T) {
	forSets(t, func(t *testing.T, s set) {
		r := rand.New(rand.NewPCG(3, uint64(s.p.k)))
		k, err := NewPrivate(s.p, numbers(r, SeedSize))
		if err != nil {
			t.Fatal(err)
		}
		var good, rejected int
		for good == 0 || rejected == 0 {
			m := numbers(r, MuSize)
			switch sig, err := k.signMu(m, numbers(r, RndSize), 1); {
			case err == nil && k.Public().VerifyMu(m, sig):
				good++
			case err == ErrRejected && sig == nil:
				rejected++
			default:
				t.Fatalf("%d bytes, %v", len(sig), err)
			}
		}
	})
}

// TestSizes refuses what is not of its length, and the sizes are the standard's.
func TestSizes(t *testing.T) {
	t.Parallel()
	for i, s := range sets() {
		if got, want := s.p.PublicSize(), [...]int{1312, 1952, 2592}[i]; got != want {
			t.Errorf("%s: public key of %d bytes, want %d", s.name, got, want)
		}
		if got, want := s.p.SignatureSize(), [...]int{2420, 3309, 4627}[i]; got != want {
			t.Errorf("%s: signature of %d bytes, want %d", s.name, got, want)
		}
		if _, err := NewPrivate(s.p, make([]byte, SeedSize-1)); err != ErrSize {
			t.Errorf("short seed: %v", err)
		}
		if _, err := NewPublic(s.p, make([]byte, s.p.PublicSize()+1)); err != ErrSize {
			t.Errorf("long public key: %v", err)
		}
		k, err := NewPrivate(s.p, make([]byte, SeedSize))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.SignMu(make([]byte, MuSize-1), make([]byte, RndSize)); err != ErrSize {
			t.Errorf("short mu: %v", err)
		}
		if _, err := k.SignMu(make([]byte, MuSize), nil); err != ErrSize {
			t.Errorf("no rnd: %v", err)
		}
		if k.Public().VerifyMu(make([]byte, MuSize), make([]byte, s.p.SignatureSize()-1)) {
			t.Error("a short signature is accepted")
		}
		k.Zero()
		for _, b := range k.key {
			if b != 0 {
				t.Fatal("K is not wiped")
			}
		}
		for _, v := range [][]poly{k.s1, k.s2, k.t0} {
			for i := range v {
				if v[i] != (poly{}) {
					t.Fatal("a secret polynomial is not wiped")
				}
			}
		}
	}
}

// TestHint refuses hints that are no encoding: one signature would have several.
func TestHint(t *testing.T) {
	t.Parallel()
	p := MLDSA44()
	good := make([]byte, p.omega+p.k)
	copy(good, []byte{3, 9, 200, 7})
	copy(good[p.omega:], []byte{3, 3, 4, 4})
	for _, c := range []struct {
		what   string
		change func(y []byte)
	}{
		{"", func([]byte) {}},
		{"an index twice", func(y []byte) { y[1] = 3 }},
		{"falling indices", func(y []byte) { y[1] = 2 }},
		{"a byte behind the last index", func(y []byte) { y[p.omega-1] = 1 }},
		{"a falling count", func(y []byte) { y[p.omega+1] = 2 }},
		{"a count above omega", func(y []byte) { y[p.omega+3] = byte(p.omega + 1) }},
	} {
		y := bytes.Clone(good)
		c.change(y)
		if got := p.unpackHint(make([]poly, p.k), y); got != (c.what == "") {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// TestNorm makes signatures that hold but for the bound on z, which keeps
// forgeries away: verification refuses them.
func TestNorm(t *testing.T) {
	forSets(t, func(t *testing.T, s set) {
		r := rand.New(rand.NewPCG(5, uint64(s.p.k)))
		k, err := NewPrivate(s.p, numbers(r, SeedSize))
		if err != nil {
			t.Fatal(err)
		}
		loose := *s.p
		loose.eta = 0 // and so beta
		k.pub.p = &loose
		strict := k.pub
		strict.p = s.p
		for range 10000 {
			m := numbers(r, MuSize)
			sig, err := k.SignMu(m, numbers(r, RndSize))
			if err != nil {
				t.Fatal(err)
			}
			if !k.pub.VerifyMu(m, sig) {
				continue
			}
			var z poly
			over := uint32(0)
			for i := range s.p.l {
				s.p.unpackZ(&z, sig[s.p.challenge+i*s.p.zSize():])
				over |= z.exceeds(s.p.gamma1() - s.p.beta())
			}
			if over == 0 {
				continue
			}
			if strict.VerifyMu(m, sig) {
				t.Error("a z beyond the bound is accepted")
			}
			return
		}
		t.Error("no signature to try")
	})
}

// TestRounding goes through every number modulo q: the divisions by
// multiplication agree with those of FIPS 204.
func TestRounding(t *testing.T) {
	t.Parallel()
	step := uint32(rounds(17, 1)) // coprime to the period of the roundings
	for _, s := range sets()[:2] {
		two := 2 * s.p.gamma2
		for a := uint32(0); a < q; a += step {
			r0 := int64(a % two)
			if r0 > int64(s.p.gamma2) {
				r0 -= int64(two)
			}
			r1 := (int64(a) - r0) / int64(two)
			if int64(a)-r0 == q-1 {
				r1, r0 = 0, r0-1
			}
			if got1, got0 := s.p.decompose(a); int64(got1) != r1 || int64(got0) != (r0+q)%q {
				t.Fatalf("decompose(%d) = %d, %d, want %d, %d", a, got1, got0, r1, r0)
			}
		}
	}
	for a := uint32(0); a < q; a += step {
		r0 := int64(a % (1 << d))
		if r0 > 1<<(d-1) {
			r0 -= 1 << d
		}
		if a1, a0 := power2Round(a); int64(a1) != (int64(a)-r0)>>d || int64(a0) != (r0+q)%q {
			t.Fatalf("power2Round(%d) = %d, %d", a, a1, a0)
		}
		if got, want := abs(a), min(a, q-a); got != want {
			t.Fatalf("abs(%d) = %d", a, got)
		}
	}
}

// TestNTT multiplies as the definition of the ring does.
func TestNTT(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 0))
	var a, b, c, want poly
	for i := range a {
		a[i], b[i] = r.Uint32N(q), r.Uint32N(q)
	}
	for i := range a {
		for j := range b {
			p := uint32(uint64(a[i]) * uint64(b[j]) % q)
			if i+j < n {
				want[i+j] = add(want[i+j], p)
			} else {
				want[i+j-n] = sub(want[i+j-n], p)
			}
		}
	}
	a.ntt()
	b.ntt()
	c.mul(&a, &b)
	c.invNTT()
	if c != want {
		t.Error("another product")
	}
}

// FuzzVerify gives keys, mu and signatures of a guest's making.
func FuzzVerify(f *testing.F) {
	for i, s := range sets() {
		k, err := NewPrivate(s.p, make([]byte, SeedSize))
		if err != nil {
			f.Fatal(err)
		}
		sig, err := k.SignMu(make([]byte, MuSize), make([]byte, RndSize))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), k.Public().Bytes(), make([]byte, MuSize), sig)
	}
	f.Fuzz(func(t *testing.T, set byte, pub, m, sig []byte) {
		s := sets()[set%3]
		k, err := NewPublic(s.p, pub)
		if (err == nil) != (len(pub) == s.p.PublicSize()) {
			t.Fatalf("%d bytes: %v", len(pub), err)
		}
		if err != nil || !k.VerifyMu(m, sig) {
			return
		}
		// A signature has one encoding: the hint read and written is the same.
		h := make([]poly, s.p.k)
		y := sig[len(sig)-s.p.omega-s.p.k:]
		if !s.p.unpackHint(h, y) || !bytes.Equal(s.p.packHint(nil, h), y) {
			t.Error("a second encoding is accepted")
		}
	})
}
