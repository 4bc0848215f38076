package mlkem

import (
	"crypto/sha3"
	"crypto/subtle"
	"errors"
)

// Sizes in bytes that all parameter sets share.
const (
	SeedSize   = 64 // of a private key, d and z
	RandomSize = 32 // of what a secret is encapsulated with, m
	SharedSize = 32 // of a shared secret
)

// ErrKey is a seed, public key, m or ciphertext of the wrong length, or a public
// key with a coefficient that is not reduced (FIPS 203, 7.2).
var ErrKey = errors.New("mlkem: wrong length, or a public key that is not reduced")

// Params is a parameter set (FIPS 203, Table 2; eta2 is 2 in all).
type Params struct{ k, eta1, du, dv int }

// MLKEM512 returns the set of security category 1.
func MLKEM512() *Params { return &Params{2, 3, 10, 4} }

// MLKEM768 returns the set of security category 3.
func MLKEM768() *Params { return &Params{3, 2, 10, 4} }

// MLKEM1024 returns the set of security category 5.
func MLKEM1024() *Params { return &Params{4, 2, 11, 5} }

const polyBytes = n * 12 / 8

// PublicSize is the size in bytes of an encoded public key: 800, 1184 or 1568.
func (p *Params) PublicSize() int { return p.k*polyBytes + 32 }

// CiphertextSize is the size in bytes of a ciphertext: 768, 1088 or 1568.
func (p *Params) CiphertextSize() int { return n / 8 * (p.du*p.k + p.dv) }

// A PublicKey encapsulates secrets.
type PublicKey struct {
	p     *Params
	bytes []byte
	hash  [32]byte // H(bytes)
	t     []poly   // image
	a     []poly   // the matrix, row by row
}

// A PrivateKey decapsulates secrets.
type PrivateKey struct {
	pub PublicKey
	s   []poly // image
	z   [32]byte
}

// NewPrivate returns the key of a seed, d and z (FIPS 203, Algorithms 13 and
// 16). ErrKey.
func NewPrivate(p *Params, seed []byte) (*PrivateKey, error) {
	if len(seed) != SeedSize {
		return nil, ErrKey
	}
	g := sha3.Sum512(append(append(make([]byte, 0, 33), seed[:32]...), byte(p.k)))
	defer clear(g[:])
	rho, sigma := g[:32], g[32:]
	k := &PrivateKey{s: make([]poly, p.k)}
	copy(k.z[:], seed[32:])
	k.pub = PublicKey{p: p, t: make([]poly, p.k), a: p.expandA(rho)}
	for i := range k.s {
		samplePolyCBD(&k.s[i], sigma, byte(i), p.eta1)
		k.s[i].ntt()
	}
	out := make([]byte, 0, p.PublicSize())
	for i := range k.pub.t {
		t := &k.pub.t[i]
		samplePolyCBD(t, sigma, byte(p.k+i), p.eta1)
		t.ntt()
		for j := range k.s {
			t.mulAdd(&k.pub.a[i*p.k+j], &k.s[j])
		}
		out = pack(out, t, 12)
	}
	k.pub.bytes = append(out, rho...)
	k.pub.hash = sha3.Sum256(k.pub.bytes)
	return k, nil
}

// NewPublic takes an encoded public key (FIPS 203, 7.2). ErrKey.
func NewPublic(p *Params, b []byte) (*PublicKey, error) {
	if len(b) != p.PublicSize() {
		return nil, ErrKey
	}
	k := &PublicKey{p: p, bytes: append([]byte(nil), b...), hash: sha3.Sum256(b), t: make([]poly, p.k)}
	for i := range k.t {
		unpack(&k.t[i], b[i*polyBytes:], 12)
		for _, c := range k.t[i] {
			if c >= q {
				return nil, ErrKey
			}
		}
	}
	k.a = p.expandA(b[len(b)-32:])
	return k, nil
}

// Bytes returns the encoded public key, which is the caller's to keep but not
// to change.
func (k *PublicKey) Bytes() []byte { return k.bytes }

// Public returns the public key.
func (k *PrivateKey) Public() *PublicKey { return &k.pub }

// Zero wipes the secrets; the key is of no use afterwards.
func (k *PrivateKey) Zero() {
	clear(k.s)
	clear(k.z[:])
}

// Encapsulate returns a secret and the ciphertext that carries it, both made of
// m, 32 random bytes (FIPS 203, Algorithm 17). ErrKey if m has another length.
func (k *PublicKey) Encapsulate(m []byte) (secret, ciphertext []byte, err error) {
	if len(m) != RandomSize {
		return nil, nil, ErrKey
	}
	g := k.g(m)
	defer clear(g[32:])
	return g[:32:32], k.encrypt(m, g[32:]), nil
}

// g is G(m || H(ek)): the secret and the randomness of its encryption.
func (k *PublicKey) g(m []byte) [64]byte {
	b := append(append(make([]byte, 0, 64), m...), k.hash[:]...)
	defer clear(b)
	return sha3.Sum512(b)
}

// Decapsulate returns the secret that a ciphertext carries, or, if it is no
// ciphertext of this key, one that nobody knows (FIPS 203, Algorithm 18).
// ErrKey for another length.
func (k *PrivateKey) Decapsulate(ciphertext []byte) ([]byte, error) {
	p := k.pub.p
	if len(ciphertext) != p.CiphertextSize() {
		return nil, ErrKey
	}
	m := k.decrypt(ciphertext)
	defer clear(m)
	g := k.pub.g(m)
	defer clear(g[:])
	h := sha3.NewSHAKE256()
	h.Write(k.z[:])
	h.Write(ciphertext)
	secret := make([]byte, SharedSize)
	h.Read(secret)
	again := k.pub.encrypt(m, g[32:])
	subtle.ConstantTimeCopy(subtle.ConstantTimeCompare(again, ciphertext), secret, g[:32])
	return secret, nil
}

// encrypt is Algorithm 14.
func (k *PublicKey) encrypt(m, r []byte) []byte {
	p := k.p
	y := make([]poly, p.k)
	var e, v, mu poly
	defer func() {
		clear(y)
		clear(e[:])
		clear(v[:])
		clear(mu[:])
	}()
	for i := range y {
		samplePolyCBD(&y[i], r, byte(i), p.eta1)
		y[i].ntt()
	}
	out := make([]byte, 0, p.CiphertextSize())
	for i := range p.k {
		u := poly{}
		for j := range y {
			u.mulAdd(&k.a[j*p.k+i], &y[j])
		}
		u.invNTT()
		samplePolyCBD(&e, r, byte(p.k+i), 2)
		u.add(&e)
		out = packCompressed(out, &u, p.du)
	}
	for j := range y {
		v.mulAdd(&k.t[j], &y[j])
	}
	v.invNTT()
	samplePolyCBD(&e, r, byte(2*p.k), 2)
	v.add(&e)
	for i := range mu {
		mu[i] = -(uint16(m[i/8]>>(i%8)) & 1) & half
	}
	v.add(&mu)
	return packCompressed(out, &v, p.dv)
}

// decrypt is Algorithm 15.
func (k *PrivateKey) decrypt(c []byte) []byte {
	p := k.pub.p
	var w, u, v poly
	for i := range k.s {
		unpackCompressed(&u, c[i*p.du*n/8:], p.du)
		u.ntt()
		w.mulAdd(&k.s[i], &u)
	}
	w.invNTT()
	unpackCompressed(&v, c[p.k*p.du*n/8:], p.dv)
	v.sub(&w)
	m := make([]byte, 32)
	for i := range v {
		m[i/8] |= byte(compress(v[i], 1)) << (i % 8)
	}
	clear(v[:])
	clear(w[:])
	return m
}

// expandA returns the matrix, row by row.
func (p *Params) expandA(rho []byte) []poly {
	a := make([]poly, p.k*p.k)
	for i := range a {
		sampleNTT(&a[i], rho, byte(i%p.k), byte(i/p.k))
	}
	return a
}
