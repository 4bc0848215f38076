package mont

import (
	"bytes"
	"crypto/rand"
	"math/big"
	"testing"
)

func needed(t testing.TB) {
	if !Available() {
		t.Skip("this processor lacks BMI2 or ADX")
	}
}

// hard returns numbers below m that are likely to carry: around 0, m and half
// of it, powers of two, words of ones, and random ones.
func hard(m *big.Int) (out []*big.Int) {
	one := big.NewInt(1)
	add := func(x *big.Int) {
		if x.Sign() >= 0 && x.Cmp(m) < 0 {
			out = append(out, x)
		}
	}
	for d := int64(-2); d <= 2; d++ {
		for _, x := range []*big.Int{new(big.Int), m, new(big.Int).Rsh(m, 1)} {
			add(new(big.Int).Add(x, big.NewInt(d)))
		}
		for n := uint(64); n <= 1024; n += 64 {
			add(new(big.Int).Add(new(big.Int).Lsh(one, n), big.NewInt(d)))
		}
	}
	for range 4 {
		x, _ := rand.Int(rand.Reader, m)
		add(x)
		mask := make([]byte, Size)
		rand.Read(mask)
		for i := range mask {
			mask[i] = -(mask[i] & 1)
		}
		add(new(big.Int).SetBytes(mask))
	}
	return out
}

// moduli returns random ones and those next to the ends of their range.
func moduli(t testing.TB) (out []*big.Int) {
	one := big.NewInt(1)
	top := new(big.Int).Lsh(one, 1024)
	half := new(big.Int).Lsh(one, 1023)
	for d := int64(1); d < 6; d += 2 {
		out = append(out, new(big.Int).Sub(top, big.NewInt(d)), new(big.Int).Add(half, big.NewInt(d)))
	}
	// Limbs of ones and of zeros.
	for i := uint(64); i < 1024; i += 64 {
		low := new(big.Int).Lsh(one, i)
		out = append(out, new(big.Int).Add(half, new(big.Int).Sub(low, one)), new(big.Int).Add(new(big.Int).Sub(top, low), one))
	}
	for range 8 {
		b := make([]byte, Size)
		rand.Read(b)
		b[0] |= 0x80
		b[Size-1] |= 1
		out = append(out, new(big.Int).SetBytes(b))
	}
	return out
}

func modulus(t testing.TB, m *big.Int) *Modulus {
	t.Helper()
	x, ok := NewModulus(m.FillBytes(make([]byte, Size)))
	if !ok {
		t.Fatalf("%x refused", m)
	}
	return x
}

func toBig(x *Nat) *big.Int {
	z := new(big.Int)
	for i := range x {
		z.Lsh(z, 64).Or(z, new(big.Int).SetUint64(x[limbs-1-i]))
	}
	return z
}

// TestAgainstBig compares each product and square with math/big.
func TestAgainstBig(t *testing.T) {
	needed(t)
	t.Parallel()
	r := new(big.Int).Lsh(big.NewInt(1), 1024)
	n := 0
	for _, m := range moduli(t) {
		mod := modulus(t, m)
		rInv := new(big.Int).ModInverse(r, m)
		if want := new(big.Int).Exp(r, big.NewInt(2), m); toBig(&mod.rr).Cmp(want) != 0 {
			t.Fatalf("%x: R*R = %x, want %x", m, toBig(&mod.rr), want)
		}
		values := hard(m)
		for i, x := range values {
			var a, z Nat
			read(&a, x.FillBytes(make([]byte, Size)))
			montSquare(&z, &a, &mod.m, mod.k)
			want := new(big.Int).Mul(x, x)
			want.Mul(want, rInv).Mod(want, m)
			if toBig(&z).Cmp(want) != 0 {
				t.Fatalf("%x^2 modulo %x = %x, want %x", x, m, toBig(&z), want)
			}
			for _, y := range values[i:] {
				var b Nat
				read(&b, y.FillBytes(make([]byte, Size)))
				montMul(&z, &a, &b, &mod.m, mod.k)
				want.Mul(x, y).Mul(want, rInv).Mod(want, m)
				if toBig(&z).Cmp(want) != 0 {
					t.Fatalf("%x*%x modulo %x = %x, want %x", x, y, m, toBig(&z), want)
				}
				n++
			}
			for bit := range uint64(2) {
				z = a
				montDouble(&z, &mod.m, bit)
				if want.Lsh(x, uint(bit)).Mod(want, m); toBig(&z).Cmp(want) != 0 {
					t.Fatalf("%x << %d modulo %x = %x", x, bit, m, toBig(&z))
				}
			}
		}
	}
	t.Logf("%d products", n)
}

func TestExp(t *testing.T) {
	needed(t)
	t.Parallel()
	for _, m := range moduli(t) {
		mod := modulus(t, m)
		e := make([]byte, Size)
		rand.Read(e)
		x, _ := rand.Int(rand.Reader, m)
		for _, e := range [][]byte{e, e[:5], make([]byte, 3), nil} {
			exp := new(big.Int).SetBytes(e)
			if got, want := mod.Bytes(mod.Exp2(e)), new(big.Int).Exp(big.NewInt(2), exp, m); new(big.Int).SetBytes(got).Cmp(want) != 0 {
				t.Fatalf("2^%x modulo %x = %x, want %x", e, m, got, want)
			}
			a, ok := mod.Nat(x.FillBytes(make([]byte, Size)))
			if !ok {
				t.Fatal("refused")
			}
			if got, want := mod.Bytes(mod.Exp(a, e)), new(big.Int).Exp(x, exp, m); new(big.Int).SetBytes(got).Cmp(want) != 0 {
				t.Fatalf("%x^%x modulo %x = %x, want %x", x, e, m, got, want)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	needed(t)
	t.Parallel()
	odd := bytes.Repeat([]byte{0xFF}, Size)
	even := append(bytes.Clone(odd[1:]), 0xFE)
	small := append([]byte{0x7F}, odd[1:]...)
	for _, b := range [][]byte{nil, odd[1:], append(odd, 1), even, small} {
		if _, ok := NewModulus(b); ok {
			t.Errorf("modulus %x", b)
		}
	}
	m, _ := NewModulus(odd)
	for _, b := range [][]byte{nil, odd[1:], odd} {
		if _, ok := m.Nat(b); ok {
			t.Errorf("number %x", b)
		}
	}
	one, ok := m.Nat(append(make([]byte, Size-1), 1))
	if !ok || !m.IsOne(one) || m.IsMinusOne(one) {
		t.Error("1")
	}
	minus, ok := m.Nat(even)
	if !ok || m.IsOne(minus) || !m.IsMinusOne(minus) {
		t.Error("-1")
	}
}

func FuzzExp(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0xFF}, Size), bytes.Repeat([]byte{0xFE}, Size), []byte{1, 0, 1})
	f.Fuzz(func(t *testing.T, m, x, e []byte) {
		needed(t)
		mod, ok := NewModulus(m)
		if !ok {
			return
		}
		a, ok := mod.Nat(x)
		if !ok {
			return
		}
		e = e[:min(len(e), Size)]
		want := new(big.Int).Exp(new(big.Int).SetBytes(x), new(big.Int).SetBytes(e), new(big.Int).SetBytes(m))
		if got := mod.Bytes(mod.Exp(a, e)); new(big.Int).SetBytes(got).Cmp(want) != 0 {
			t.Errorf("%x^%x modulo %x = %x, want %x", x, e, m, got, want)
		}
	})
}

func BenchmarkMont(b *testing.B) {
	needed(b)
	p, _ := rand.Prime(rand.Reader, 1024)
	m := modulus(b, p)
	x := m.rr
	e := make([]byte, Size)
	rand.Read(e)
	b.Run("Square", func(b *testing.B) {
		for b.Loop() {
			montSquare(&x, &x, &m.m, m.k)
		}
	})
	b.Run("Mul", func(b *testing.B) {
		for b.Loop() {
			montMul(&x, &x, &m.rr, &m.m, m.k)
		}
	})
	b.Run("double", func(b *testing.B) {
		for b.Loop() {
			montDouble(&x, &m.m, 1)
		}
	})
	b.Run("Exp2", func(b *testing.B) {
		for b.Loop() {
			m.Exp2(e)
		}
	})
	b.Run("Exp", func(b *testing.B) {
		for b.Loop() {
			m.Exp(&x, e)
		}
	})
}
