package tpmcrypto

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"math/big"
	"runtime"
	"slices"
	"testing"
	"time"

	"stubtpm/vtpm/tcg"
)

func TestTableOfPrimes(t *testing.T) {
	t.Parallel()
	table := tableOfPrimes()
	// The number of primes below 2^18 is 23000 (OEIS A007053); 2 is left out.
	if len(table.primes) != 22999 || table.primes[0] != 3 || table.primes[22998] != 262139 {
		t.Fatalf("%d primes", len(table.primes))
	}
	k := 0
	for i, product := range table.products {
		m := product.m
		want := uint64(1)
		for range table.count[i] {
			want *= uint64(table.primes[k])
			k++
		}
		if want != m {
			t.Fatalf("product %d", i)
		}
	}
	if k != len(table.primes) {
		t.Errorf("products hold %d primes", k)
	}
}

// What the sieve leaves is exactly what trial division leaves.
func TestSieve(t *testing.T) {
	t.Parallel()
	const e = 65537
	for round := range 3 {
		b := make([]byte, 64)
		rand.Read(b)
		b[0] |= 0xc0
		b[63] |= 1
		left := sieve(limbs(b), e)
		x := new(big.Int).SetBytes(b)
		k := 0
		for i := range sieveWindow {
			n := new(big.Int).Add(x, big.NewInt(int64(2*i)))
			survives := k < len(left) && int(left[k]) == i
			if survives {
				k++
			}
			if i%(round*60+1) != 0 { // all of one window, some of the others
				continue
			}
			want := new(big.Int).Mod(n, big.NewInt(e)).Int64() != 1
			for _, p := range tableOfPrimes().primes {
				if !want {
					break
				}
				want = modWord(limbs(n.Bytes()), uint64(p)) != 0
			}
			if want != survives {
				t.Fatalf("%v: survives = %v", n, survives)
			}
		}
	}
	// A multiple of every kind of small prime is struck out at the right place.
	for _, p := range []int64{3, 5, 4099, 8191, 262139} {
		m := new(big.Int).Lsh(big.NewInt(p), 600)
		m.Add(m, big.NewInt(p)) // odd multiple of p
		x := new(big.Int).Sub(m, big.NewInt(2*100))
		if slices.Contains(sieve(limbs(x.FillBytes(make([]byte, 128))), e), 100) {
			t.Errorf("a multiple of %d survives", p)
		}
	}
}

func TestNewPrime(t *testing.T) {
	t.Parallel()
	for _, nbits := range []int{512, 1024} {
		for range 4 {
			b, err := newPrime(rand.Reader, nbits, 65537)
			if err != nil {
				t.Fatal(err)
			}
			p := new(big.Int).SetBytes(b)
			if !p.ProbablyPrime(32) || p.BitLen() != nbits || b[0]&0xc0 != 0xc0 {
				t.Errorf("%d: %x", nbits, b)
			}
			if new(big.Int).Mod(p, big.NewInt(65537)).Int64() == 1 {
				t.Errorf("p-1 is a multiple of e")
			}
		}
	}
	if _, err := newPrime(bytes.NewReader(nil), 512, 65537); err != io.EOF {
		t.Error(err)
	}
	if _, err := newPrime(bytes.NewReader(make([]byte, 100)), 512, 65537); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
}

// Composites that fool weak tests: Carmichael numbers, a strong pseudoprime to
// the first 11 prime bases (Arnault; Zhang), squares of primes, products of
// two primes p(2p-1).
func TestIsPrime(t *testing.T) {
	t.Parallel()
	r := NewDRBG(tcg.TPMAlgSHA256, []byte("bases"))
	p, _ := new(big.Int).SetString("3317044064679887385961981", 10) // psi(13): to bases 2 to 41
	composites := []*big.Int{p}
	for _, q := range []int64{561, 1105, 8911, 2047, 3215031751} {
		composites = append(composites, big.NewInt(q))
	}
	for range 3 {
		q, _ := rand.Prime(rand.Reader, 512)
		composites = append(composites, new(big.Int).Mul(q, q))
		d := new(big.Int).Lsh(q, 1)
		composites = append(composites, new(big.Int).Mul(q, d.Sub(d, big.NewInt(1))))
	}
	for _, n := range composites {
		if ok, err := isPrime(r, n.Bytes()); err != nil || ok {
			t.Errorf("%v: %v, %v", n, ok, err)
		}
	}
	for _, s := range []string{"7", "101", "65537", "57896044618658097711785492504343953926634992332820282019728792003956564819949"} {
		n, _ := new(big.Int).SetString(s, 10)
		if ok, err := isPrime(r, n.Bytes()); err != nil || !ok {
			t.Errorf("%v: %v, %v", n, ok, err)
		}
	}
	if ok, _ := isPrime(r, []byte{8}); ok {
		t.Error("8 is prime")
	}
}

func TestAddWord(t *testing.T) {
	t.Parallel()
	x := []uint64{1<<64 - 1, 1<<64 - 1}
	if addWord(x, 2) != nil || !bytes.Equal(addWord(x[:1], 0), bytes.Repeat([]byte{0xff}, 8)) {
		t.Error("carry")
	}
	if got := addWord([]uint64{1<<64 - 1, 5}, 3); !bytes.Equal(got, []byte{7: 6, 15: 2}) {
		t.Errorf("%x", got)
	}
}

func TestFarApart(t *testing.T) {
	t.Parallel()
	p := make([]byte, 128)
	rand.Read(p)
	p[0] |= 0xc0
	at := func(bit uint, sign int64) []byte {
		d := new(big.Int).Lsh(big.NewInt(sign), bit)
		return d.Add(d, new(big.Int).SetBytes(p)).FillBytes(make([]byte, 128))
	}
	p[1], p[2] = 0x70, 0x70 // no carry out at the top
	for _, s := range []int64{1, -1} {
		if !farApart(p, at(926, s)) || !farApart(at(960, s), p) || !farApart(at(1000, s), p) {
			t.Error("far apart refused")
		}
		if farApart(p, at(923, s)) || farApart(at(100, s), p) || farApart(p, p) {
			t.Error("near accepted")
		}
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for range 50 {
		p, _ := rand.Prime(rand.Reader, 256)
		q, _ := rand.Prime(rand.Reader, 256)
		n := new(big.Int).Mul(p, q)
		if got := divideExact(n.FillBytes(make([]byte, 64)), p.Bytes()); !bytes.Equal(got, q.Bytes()) {
			t.Fatalf("%v / %v = %x", n, p, got)
		}
		one := big.NewInt(1)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		for _, e := range []uint64{65537, 1<<31 - 1} {
			want := new(big.Int).ModInverse(new(big.Int).SetUint64(e), phi)
			got := privateExponent(p.Bytes(), q.Bytes(), e)
			if want == nil != (got == nil) || want != nil && new(big.Int).SetBytes(got).Cmp(want) != 0 {
				t.Fatalf("1/%d mod (%v-1)(%v-1) = %x", e, p, q, got)
			}
		}
	}
	// e divides p-1: no inverse.
	p := new(big.Int).Lsh(big.NewInt(65537), 230)
	p.Add(p, big.NewInt(1))
	b := p.FillBytes(make([]byte, 32))
	if privateExponent(b, b, 65537) != nil {
		t.Error("an inverse that cannot be")
	}
}

// Time of the search for both primes of RSA-2048 over many seeds, the main
// part of CreatePrimary. go test -run PrimeTime -v prints it.
func TestPrimeTime(t *testing.T) {
	if testing.Short() || !testing.Verbose() {
		t.Skip("a measurement: takes seconds and is printed with -v only")
	}
	var times []time.Duration
	for i := range 100 {
		var template [4]byte
		binary.BigEndian.PutUint32(template[:], uint32(i))
		d := NewPrimaryDRBG([]byte("seed"), "Primary Object Creation", template[:], nil)
		start := time.Now()
		if _, err := NewRSAKey(d, 2048, 0); err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	t.Logf("RSA-2048 from 100 templates on %d processors: median %v, p95 %v, max %v",
		runtime.GOMAXPROCS(0), times[50], times[95], times[99])
}

func BenchmarkSieve1024(b *testing.B) {
	tableOfPrimes()
	x := make([]byte, 128)
	rand.Read(x)
	x[0], x[127] = x[0]|0xc0, x[127]|1
	l := limbs(x)
	for b.Loop() {
		sieve(l, 65537)
	}
}

func BenchmarkCandidate1024(b *testing.B) {
	x := make([]byte, 128)
	rand.Read(x)
	x[0], x[127] = x[0]|0xc0, x[127]|1
	for b.Loop() {
		isPrime(rand.Reader, x)
	}
}

// The residues by multiplication are those by division, also where they and
// their carries are at the ends of their range.
func TestResidues(t *testing.T) {
	t.Parallel()
	table := tableOfPrimes()
	b := make([]byte, 8*residueLimbs)
	rand.Read(b)
	numbers := [][]uint64{limbs(b), make([]uint64, residueLimbs), limbs(bytes.Repeat([]byte{0xff}, len(b)))}
	for _, p := range table.products[:50] { // multiples of a product, and those less 1
		x := make([]uint64, residueLimbs)
		rand.Read(b)
		mulAdd(x[:residueLimbs-1], limbs(b)[:residueLimbs-1], p.m)
		x[0] -= x[0] % 2
		numbers = append(numbers, x)
		y := make([]uint64, residueLimbs)
		y[0] = p.m
		numbers = append(numbers, y)
	}
	for _, x := range numbers {
		for j, r := range table.residues(x) {
			if want := modWord(x, table.products[j].m); r != want {
				t.Fatalf("%x modulo %d: %d, want %d", x, table.products[j].m, r, want)
			}
		}
	}
}
