package mldsa

import (
	"crypto/sha3"
	"crypto/subtle"
)

// attempts bounds the work on one signature, so that a fault cannot make it
// endless. Without one, 2^256 signatures do not meet it (FIPS 204, appendix C).
const attempts = 814

// SignMu signs the representative mu of a message (FIPS 204, Algorithm 7 from
// its line 7 on). rnd hedges the signature and is 32 random bytes, or zeros for
// the deterministic variant. ErrSize, ErrRejected.
func (k *PrivateKey) SignMu(mu, rnd []byte) ([]byte, error) {
	return k.signMu(mu, rnd, attempts)
}

func (k *PrivateKey) signMu(mu, rnd []byte, attempts int) ([]byte, error) {
	if len(mu) != MuSize || len(rnd) != RndSize {
		return nil, ErrSize
	}
	p := k.pub.p
	s := &signing{k: k, mu: mu, rho: shake(64, k.key, rnd, mu),
		y: make([]poly, p.l), z: make([]poly, p.l), w: make([]poly, p.k), h: make([]poly, p.k)}
	defer s.zero()
	for i := range attempts {
		if sig := s.attempt(i * p.l); sig != nil {
			return sig, nil
		}
	}
	return nil, ErrRejected
}

// signing is what the attempts at one signature share.
type signing struct {
	k          *PrivateKey
	mu, rho    []byte
	y, z, w, h []poly
}

func (s *signing) zero() {
	clear(s.rho)
	clear(s.y)
	clear(s.z)
	clear(s.w)
	clear(s.h)
}

// attempt is the loop of Algorithm 7 once. It returns nil if it is rejected.
func (s *signing) attempt(kappa int) []byte {
	k, p := s.k, s.k.pub.p
	for i := range s.y {
		p.expandMask(&s.y[i], s.rho, kappa+i)
		s.z[i] = s.y[i]
		s.z[i].ntt()
	}
	h := sha3.NewSHAKE256()
	h.Write(s.mu)
	var f poly
	defer clear(f[:])
	buf := make([]byte, 0, n)
	for i := range s.w {
		k.pub.row(&s.w[i], i, s.z)
		s.w[i].invNTT()
		for j, c := range s.w[i] {
			f[j], _ = p.decompose(c)
		}
		h.Write(pack(buf, &f, p.w1Bits()))
	}
	challenge := make([]byte, p.challenge)
	h.Read(challenge)
	var c poly
	p.sampleInBall(&c, challenge)
	c.ntt()

	var rejected uint32
	for i := range s.z {
		z := &s.z[i]
		z.mul(&c, &k.s1[i])
		z.invNTT()
		z.add(&s.y[i])
		rejected |= z.exceeds(p.gamma1() - p.beta())
	}
	if rejected != 0 {
		return nil
	}
	for i := range s.w {
		f.mul(&c, &k.s2[i])
		f.invNTT()
		s.w[i].sub(&f) // w - c*s2
		for j, v := range s.w[i] {
			_, f[j] = p.decompose(v)
		}
		rejected |= f.exceeds(p.gamma2 - p.beta())
	}
	if rejected != 0 {
		return nil
	}
	ones := uint32(0)
	for i := range s.w {
		f.mul(&c, &k.t0[i])
		f.invNTT()
		rejected |= f.exceeds(p.gamma2)
		for j, v := range s.w[i] {
			before, _ := p.decompose(v)
			after, _ := p.decompose(add(v, f[j]))
			x := before ^ after
			s.h[i][j] = (x | -x) >> 31
			ones += s.h[i][j]
		}
	}
	if rejected != 0 || ones > uint32(p.omega) {
		return nil
	}
	out := append(make([]byte, 0, p.SignatureSize()), challenge...)
	for i := range s.z {
		out = p.packZ(out, &s.z[i])
	}
	return p.packHint(out, s.h)
}

// VerifyMu reports whether sig is the key's signature over the representative
// mu of a message (FIPS 204, Algorithm 8 from its line 8 on). Anything else, of
// whatever length, is not.
func (k *PublicKey) VerifyMu(mu, sig []byte) bool {
	p := k.p
	if len(mu) != MuSize || len(sig) != p.SignatureSize() {
		return false
	}
	challenge, rest := sig[:p.challenge], sig[p.challenge:]
	z := make([]poly, p.l)
	for i := range z {
		p.unpackZ(&z[i], rest[:p.zSize()])
		rest = rest[p.zSize():]
		if z[i].exceeds(p.gamma1()-p.beta()) != 0 {
			return false
		}
		z[i].ntt()
	}
	hint := make([]poly, p.k)
	if !p.unpackHint(hint, rest) {
		return false
	}
	var c, w, f poly
	p.sampleInBall(&c, challenge)
	c.ntt()
	h := sha3.NewSHAKE256()
	h.Write(mu)
	buf := make([]byte, 0, n)
	for i := range hint {
		k.row(&w, i, z)
		f.mul(&c, &k.t1[i])
		w.sub(&f)
		w.invNTT()
		for j := range w {
			w[j] = p.useHint(hint[i][j] != 0, w[j])
		}
		h.Write(pack(buf, &w, p.w1Bits()))
	}
	want := make([]byte, p.challenge)
	h.Read(want)
	return subtle.ConstantTimeCompare(want, challenge) == 1
}
