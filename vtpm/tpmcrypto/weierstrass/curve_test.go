package weierstrass

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"math/big"
	"testing"
)

func std(c elliptic.Curve) (*Curve, int) {
	p := c.Params()
	n := (p.BitSize + 7) / 8
	b := func(v *big.Int) []byte { return v.FillBytes(make([]byte, n)) }
	w, err := New(Params{b(p.P), b(new(big.Int).Sub(p.P, big.NewInt(3))), b(p.B), b(p.Gx), b(p.Gy)})
	if err != nil {
		panic(err)
	}
	return w, n
}

// The standard library's curves, computed by this package, must give the
// standard library's points: 4 limbs unrolled, 4, 6 and 9 limbs, a = -3.
func TestAgainstStandard(t *testing.T) {
	t.Parallel()
	for _, c := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		w, n := std(c)
		b := func(v *big.Int) []byte { return v.FillBytes(make([]byte, n)) }
		for i := range 20 {
			k, _ := rand.Int(rand.Reader, c.Params().N)
			switch i {
			case 0:
				k = big.NewInt(1)
			case 1:
				k.Sub(c.Params().N, big.NewInt(1))
			case 2:
				k = big.NewInt(2)
			}
			x1, y1 := c.ScalarBaseMult(b(k))
			x, y := w.BaseMul(b(k))
			if !bytes.Equal(x, b(x1)) || !bytes.Equal(y, b(y1)) {
				t.Fatalf("%s: [%x]G = %x %x", c.Params().Name, k, x, y)
			}
			j, _ := rand.Int(rand.Reader, c.Params().N)
			x2, y2 := c.ScalarMult(x1, y1, b(j))
			x, y = w.Mul(x, y, b(j))
			if !bytes.Equal(x, b(x2)) || !bytes.Equal(y, b(y2)) {
				t.Fatalf("%s: [%x]P = %x %x", c.Params().Name, j, x, y)
			}
			x3, y3 := c.Add(x1, y1, x2, y2)
			x, y = w.Add(b(x1), b(y1), b(x2), b(y2))
			if !bytes.Equal(x, b(x3)) || !bytes.Equal(y, b(y3)) {
				t.Fatalf("%s: sum = %x %x", c.Params().Name, x, y)
			}
		}
		if x, y := w.BaseMul(b(c.Params().N)); x != nil || y != nil {
			t.Errorf("%s: [n]G is not infinity", c.Params().Name)
		}
	}
}

// Exceptional sums: P+P, P+(-P), infinity on either side.
func TestExceptions(t *testing.T) {
	t.Parallel()
	w, n := std(elliptic.P256())
	p := elliptic.P256().Params()
	gx, gy := p.Gx.FillBytes(make([]byte, n)), p.Gy.FillBytes(make([]byte, n))
	two := make([]byte, n)
	two[n-1] = 2
	dx, dy := w.BaseMul(two)
	if x, y := w.Add(gx, gy, gx, gy); !bytes.Equal(x, dx) || !bytes.Equal(y, dy) {
		t.Error("P + P")
	}
	neg := new(big.Int).Sub(p.P, p.Gy).FillBytes(make([]byte, n))
	if x, _ := w.Add(gx, gy, gx, neg); x != nil {
		t.Error("P + (-P)")
	}
	if x, y := w.Add(nil, nil, gx, gy); !bytes.Equal(x, gx) || !bytes.Equal(y, gy) {
		t.Error("0 + P")
	}
	if x, y := w.Add(gx, gy, nil, nil); !bytes.Equal(x, gx) || !bytes.Equal(y, gy) {
		t.Error("P + 0")
	}
	if x, _ := w.Mul(gx, gy, make([]byte, n)); x != nil {
		t.Error("[0]P")
	}
	if w.OnCurve(gx, gx) || w.OnCurve(gx[1:], gy) || w.OnCurve(p.P.FillBytes(make([]byte, n)), gy) {
		t.Error("point off the curve accepted")
	}
}

// The field against math/big at its corners, for every number of limbs.
func TestField(t *testing.T) {
	t.Parallel()
	for limbs := 1; limbs <= maxLimbs; limbs++ {
		p, err := rand.Prime(rand.Reader, limbs*64)
		if err != nil {
			t.Fatal(err)
		}
		f, err := newField(p.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		values := []*big.Int{big.NewInt(0), big.NewInt(1), big.NewInt(2), new(big.Int).Sub(p, big.NewInt(1)), new(big.Int).Sub(p, big.NewInt(2))}
		for range 5 {
			v, _ := rand.Int(rand.Reader, p)
			values = append(values, v)
		}
		buf := func(v *big.Int) []byte { return v.FillBytes(make([]byte, f.size)) }
		for _, a := range values {
			for _, b := range values {
				var x, y, z element
				if !f.set(&x, buf(a)) || !f.set(&y, buf(b)) {
					t.Fatal("element refused")
				}
				check := func(op string, want *big.Int) {
					t.Helper()
					want.Mod(want, p)
					if !bytes.Equal(f.bytes(&z), buf(want)) {
						t.Errorf("%d limbs: %x %s %x = %x, want %x", limbs, a, op, b, f.bytes(&z), want)
					}
				}
				f.add(&z, &x, &y)
				check("+", new(big.Int).Add(a, b))
				f.sub(&z, &x, &y)
				check("-", new(big.Int).Sub(a, b))
				f.mul(&z, &x, &y)
				check("*", new(big.Int).Mul(a, b))
				if b.Sign() != 0 {
					f.invert(&z, &y)
					check("inverse", new(big.Int).ModInverse(b, p))
				}
			}
		}
		var x element
		if f.set(&x, p.Bytes()) {
			t.Error("p accepted as an element")
		}
	}
}

// The formulas for a = 0 against those for any a, on TPM_ECC_BN_P256.
func TestAZero(t *testing.T) {
	t.Parallel()
	num := func(s string) []byte {
		n, _ := new(big.Int).SetString(s, 16)
		return n.FillBytes(make([]byte, 32))
	}
	w, err := New(Params{P: num("fffffffffffcf0cd46e5f25eee71a49f0cdc65fb12980a82d3292ddbaed33013"),
		A: num("0"), B: num("3"), Gx: num("1"), Gy: num("2")})
	if err != nil || !w.aZero {
		t.Fatal(err)
	}
	general := *w
	general.aZero = false
	general.gTable = nil
	for range 20 {
		k, j := make([]byte, 32), make([]byte, 32)
		rand.Read(k)
		rand.Read(j)
		x, y := w.BaseMul(k)
		gx, gy := general.Mul(num("1"), num("2"), k)
		if !bytes.Equal(x, gx) || !bytes.Equal(y, gy) || !w.OnCurve(x, y) {
			t.Fatalf("[%x]G differs", k)
		}
		px, py := w.Mul(x, y, j)
		sx, sy := w.Add(x, y, px, py)
		gx, gy = general.Add(x, y, px, py)
		if !bytes.Equal(sx, gx) || !bytes.Equal(sy, gy) || !w.OnCurve(sx, sy) {
			t.Fatal("sum differs")
		}
	}
	if x, _ := w.BaseMul(num("fffffffffffcf0cd46e5f25eee71a49e0cdc65fb1299921af62d536cd10b500d")); x != nil {
		t.Error("[n]G is not infinity")
	}
}

func TestBadFields(t *testing.T) {
	for _, p := range [][]byte{nil, {0, 7}, {8}, make([]byte, 200)} {
		if _, err := newField(p); err == nil {
			t.Errorf("field of %x accepted", p)
		}
	}
	if _, err := New(Params{P: []byte{23}, A: []byte{1}, B: []byte{1}, Gx: []byte{0}, Gy: []byte{2}}); err == nil {
		t.Error("generator off the curve accepted")
	}
}

func BenchmarkMul4(b *testing.B) {
	w, _ := std(elliptic.P256())
	x := w.b
	for b.Loop() {
		w.f.mul(&x, &x, &w.b)
	}
}

func BenchmarkP256Mul(b *testing.B) {
	w, n := std(elliptic.P256())
	p := elliptic.P256().Params()
	gx, gy := p.Gx.FillBytes(make([]byte, n)), p.Gy.FillBytes(make([]byte, n))
	for b.Loop() {
		w.Mul(gx, gy, gx)
	}
}
