package mlkem

import (
	"bytes"
	"crypto/mlkem"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/cloudflare/circl/kem"
	"github.com/cloudflare/circl/kem/mlkem/mlkem1024"
	"github.com/cloudflare/circl/kem/mlkem/mlkem512"
	"github.com/cloudflare/circl/kem/mlkem/mlkem768"
)

// A set is a parameter set here and in circl.
type set struct {
	name  string
	p     *Params
	circl kem.Scheme
}

func sets() []set {
	return []set{
		{"ML-KEM-512", MLKEM512(), mlkem512.Scheme()},
		{"ML-KEM-768", MLKEM768(), mlkem768.Scheme()},
		{"ML-KEM-1024", MLKEM1024(), mlkem1024.Scheme()},
	}
}

func numbers(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func rounds(quick, long int) int {
	if testing.Short() {
		return quick
	}
	return long
}

// standard returns the public key, and what the standard library decapsulates;
// nil for ML-KEM-512, which it lacks.
func standard(t *testing.T, p *Params, seed, c []byte) (pub, secret []byte) {
	t.Helper()
	var err error
	switch p.k {
	case 3:
		k, kerr := mlkem.NewDecapsulationKey768(seed)
		if kerr != nil {
			t.Fatal(kerr)
		}
		pub = k.EncapsulationKey().Bytes()
		secret, err = k.Decapsulate(c)
	case 4:
		k, kerr := mlkem.NewDecapsulationKey1024(seed)
		if kerr != nil {
			t.Fatal(kerr)
		}
		pub = k.EncapsulationKey().Bytes()
		secret, err = k.Decapsulate(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pub, secret
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

// TestAgainstLibraries exchanges secrets with circl's and the standard library's
// keys, and compares what a ciphertext that is none gives.
func TestAgainstLibraries(t *testing.T) {
	t.Parallel()
	n := exchanges(t, 30, 1000)
	for _, s := range sets() {
		r := rand.New(rand.NewPCG(1, uint64(s.p.k)))
		for range n {
			seed, m := numbers(r, SeedSize), numbers(r, RandomSize)
			k, err := NewPrivate(s.p, seed)
			if err != nil {
				t.Fatal(err)
			}
			cpub, cpriv := s.circl.DeriveKeyPair(seed)
			if b, err := cpub.MarshalBinary(); err != nil || !bytes.Equal(b, k.Public().Bytes()) {
				t.Fatalf("%s: seed %x: another public key: %v", s.name, seed, err)
			}
			pub, err := NewPublic(s.p, k.Public().Bytes())
			if err != nil {
				t.Fatal(err)
			}
			secret, c, err := pub.Encapsulate(m)
			if err != nil || len(secret) != SharedSize || len(c) != s.p.CiphertextSize() {
				t.Fatalf("%s: %d and %d bytes: %v", s.name, len(secret), len(c), err)
			}
			wantC, want, err := s.circl.EncapsulateDeterministically(cpub, m)
			if err != nil || !bytes.Equal(wantC, c) || !bytes.Equal(want, secret) {
				t.Fatalf("%s: seed %x, m %x: another encapsulation: %v", s.name, seed, m, err)
			}
			for range 2 {
				got, err := k.Decapsulate(c)
				if err != nil {
					t.Fatal(err)
				}
				want, err := s.circl.Decapsulate(cpriv, c)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s: seed %x, ciphertext %x: another secret than circl's", s.name, seed, c)
				}
				if spub, std := standard(t, s.p, seed, c); spub != nil && (!bytes.Equal(std, got) || !bytes.Equal(spub, pub.Bytes())) {
					t.Fatalf("%s: seed %x: not as the standard library", s.name, seed)
				}
				if bytes.Equal(got, secret) != bytes.Equal(c, wantC) {
					t.Fatalf("%s: a changed ciphertext gives the secret", s.name)
				}
				c[r.IntN(len(c))] ^= 1 << r.IntN(8)
			}
		}
	}
}

// TestSizes refuses what is not of its length or not reduced.
func TestSizes(t *testing.T) {
	t.Parallel()
	for i, s := range sets() {
		if got, want := s.p.PublicSize(), [...]int{800, 1184, 1568}[i]; got != want {
			t.Errorf("%s: public key of %d bytes", s.name, got)
		}
		if got, want := s.p.CiphertextSize(), [...]int{768, 1088, 1568}[i]; got != want {
			t.Errorf("%s: ciphertext of %d bytes", s.name, got)
		}
		if _, err := NewPrivate(s.p, make([]byte, SeedSize+1)); err != ErrKey {
			t.Errorf("long seed: %v", err)
		}
		k, err := NewPrivate(s.p, make([]byte, SeedSize))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Decapsulate(make([]byte, s.p.CiphertextSize()-1)); err != ErrKey {
			t.Errorf("short ciphertext: %v", err)
		}
		if _, _, err := k.Public().Encapsulate(nil); err != ErrKey {
			t.Errorf("no m: %v", err)
		}
		b := bytes.Clone(k.Public().Bytes())
		if _, err := NewPublic(s.p, b[1:]); err != ErrKey {
			t.Errorf("short public key: %v", err)
		}
		b[0], b[1] = 0x01, b[1]&0xF0|0x0D // q
		if _, err := NewPublic(s.p, b); err != ErrKey {
			t.Errorf("a coefficient of q: %v", err)
		}
		b[0] = 0 // q - 1
		if _, err := NewPublic(s.p, b); err != nil {
			t.Errorf("a coefficient of q-1: %v", err)
		}
		k.Zero()
		for i := range k.s {
			if k.s[i] != (poly{}) || k.z != [32]byte{} {
				t.Fatal("a secret is not wiped")
			}
		}
	}
}

// TestArithmetic goes through every number that a function without a division
// may meet.
func TestArithmetic(t *testing.T) {
	t.Parallel()
	for a := uint32(0); a < 1<<25; a++ {
		if reduce(a) != uint16(a%q) {
			t.Fatalf("reduce(%d) = %d", a, reduce(a))
		}
	}
	for _, bits := range []int{1, 4, 5, 10, 11} {
		for a := range uint32(q) {
			if got, want := compress(uint16(a), bits), uint16((a<<bits*2+q)/(2*q)&(1<<bits-1)); got != want {
				t.Fatalf("compress(%d, %d) = %d, want %d", a, bits, got, want)
			}
		}
		for a := range uint32(1) << bits {
			if got := compress(decompress(uint16(a), bits), bits); got != uint16(a) {
				t.Fatalf("%d bits: %d comes back as %d", bits, a, got)
			}
		}
	}
}

// FuzzEncapsulate gives public keys of a guest's making.
func FuzzEncapsulate(f *testing.F) {
	for i, s := range sets() {
		k, err := NewPrivate(s.p, make([]byte, SeedSize))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), k.Public().Bytes())
	}
	f.Fuzz(func(t *testing.T, set byte, b []byte) {
		s := sets()[set%3]
		k, err := NewPublic(s.p, b)
		_, want := s.circl.UnmarshalBinaryPublicKey(b)
		if (err == nil) != (want == nil) {
			t.Fatalf("%v, circl %v", err, want)
		}
		if err != nil {
			return
		}
		if _, c, err := k.Encapsulate(make([]byte, RandomSize)); err != nil || len(c) != s.p.CiphertextSize() {
			t.Fatalf("%d bytes: %v", len(c), err)
		}
	})
}

// FuzzDecapsulate gives ciphertexts of a guest's making.
func FuzzDecapsulate(f *testing.F) {
	for i, s := range sets() {
		f.Add(byte(i), make([]byte, s.p.CiphertextSize()))
	}
	seed := make([]byte, SeedSize)
	f.Fuzz(func(t *testing.T, set byte, c []byte) {
		s := sets()[set%3]
		k, err := NewPrivate(s.p, seed)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.Decapsulate(c)
		if (err == nil) != (len(c) == s.p.CiphertextSize()) {
			t.Fatal(err)
		}
		if want := ofCircl(s, seed, c); err == nil && !bytes.Equal(got, want) {
			t.Error("another secret than circl's")
		}
	})
}

// ofCircl is what circl decapsulates.
func ofCircl(s set, seed, c []byte) []byte {
	_, k := s.circl.DeriveKeyPair(seed)
	secret, err := s.circl.Decapsulate(k, c)
	if err != nil {
		return nil
	}
	return secret
}

// BenchmarkLibraries compares this package with crypto/mlkem and circl.
func BenchmarkLibraries(b *testing.B) {
	seed, m := make([]byte, SeedSize), make([]byte, RandomSize)
	std, err := mlkem.NewDecapsulationKey768(seed)
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range sets()[:2] {
		k, err := NewPrivate(s.p, seed)
		if err != nil {
			b.Fatal(err)
		}
		pub, priv := s.circl.DeriveKeyPair(seed)
		_, c, err := k.Public().Encapsulate(m)
		if err != nil {
			b.Fatal(err)
		}
		run := func(name string, f func()) {
			b.Run(s.name+"/"+name, func(b *testing.B) {
				for range b.N {
					f()
				}
			})
		}
		run("key/own", func() { _, _ = NewPrivate(s.p, seed) })
		run("key/circl", func() { s.circl.DeriveKeyPair(seed) })
		run("encapsulate/own", func() { _, _, _ = k.Public().Encapsulate(m) })
		run("encapsulate/circl", func() { _, _, _ = s.circl.EncapsulateDeterministically(pub, m) })
		run("decapsulate/own", func() { _, _ = k.Decapsulate(c) })
		run("decapsulate/circl", func() { _, _ = s.circl.Decapsulate(priv, c) })
		if s.p.k == 3 {
			run("key/standard", func() { _, _ = mlkem.NewDecapsulationKey768(seed) })
			run("encapsulate/standard", func() { std.EncapsulationKey().Encapsulate() })
			run("decapsulate/standard", func() { _, _ = std.Decapsulate(c) })
		}
	}
}
