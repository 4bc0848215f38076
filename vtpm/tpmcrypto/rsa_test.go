package tpmcrypto

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"math/big"
	"sync"
	"testing"

	"stubtpm/vtpm/tcg"
)

// testRSA are keys shared by tests that do not care which; made once, since
// making them takes most of a test's time.
var testRSA = func() func(testing.TB, int) *RSAPrivate {
	var mu sync.Mutex
	keys := map[int]*RSAPrivate{}
	return func(t testing.TB, nbits int) *RSAPrivate {
		mu.Lock()
		defer mu.Unlock()
		if keys[nbits] == nil {
			k, err := NewRSAKey(rand.Reader, nbits, 0)
			if err != nil {
				t.Fatal(err)
			}
			keys[nbits] = k
		}
		return keys[nbits]
	}
}()

// Everything that this package signs or encrypts, crypto/rsa takes, with a key
// that it checked by itself, and the other way round.
func TestRSAAgainstStandard(t *testing.T) {
	t.Parallel()
	sizes := []int{1024, 2048}
	if !testing.Short() {
		sizes = append(sizes, 3072)
	}
	for _, nbits := range sizes {
		k := testRSA(t, nbits)
		n, p := new(big.Int).SetBytes(k.Modulus()), new(big.Int).SetBytes(k.P())
		q := new(big.Int).Div(n, p)
		e := big.NewInt(65537)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, big.NewInt(1)), new(big.Int).Sub(q, big.NewInt(1)))
		std := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537},
			D: new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q}}
		if err := std.Validate(); err != nil {
			t.Fatalf("%d: %v", nbits, err)
		}
		if n.BitLen() != nbits || !p.ProbablyPrime(20) || !q.ProbablyPrime(20) {
			t.Fatalf("%d: bad key", nbits)
		}
		if err := k.prepare(); err != nil || k.std.D.Cmp(std.D) != 0 {
			t.Fatalf("%d: private exponent differs (%v)", nbits, err)
		}
		for _, alg := range Hashes() {
			digest := Sum(nil, alg, []byte("message"))
			h := cryptoHash(alg)
			if h == 0 { // SM3: TestRSASM3
				continue
			}
			s, err := k.SignPKCS1v15(alg, digest)
			if err != nil {
				t.Fatalf("%d %#x: %v", nbits, alg, err)
			}
			if err := rsa.VerifyPKCS1v15(&std.PublicKey, h, digest, s); err != nil {
				t.Errorf("%d %#x: RSASSA refused: %v", nbits, alg, err)
			}
			if err := k.VerifyPKCS1v15(alg, digest, s); err != nil {
				t.Error(err)
			}
			if s, err = k.SignPSS(rand.Reader, alg, digest); err != nil {
				t.Fatalf("%d %#x: %v", nbits, alg, err)
			}
			opts := &rsa.PSSOptions{SaltLength: min(h.Size(), nbits/8-h.Size()-2)}
			if err := rsa.VerifyPSS(&std.PublicKey, h, digest, s, opts); err != nil {
				t.Errorf("%d %#x: RSAPSS refused: %v", nbits, alg, err)
			}
			if err := k.VerifyPSS(alg, digest, s); err != nil {
				t.Error(err)
			}
			s[5] ^= 1
			if k.VerifyPSS(alg, digest, s) != ErrSignature || k.VerifyPKCS1v15(alg, digest, s) != ErrSignature {
				t.Error("bad signature accepted")
			}
			if nbits/8 < 2*h.Size()+2+5 {
				continue
			}
			c, err := k.EncryptOAEP(rand.Reader, alg, []byte("DUPLICATE\x00"), []byte("hello"))
			if err != nil {
				t.Fatal(err)
			}
			if m, err := rsa.DecryptOAEP(h.New(), nil, std, c, []byte("DUPLICATE\x00")); err != nil || string(m) != "hello" {
				t.Errorf("%d %#x: crypto/rsa decrypts %q, %v", nbits, alg, m, err)
			}
			if m, err := k.DecryptOAEP(alg, []byte("DUPLICATE\x00"), c); err != nil || string(m) != "hello" {
				t.Errorf("%d %#x: OAEP: %q, %v", nbits, alg, m, err)
			}
			if _, err := k.DecryptOAEP(alg, []byte("DUPLICATE"), c); err != ErrValue {
				t.Errorf("%d %#x: OAEP with another label: %v", nbits, alg, err)
			}
		}
		c, err := k.EncryptPKCS1v15(rand.Reader, []byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := k.DecryptPKCS1v15(c); err != nil || string(m) != "hello" {
			t.Errorf("%d: RSAES: %q, %v", nbits, m, err)
		}
		msg := sha256.Sum256([]byte("raw"))
		want := new(big.Int).Exp(new(big.Int).SetBytes(msg[:]), std.D, n)
		if got, err := k.Raw(msg[:]); err != nil || !bytes.Equal(got, want.FillBytes(make([]byte, nbits/8))) {
			t.Errorf("%d: raw private operation: %v", nbits, err)
		} else if back, err := k.Public().Raw(got); err != nil || !bytes.Equal(bytes.TrimLeft(back, "\x00"), bytes.TrimLeft(msg[:], "\x00")) {
			t.Errorf("%d: raw public operation: %v", nbits, err)
		}
		for _, v := range []int64{0, 1} {
			b := big.NewInt(v).FillBytes(make([]byte, nbits/8))
			if got, err := k.Raw(b); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d: %d to the d: %x, %v", nbits, v, got, err)
			}
		}
		if _, err := k.Raw(k.Modulus()); err != ErrValue {
			t.Errorf("%d: message equal to the modulus: %v", nbits, err)
		}
		if _, err := k.Raw(append([]byte{1}, k.Modulus()...)); err != ErrSize {
			t.Errorf("%d: long message: %v", nbits, err)
		}
	}
}

// Both factors, in either order, with leading zeros or not, load; anything
// else does not.
func TestRSALoad(t *testing.T) {
	t.Parallel()
	k := testRSA(t, 2048)
	n := k.Modulus()
	q := new(big.Int).Div(new(big.Int).SetBytes(n), new(big.Int).SetBytes(k.P())).Bytes()
	for _, p := range [][]byte{k.P(), q, append([]byte{0, 0}, q...)} {
		l, err := NewRSAPrivate(n, 0, p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.SignPKCS1v15(tcg.TPMAlgSHA256, make([]byte, 32)); err != nil {
			t.Fatal(err)
		}
	}
	bad := k.P()
	bad[len(bad)-1] ^= 2
	even := k.P()
	even[len(even)-1] &^= 1
	other, err := newPrime(rand.Reader, 1024, 65537)
	if err != nil {
		t.Fatal(err)
	}
	small := append(make([]byte, 127), 3)
	for _, p := range [][]byte{nil, {}, bad, even, other, n, small, bytes.Repeat([]byte{0xff}, 128)} {
		if _, err := NewRSAPrivate(n, 0, p); err != ErrBinding {
			t.Errorf("prime %x: %v", p, err)
		}
	}
	for _, c := range []struct {
		n   []byte
		e   uint32
		err error
	}{
		{n[:255], 0, ErrSize}, {nil, 0, ErrSize}, {make([]byte, 256), 0, ErrSize}, {n[:64], 0, ErrSize},
		{append(append([]byte(nil), n[:255]...), 2), 0, ErrValue},
		{n, 3, ErrValue}, {n, 65536, ErrValue}, {n, 65539, nil}, {n, 65541, ErrValue}, {n, 1<<32 - 5, ErrValue},
	} {
		if _, err := NewRSAPublic(c.n, c.e); err != c.err {
			t.Errorf("modulus of %d octets, e = %d: %v, want %v", len(c.n), c.e, err, c.err)
		}
	}
}

// A product of factors that are not prime loads, as the specification has it,
// and must then fail in an orderly way: never a wrong result.
func TestRSANotPrime(t *testing.T) {
	t.Parallel()
	r := NewDRBG(tcg.TPMAlgSHA256, []byte("composite factors"))
	faults := 0
	for range 20 {
		p, q := make([]byte, 64), make([]byte, 64)
		r.Read(p)
		r.Read(q)
		p[0], q[0], p[63], q[63] = p[0]|0xc0, q[0]|0xc0, p[63]|1, q[63]|1
		n := new(big.Int).Mul(new(big.Int).SetBytes(p), new(big.Int).SetBytes(q)).Bytes()
		k, err := NewRSAPrivate(n, 0, p)
		if err != nil {
			t.Fatal(err)
		}
		m := bytes.Repeat([]byte{2}, 100)
		if c, err := k.Raw(m); err == nil {
			if back, err := k.Public().Raw(c); err != nil || !bytes.HasSuffix(back, m) {
				t.Error("wrong result left")
			}
		} else if errors.Is(err, ErrFault) || errors.Is(err, ErrBinding) {
			faults++
		} else {
			t.Error(err)
		}
	}
	if faults == 0 {
		t.Error("no composite was noticed")
	}
}

// A fault in one half of the computation must not leave (Boneh, DeMillo,
// Lipton).
func TestRSAFault(t *testing.T) {
	t.Parallel()
	k, err := NewRSAPrivate(testRSA(t, 1024).Modulus(), 0, testRSA(t, 1024).P())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Raw([]byte{2}); err != nil {
		t.Fatal(err)
	}
	k.crt.dq[10] ^= 1
	if s, err := k.Raw([]byte{2}); err != ErrFault || s != nil {
		t.Errorf("faulty half left: %x, %v", s, err)
	}
	if k, err = NewRSAPrivate(testRSA(t, 2048).Modulus(), 0, testRSA(t, 2048).P()); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Raw([]byte{2}); err != nil {
		t.Fatal(err)
	}
	if k.fast == nil {
		return // this processor has one implementation only
	}
	k.fast.dq[10] ^= 1
	if s, err := k.Raw([]byte{2}); err != ErrFault || s != nil {
		t.Errorf("faulty half left: %x, %v", s, err)
	}
}

// One factor that is a prime and one that is not: the second notices too.
func TestRSAHalfPrime(t *testing.T) {
	t.Parallel()
	p, err := newPrime(rand.Reader, 1024, 65537)
	if err != nil {
		t.Fatal(err)
	}
	q := bytes.Repeat([]byte{0xd7}, 128) // a multiple of 0xd7, and no multiple less 1 of 65537
	n := new(big.Int).Mul(new(big.Int).SetBytes(p), new(big.Int).SetBytes(q)).Bytes()
	for _, f := range [][]byte{p, q} {
		k, err := NewRSAPrivate(n, 0, f)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := k.Raw([]byte{2}); err != ErrBinding {
			t.Errorf("%x, %v", s, err)
		}
	}
}

func TestRSAZero(t *testing.T) {
	t.Parallel()
	k, err := NewRSAPrivate(testRSA(t, 1024).Modulus(), 0, testRSA(t, 1024).P())
	if err != nil {
		t.Fatal(err)
	}
	k.Raw([]byte{2})
	k.Zero()
	if _, err := k.Raw([]byte{2}); err == nil {
		t.Error("a zeroed key works")
	}
	if !bytes.Equal(k.p, make([]byte, 64)) {
		t.Error("prime still there")
	}
	if k, err = NewRSAPrivate(testRSA(t, 2048).Modulus(), 0, testRSA(t, 2048).P()); err != nil {
		t.Fatal(err)
	}
	k.Raw([]byte{2})
	fast := k.fast
	k.Zero()
	if _, err := k.Raw([]byte{2}); err == nil || fast != nil && !bytes.Equal(fast.dp, make([]byte, 128)) {
		t.Error("a zeroed key of 2048 bits works")
	}
}

func TestRSAExponents(t *testing.T) {
	t.Parallel()
	for _, e := range []uint32{65539, 1<<31 - 1} {
		k, err := NewRSAKey(rand.Reader, 1024, e)
		if err != nil {
			t.Fatal(err)
		}
		s, err := k.SignPKCS1v15(tcg.TPMAlgSHA256, make([]byte, 32))
		if err != nil || k.VerifyPKCS1v15(tcg.TPMAlgSHA256, make([]byte, 32), s) != nil {
			t.Errorf("e = %d: %v", e, err)
		}
		m, err := k.Raw([]byte("x"))
		if err != nil || k.Exponent() != e {
			t.Errorf("e = %d: %x %v", e, m, err)
		}
	}
	for _, e := range []uint32{3, 65538, 1<<32 - 1} {
		if _, err := NewRSAKey(rand.Reader, 1024, e); err != ErrValue {
			t.Errorf("e = %d: %v", e, err)
		}
	}
	if _, err := NewRSAKey(rand.Reader, 1536, 0); err != ErrSize {
		t.Error("size 1536 accepted")
	}
}

func FuzzNewRSAPrivate(f *testing.F) {
	k := testRSA(f, 1024)
	f.Add(k.Modulus(), uint32(0), k.P())
	f.Add([]byte{}, uint32(3), []byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 128), uint32(65537), bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, n []byte, e uint32, p []byte) {
		k, err := NewRSAPrivate(n, e, p)
		if err != nil {
			return
		}
		q := new(big.Int).Mul(new(big.Int).SetBytes(k.p), new(big.Int).SetBytes(k.q))
		if !bytes.Equal(q.Bytes(), n) {
			t.Error("factors do not make the modulus")
		}
		if s, err := k.Raw([]byte{5}); err == nil {
			if m, err := k.Public().Raw(s); err != nil || new(big.Int).SetBytes(m).Int64() != 5 {
				t.Error("wrong result left")
			}
		}
	})
}

func BenchmarkRSA2048(b *testing.B) {
	k := testRSA(b, 2048)
	d := make([]byte, 32)
	c, _ := k.EncryptOAEP(rand.Reader, tcg.TPMAlgSHA256, nil, d)
	b.Run("SignPKCS1v15", func(b *testing.B) {
		for b.Loop() {
			k.SignPKCS1v15(tcg.TPMAlgSHA256, d)
		}
	})
	b.Run("SignPSS", func(b *testing.B) {
		for b.Loop() {
			k.SignPSS(rand.Reader, tcg.TPMAlgSHA256, d)
		}
	})
	b.Run("Raw", func(b *testing.B) {
		for b.Loop() {
			k.Raw(d)
		}
	})
	b.Run("DecryptOAEP", func(b *testing.B) {
		for b.Loop() {
			k.DecryptOAEP(tcg.TPMAlgSHA256, nil, c)
		}
	})
	b.Run("EncryptOAEP", func(b *testing.B) {
		for b.Loop() {
			k.EncryptOAEP(rand.Reader, tcg.TPMAlgSHA256, nil, d)
		}
	})
	n, p := k.Modulus(), k.P()
	b.Run("Load", func(b *testing.B) {
		for b.Loop() {
			NewRSAPrivate(n, 0, p)
		}
	})
	b.Run("LoadAndRaw", func(b *testing.B) {
		for b.Loop() {
			k, _ := NewRSAPrivate(n, 0, p)
			k.Raw(d)
		}
	})
}
