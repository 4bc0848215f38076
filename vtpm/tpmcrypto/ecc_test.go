package tpmcrypto

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"math/big"
	"testing"
	"testing/iotest"

	"stubtpm/vtpm/tcg"
)

func newKey(t testing.TB, id tcg.TPMECCCurve) *ECCPrivate {
	t.Helper()
	k, err := NewECCKey(rand.Reader, id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The numbers of each curve make one: primes, a generator on it, whose order
// times itself is infinity, and for BN curves the defining polynomials.
func TestCurveNumbers(t *testing.T) {
	t.Parallel()
	if len(Curves()) != len(curves()) {
		t.Fatalf("%d ids, %d curves", len(Curves()), len(curves()))
	}
	for _, id := range Curves() {
		c := CurveByID(id)
		p, n := new(big.Int).SetBytes(c.P), new(big.Int).SetBytes(c.N)
		if !p.ProbablyPrime(10) || !n.ProbablyPrime(10) {
			t.Errorf("%#x: field or order is not prime", id)
		}
		if !c.OnCurve(c.Generator()) {
			t.Errorf("%#x: generator is not on the curve", id)
		}
		if !c.baseMul(c.N).Infinity() {
			t.Errorf("%#x: [n]G is not infinity", id)
		}
		for _, b := range [][]byte{c.P, c.A, c.B, c.Gx, c.Gy, c.N} {
			if len(b) != c.Size {
				t.Errorf("%#x: number of %d octets", id, len(b))
			}
		}
		if c.Bits != p.BitLen() || c.Bits != n.BitLen() || c.Size != (c.Bits+7)/8 {
			t.Errorf("%#x: %d bits, %d octets", id, c.Bits, c.Size)
		}
	}
	// ISO/IEC 15946-5, 7.3: p = 36u^4+36u^3+24u^2+6u+1, n = p - 6u^2.
	for _, id := range []tcg.TPMECCCurve{tcg.TPMECCBNP256, tcg.TPMECCBNP638} {
		c := CurveByID(id)
		p, n := new(big.Int).SetBytes(c.P), new(big.Int).SetBytes(c.N)
		// 6u^2 = p - n gives u up to its sign.
		sq := new(big.Int).Sub(p, n)
		if new(big.Int).Mod(sq, big.NewInt(6)).Sign() != 0 {
			t.Errorf("%#x: p-n is not 6u^2", id)
		}
		r := new(big.Int).Sqrt(sq.Div(sq, big.NewInt(6)))
		if bnP(r).Cmp(p) != 0 && bnP(r.Neg(r)).Cmp(p) != 0 {
			t.Errorf("%#x: p is not the polynomial of u", id)
		}
	}
	if CurveByID(tcg.TPMECCCurve25519) != nil {
		t.Error("Curve25519 is not one of these")
	}
}

func bnP(u *big.Int) *big.Int {
	p := big.NewInt(0)
	for _, c := range []int64{36, 36, 24, 6, 1} {
		p.Mul(p, u).Add(p, big.NewInt(c))
	}
	return p
}

func TestECDH(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		a, b := newKey(t, id), newKey(t, id)
		z1, err1 := a.ECDH(b.Q)
		z2, err2 := b.ECDH(a.Q)
		if err1 != nil || err2 != nil || !bytes.Equal(z1.X, z2.X) || !bytes.Equal(z1.Y, z2.Y) || !a.Curve.OnCurve(z1) {
			t.Errorf("%#x: no common secret: %v %v", id, err1, err2)
		}
	}
	for id, std := range map[tcg.TPMECCCurve]ecdh.Curve{
		tcg.TPMECCNistP256: ecdh.P256(), tcg.TPMECCNistP384: ecdh.P384(), tcg.TPMECCNistP521: ecdh.P521(),
	} {
		for range 10 {
			a, b := newKey(t, id), newKey(t, id)
			d, err := std.NewPrivateKey(a.Scalar())
			if err != nil {
				t.Fatal(err)
			}
			if want := append(append([]byte{4}, a.Q.X...), a.Q.Y...); !bytes.Equal(d.PublicKey().Bytes(), want) {
				t.Fatalf("%#x: public point differs from crypto/ecdh", id)
			}
			q, err := std.NewPublicKey(append(append([]byte{4}, b.Q.X...), b.Q.Y...))
			if err != nil {
				t.Fatal(err)
			}
			want, err := d.ECDH(q)
			if err != nil {
				t.Fatal(err)
			}
			if z, err := a.ECDH(b.Q); err != nil || !bytes.Equal(z.X, want) {
				t.Errorf("%#x: secret %x, want %x", id, z.X, want)
			}
		}
	}
}

// Points as in Wycheproof's ECDH tests: off the curve, coordinates not below
// p, negated, compressed by mistake, infinity, of another curve, too long.
func TestBadPoints(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		k := newKey(t, id)
		c := k.Curve
		x1 := new(big.Int).Add(new(big.Int).SetBytes(k.Q.X), new(big.Int).SetBytes(c.P)).Bytes()
		flip := bytes.Clone(k.Q.Y)
		flip[len(flip)-1] ^= 1
		for name, q := range map[string]Point{
			"infinity": {}, "zero": {make([]byte, c.Size), make([]byte, c.Size)}, "x alone": {X: k.Q.X},
			"off": {k.Q.X, flip}, "swapped": {k.Q.Y, k.Q.X}, "x+p": {x1, k.Q.Y}, "p": {c.P, k.Q.Y},
			"long": {append([]byte{1}, k.Q.X...), k.Q.Y}, "other curve": {[]byte{1}, []byte{7}},
		} {
			if _, err := k.ECDH(q); err != ErrPoint {
				t.Errorf("%#x %s: ECDH gives %v", id, name, err)
			}
			if _, err := NewECCPublic(id, q); err != ErrPoint {
				t.Errorf("%#x %s: NewECCPublic gives %v", id, name, err)
			}
			if _, _, err := k.ZGen2Phase(tcg.TPMAlgECMQV, []byte{1}, q, k.Q); err != ErrPoint {
				t.Errorf("%#x %s: ZGen2Phase gives %v", id, name, err)
			}
			if _, _, err := k.ZGen2Phase(tcg.TPMAlgECMQV, []byte{1}, k.Q, q); err != ErrPoint {
				t.Errorf("%#x %s: ZGen2Phase gives %v", id, name, err)
			}
		}
		// Zeros in front do not matter.
		if _, err := k.ECDH(Point{append([]byte{0, 0}, k.Q.X...), k.Q.Y}); err != nil {
			t.Errorf("%#x: padded point: %v", id, err)
		}
		for _, d := range [][]byte{nil, {}, {0}, c.N, append([]byte{1}, c.N...), bytes.Repeat([]byte{0xff}, c.Size)} {
			if _, err := NewECCPrivate(id, d); err != ErrValue {
				t.Errorf("%#x: scalar %x: %v", id, d, err)
			}
		}
		less1 := new(big.Int).Sub(new(big.Int).SetBytes(c.N), big.NewInt(1)).Bytes()
		if l, err := NewECCPrivate(id, less1); err != nil || !bytes.Equal(l.Q.X, c.Gx) || bytes.Equal(l.Q.Y, c.Gy) {
			t.Errorf("%#x: [n-1]G is not -G: %v", id, err)
		}
		if l, err := NewECCPrivate(id, k.Scalar()); err != nil || !l.Matches(k.Q) || l.Matches(c.Generator()) || l.Matches(Point{}) {
			t.Errorf("%#x: Matches", id)
		}
	}
	if _, err := NewECCPublic(tcg.TPMECCNone, Point{}); err != ErrCurve {
		t.Error(err)
	}
	if _, err := NewECCPrivate(tcg.TPMECCNone, nil); err != ErrCurve {
		t.Error(err)
	}
	if _, err := NewECCKey(rand.Reader, tcg.TPMECCNone); err != ErrCurve {
		t.Error(err)
	}
}

func TestECDSA(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		k := newKey(t, id)
		for _, alg := range Hashes() {
			digest := Sum(nil, alg, []byte("message"))
			sig, err := k.SignECDSA(rand.Reader, digest)
			if err != nil {
				t.Fatalf("%#x %#x: %v", id, alg, err)
			}
			if len(sig.R) != k.Curve.Size || len(sig.S) != k.Curve.Size {
				t.Errorf("%#x: signature of %d and %d octets", id, len(sig.R), len(sig.S))
			}
			if err := k.VerifyECDSA(digest, ECCSignature{bytes.TrimLeft(sig.R, "\x00"), append([]byte{0}, sig.S...)}); err != nil {
				t.Errorf("%#x: padding matters: %v", id, err)
			}
			if k.Curve.std != nil {
				// The own algorithm against the standard library's.
				if own, err := k.ownECDSA(rand.Reader, digest); err != nil || !ecdsa.Verify(k.ECCPublic.standard(), digest,
					new(big.Int).SetBytes(own.R), new(big.Int).SetBytes(own.S)) {
					t.Errorf("%#x %#x: crypto/ecdsa refuses ours: %v", id, alg, err)
				}
				if err := k.ownVerifyECDSA(digest, sig); err != nil {
					t.Errorf("%#x %#x: we refuse crypto/ecdsa's: %v", id, alg, err)
				}
			}
			testBadSignatures(t, k.Curve, sig, func(s ECCSignature) error { return k.VerifyECDSA(digest, s) })
			digest[0] ^= 0x80
			if k.VerifyECDSA(digest, sig) != ErrSignature {
				t.Errorf("%#x: another digest accepted", id)
			}
		}
	}
}

// testBadSignatures tries what Wycheproof tries: zero, the order, one more
// than the order, exchanged, changed, too long, empty.
func testBadSignatures(t *testing.T, c *Curve, good ECCSignature, verify func(ECCSignature) error) {
	t.Helper()
	if err := verify(good); err != nil {
		t.Errorf("%#x: good signature refused: %v", c.ID, err)
	}
	add := func(b []byte) []byte {
		return new(big.Int).Add(new(big.Int).SetBytes(b), new(big.Int).SetBytes(c.N)).Bytes()
	}
	flip := bytes.Clone(good.S)
	flip[len(flip)-1] ^= 1
	flipR := bytes.Clone(good.R)
	flipR[len(flipR)-1] ^= 1
	for i, s := range []ECCSignature{
		{}, {good.R, nil}, {nil, good.S}, {good.R, make([]byte, c.Size)}, {make([]byte, c.Size), good.S},
		{good.R, c.N}, {good.R, add(good.S)}, {good.S, good.R}, {good.R, flip}, {flipR, good.S},
		{append([]byte{1}, good.R...), good.S}, {good.R, append([]byte{1}, good.S...)},
		{good.R, bytes.Repeat([]byte{0xff}, c.Size+8)},
	} {
		if verify(s) != ErrSignature {
			t.Errorf("%#x: bad signature %d accepted", c.ID, i)
		}
	}
}

// Digests longer than the order: the highest bits count, on P-521 with a shift
// that is no whole octet. crypto/ecdsa decides what is right.
func TestLongDigest(t *testing.T) {
	t.Parallel()
	for _, id := range []tcg.TPMECCCurve{tcg.TPMECCNistP224, tcg.TPMECCNistP256, tcg.TPMECCNistP384, tcg.TPMECCNistP521} {
		k := newKey(t, id)
		for _, n := range []int{0, 1, 28, 65, 66, 67, 100} {
			digest := bytes.Repeat([]byte{0xf5, 0x3a}, 50)[:n]
			sig, err := k.SignECDSA(rand.Reader, digest)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.ownVerifyECDSA(digest, sig); err != nil {
				t.Errorf("%#x, %d octets: %v", id, n, err)
			}
		}
	}
}

// RFC 6979, A.2.5 to A.2.7: "sample" with SHA-512 and "test" with SHA-256.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		id      tcg.TPMECCCurve
		key     string
		alg     tcg.TPMAlgID
		message string
		r, s    string
	}{
		{tcg.TPMECCNistP256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721", tcg.TPMAlgSHA256, "test",
			"f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367", "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"},
		{tcg.TPMECCNistP256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721", tcg.TPMAlgSHA512, "sample",
			"8496a60b5e9b47c825488827e0495b0e3fa109ec4568fd3f8d1097678eb97f00", "2362ab1adbe2b8adf9cb9edab740ea6049c028114f2460f96554f61fae3302fe"},
		{tcg.TPMECCNistP384, "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5", tcg.TPMAlgSHA384, "sample",
			"94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46", "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8"},
	} {
		k, err := NewECCPrivate(v.id, unhex(t, v.key))
		if err != nil {
			t.Fatal(err)
		}
		sig, err := k.SignECDSADeterministic(v.alg, Sum(nil, v.alg, []byte(v.message)))
		if err != nil || !bytes.Equal(sig.R, unhex(t, v.r)) || !bytes.Equal(sig.S, unhex(t, v.s)) {
			t.Errorf("%#x %#x %s: %x %x %v", v.id, v.alg, v.message, sig.R, sig.S, err)
		}
		if _, err := k.SignECDSADeterministic(v.alg, []byte("short")); err != ErrSize {
			t.Error(err)
		}
		if _, err := k.SignECDSADeterministic(tcg.TPMAlgNull, nil); err != ErrHash {
			t.Error(err)
		}
	}
	if _, err := newKey(t, tcg.TPMECCBNP256).SignECDSADeterministic(tcg.TPMAlgSHA256, make([]byte, 32)); err != ErrCurve {
		t.Error(err)
	}
}

// A key whose public point was changed by a fault signs nothing: every
// signature is verified before it leaves.
func TestECCFault(t *testing.T) {
	t.Parallel()
	digest := make([]byte, 32)
	for _, id := range Curves() {
		k := newKey(t, id)
		k.Q = newKey(t, id).Q
		if s, err := k.SignECDSA(rand.Reader, digest); err != ErrFault || s.R != nil {
			t.Errorf("%#x: ECDSA: %v", id, err)
		}
		if s, err := k.SignSchnorr(rand.Reader, tcg.TPMAlgSHA256, digest); err != ErrFault || s.R != nil {
			t.Errorf("%#x: Schnorr: %v", id, err)
		}
		if s, err := k.SignSM2(rand.Reader, digest); err != ErrFault || s.R != nil {
			t.Errorf("%#x: SM2: %v", id, err)
		}
	}
}

// What rand says comes through, and nothing is signed without it.
func TestNoRandomness(t *testing.T) {
	t.Parallel()
	boom := errors.New("no entropy")
	r := iotest.ErrReader(boom)
	k := newKey(t, tcg.TPMECCBNP256)
	d := make([]byte, 32)
	if _, err := NewECCKey(r, tcg.TPMECCNistP256); err != boom {
		t.Error(err)
	}
	if _, err := NewRSAKey(r, 2048, 0); err != boom {
		t.Error(err)
	}
	if _, err := k.SignECDSA(r, d); err != boom {
		t.Error(err)
	}
	if _, err := k.SignSchnorr(r, tcg.TPMAlgSHA256, d); err != boom {
		t.Error(err)
	}
	if _, err := k.SignSM2(r, d); err != boom {
		t.Error(err)
	}
	if _, err := k.SignECDAA(r, tcg.TPMAlgSHA256, []byte{1}, d); err != boom {
		t.Error(err)
	}
	if _, _, _, err := k.Encrypt(r, tcg.TPMAlgSHA256, d); err != boom {
		t.Error(err)
	}
}

func TestScalars(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		c := CurveByID(id)
		wide := bytes.Repeat([]byte{0xff}, c.Size+8)
		got, err := c.ReduceScalar(wide)
		want := new(big.Int).Mod(new(big.Int).SetBytes(wide), new(big.Int).SetBytes(c.N))
		if err != nil || new(big.Int).SetBytes(got).Cmp(want) != 0 || len(got) != c.Size {
			t.Errorf("%#x: %x, %v", id, got, err)
		}
		if _, err := c.ReduceScalar(append(wide, 0)); err != ErrSize {
			t.Error(err)
		}
		if _, err := c.BaseMul(nil); err != ErrInfinity {
			t.Errorf("%#x: [0]G: %v", id, err)
		}
		if _, err := c.BaseMul(c.N); err != ErrValue {
			t.Errorf("%#x: [n]G: %v", id, err)
		}
		if p, err := c.BaseMul([]byte{1}); err != nil || !bytes.Equal(p.Y, c.Gy) {
			t.Errorf("%#x: [1]G: %v", id, err)
		}
		k := newKey(t, id)
		k.Zero()
		if !bytes.Equal(k.d, make([]byte, c.Size)) {
			t.Error("scalar still there")
		}
	}
}

func TestSchnorr(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		k := newKey(t, id)
		for _, alg := range Hashes() {
			digest := Sum(nil, alg, []byte("message"))
			sig, err := k.SignSchnorr(rand.Reader, alg, digest)
			if err != nil {
				t.Fatalf("%#x %#x: %v", id, alg, err)
			}
			testBadSignatures(t, k.Curve, sig, func(s ECCSignature) error { return k.VerifySchnorr(alg, digest, s) })
			// Part 1, 44.3.4.2 by math/big: E = [s]G - [r]Q, r = H(x || P) cut.
			c := k.Curve
			n := new(big.Int).SetBytes(c.N)
			r := new(big.Int).SetBytes(sig.R)
			neg := new(big.Int).Mod(new(big.Int).Neg(r), n).FillBytes(make([]byte, c.Size))
			e := c.add(c.baseMul(sig.S), c.mul(k.Q, neg))
			want := Sum(nil, alg, e.X, digest)
			if new(big.Int).SetBytes(want[:min(len(want), c.Size)]).Cmp(r) != 0 {
				t.Errorf("%#x %#x: not the Schnorr equation", id, alg)
			}
		}
		if _, err := k.SignSchnorr(rand.Reader, tcg.TPMAlgNull, nil); err != ErrHash {
			t.Error(err)
		}
	}
}

func TestSM2(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		k := newKey(t, id)
		digest := Sum(nil, tcg.TPMAlgSHA256, []byte("message"))
		sig, err := k.SignSM2(rand.Reader, digest)
		if err != nil {
			t.Fatal(err)
		}
		testBadSignatures(t, k.Curve, sig, func(s ECCSignature) error { return k.VerifySM2(digest, s) })
	}
}

// The equations of Part 1, 44.3.3.3 and 44.2.3 by math/big: the point [s]P1
// less [T]K1 is E when K1 = [d]P1.
func TestECDAA(t *testing.T) {
	t.Parallel()
	alg := tcg.TPMAlgSHA256
	for _, id := range Curves() {
		k := newKey(t, id)
		c := k.Curve
		r, err := c.CommitScalar(alg, []byte("commit random"), []byte("name"), 5)
		if err != nil {
			t.Fatal(err)
		}
		other, _ := c.CommitScalar(alg, []byte("commit random"), []byte("name"), 6)
		if bytes.Equal(r, other) {
			t.Error("the counter does not change the secret")
		}
		// A base point by hashing: try strings until x is on the curve.
		var s2, y2 []byte
		for i := byte(0); y2 == nil; i++ {
			s2 = []byte{'s', i}
			y2 = yOf(c, new(big.Int).SetBytes(Sum(nil, alg, s2)))
		}
		p1 := newKey(t, id).Q
		kp, l, e, err := k.Commit(alg, r, p1, s2, y2)
		if err != nil {
			t.Fatal(err)
		}
		p2, err := c.Check(Point{new(big.Int).Mod(new(big.Int).SetBytes(Sum(nil, alg, s2)), new(big.Int).SetBytes(c.P)).Bytes(), y2})
		if err != nil {
			t.Fatal(err)
		}
		same := func(what string, a, b Point) {
			t.Helper()
			if !bytes.Equal(a.X, b.X) || !bytes.Equal(a.Y, b.Y) {
				t.Errorf("%#x: %s is wrong", id, what)
			}
		}
		same("K", kp, c.mul(p2, k.Scalar()))
		same("L", l, c.mul(p2, r))
		same("E", e, c.mul(p1, r))
		if kp, l, e, err = k.Commit(alg, r, Point{}, nil, nil); err != nil || !kp.Infinity() || !l.Infinity() {
			t.Errorf("%#x: commit of nothing: %v", id, err)
		}
		same("E of G", e, c.baseMul(r))
		if kp, _, e, err = k.Commit(alg, r, Point{}, s2, y2); err != nil || kp.Infinity() || !e.Infinity() {
			t.Errorf("%#x: commit without P1: %v", id, err)
		}
		if _, _, _, err = k.Commit(alg, r, p1, s2, nil); err != ErrSize {
			t.Errorf("%#x: y2 missing: %v", id, err)
		}
		if _, _, _, err = k.Commit(alg, r, p1, s2, c.Gx); err != ErrPoint {
			t.Errorf("%#x: bad base point: %v", id, err)
		}
		if _, _, _, err = k.Commit(alg, r, Point{c.Gx, c.Gx}, nil, nil); id != tcg.TPMECCBNP638 && err != ErrPoint {
			t.Errorf("%#x: bad P1: %v", id, err)
		}
		if _, _, _, err = k.Commit(tcg.TPMAlgNull, r, p1, nil, nil); err != ErrHash {
			t.Error(err)
		}
		digest := Sum(nil, alg, []byte("attest"))
		sig, err := k.SignECDAA(rand.Reader, alg, r, digest)
		if err != nil {
			t.Fatal(err)
		}
		n := new(big.Int).SetBytes(c.N)
		tt := new(big.Int).Mod(new(big.Int).SetBytes(Sum(nil, alg, sig.R, digest)), n)
		s := tt.Mul(tt, new(big.Int).SetBytes(k.Scalar()))
		s.Add(s, new(big.Int).SetBytes(r)).Mod(s, n)
		if s.Cmp(new(big.Int).SetBytes(sig.S)) != 0 || len(sig.R) != c.Size {
			t.Errorf("%#x: not s = r + T d", id)
		}
	}
}

// yOf returns a y for x modulo p, or nil if there is none.
func yOf(c *Curve, x *big.Int) []byte {
	p := new(big.Int).SetBytes(c.P)
	x.Mod(x, p)
	y := new(big.Int).Mul(x, x)
	y.Add(y, new(big.Int).SetBytes(c.A)).Mul(y, x).Add(y, new(big.Int).SetBytes(c.B)).Mod(y, p)
	if y.ModSqrt(y, p) == nil {
		return nil
	}
	return y.FillBytes(make([]byte, c.Size))
}

// Both sides of each exchange get the same points.
func TestZGen2Phase(t *testing.T) {
	t.Parallel()
	for _, id := range Curves() {
		a, b, ea, eb := newKey(t, id), newKey(t, id), newKey(t, id), newKey(t, id)
		for _, scheme := range []tcg.TPMAlgID{tcg.TPMAlgECDH, tcg.TPMAlgECMQV, tcg.TPMAlgSM2} {
			z1, z2, err := a.ZGen2Phase(scheme, ea.Scalar(), b.Q, eb.Q)
			if err != nil {
				t.Fatal(err)
			}
			y1, y2, err := b.ZGen2Phase(scheme, eb.Scalar(), a.Q, ea.Q)
			if err != nil {
				t.Fatal(err)
			}
			if z1.Infinity() || !bytes.Equal(z1.X, y1.X) || !bytes.Equal(z1.Y, y1.Y) ||
				!bytes.Equal(z2.X, y2.X) || z2.Infinity() != (scheme != tcg.TPMAlgECDH) {
				t.Errorf("%#x %#x: the two sides differ", id, scheme)
			}
		}
		// MQV by math/big.
		c := a.Curve
		n := new(big.Int).SetBytes(c.N)
		f := uint((c.Bits + 1) / 2)
		avf := func(q Point) *big.Int {
			m := new(big.Int).Lsh(big.NewInt(1), f)
			return m.Add(m, new(big.Int).Mod(new(big.Int).SetBytes(q.X), m))
		}
		tA := new(big.Int).Mul(new(big.Int).SetBytes(a.Scalar()), avf(ea.Q))
		tA.Add(tA, new(big.Int).SetBytes(ea.Scalar())).Mod(tA, n)
		tB := new(big.Int).Mul(new(big.Int).SetBytes(b.Scalar()), avf(eb.Q))
		tB.Add(tB, new(big.Int).SetBytes(eb.Scalar())).Mod(tB, n)
		want := c.baseMul(tA.Mul(tA, tB).Mod(tA, n).FillBytes(make([]byte, c.Size)))
		z1, _, _ := a.ZGen2Phase(tcg.TPMAlgECMQV, ea.Scalar(), b.Q, eb.Q)
		if !bytes.Equal(z1.X, want.X) {
			t.Errorf("%#x: not the MQV point", id)
		}
		// A peer that knows its scalars can choose them so that its points
		// cancel: infinity, a result with MQV and an error with SM2.
		e := new(big.Int).SetBytes(eb.Scalar())
		static := func(d *big.Int) Point {
			return c.baseMul(d.Mod(d, n).FillBytes(make([]byte, c.Size)))
		}
		inv := new(big.Int).ModInverse(avf(eb.Q), n)
		if z, _, err := a.ZGen2Phase(tcg.TPMAlgECMQV, ea.Scalar(), static(inv.Mul(inv, e).Neg(inv)), eb.Q); err != nil || !z.Infinity() {
			t.Errorf("%#x: MQV with infinity: %x, %v", id, z, err)
		}
		f--
		if z, _, err := a.ZGen2Phase(tcg.TPMAlgSM2, ea.Scalar(), static(new(big.Int).Neg(e.Mul(e, avf(eb.Q)))), eb.Q); err != ErrInfinity || !z.Infinity() {
			t.Errorf("%#x: SM2 with infinity: %x, %v", id, z, err)
		}
		if _, _, err := a.ZGen2Phase(tcg.TPMAlgECDAA, ea.Scalar(), b.Q, eb.Q); err != ErrScheme {
			t.Error(err)
		}
		if _, _, err := a.ZGen2Phase(tcg.TPMAlgECDH, c.N, b.Q, eb.Q); err != ErrValue {
			t.Error(err)
		}
	}
}

func FuzzNewECCPublic(f *testing.F) {
	for _, id := range Curves() {
		g := CurveByID(id).Generator()
		f.Add(uint16(id), g.X, g.Y)
	}
	f.Add(uint16(0), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, id uint16, x, y []byte) {
		k, err := NewECCPublic(tcg.TPMECCCurve(id), Point{x, y})
		if err != nil {
			return
		}
		c := k.Curve
		p := new(big.Int).SetBytes(c.P)
		lhs := new(big.Int).SetBytes(y)
		lhs.Mul(lhs, lhs).Mod(lhs, p)
		bx := new(big.Int).SetBytes(x)
		rhs := new(big.Int).Mul(bx, bx)
		rhs.Add(rhs, new(big.Int).SetBytes(c.A)).Mul(rhs, bx).Add(rhs, new(big.Int).SetBytes(c.B)).Mod(rhs, p)
		if bx.Cmp(p) >= 0 || lhs.Cmp(rhs) != 0 {
			t.Error("point off the curve accepted")
		}
		k.VerifyECDSA(x, ECCSignature{x, y})
		k.VerifySchnorr(tcg.TPMAlgSHA256, x, ECCSignature{x, y})
		k.VerifySM2(x, ECCSignature{x, y})
	})
}

func BenchmarkECC(b *testing.B) {
	d := make([]byte, 32)
	for _, id := range Curves() {
		k := newKey(b, id)
		name := map[tcg.TPMECCCurve]string{1: "P192", 2: "P224", 3: "P256", 4: "P384", 5: "P521", 0x10: "BN256", 0x11: "BN638", 0x20: "SM2"}[id]
		b.Run(name+"/NewKey", func(b *testing.B) {
			for b.Loop() {
				NewECCKey(rand.Reader, id)
			}
		})
		b.Run(name+"/Sign", func(b *testing.B) {
			for b.Loop() {
				k.SignECDSA(rand.Reader, d)
			}
		})
		b.Run(name+"/Verify", func(b *testing.B) {
			s, _ := k.SignECDSA(rand.Reader, d)
			for b.Loop() {
				k.VerifyECDSA(d, s)
			}
		})
		b.Run(name+"/ECDH", func(b *testing.B) {
			for b.Loop() {
				k.ECDH(k.Q)
			}
		})
	}
}
