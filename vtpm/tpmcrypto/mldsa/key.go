package mldsa

// A PublicKey verifies signatures.
type PublicKey struct {
	p     *Params
	bytes []byte
	tr    []byte
	a     []poly // the matrix
	t1    []poly // image of t1*2^d
}

// A PrivateKey signs. It has 17 to 23 KiB of secrets and 16 to 56 KiB of matrix.
type PrivateKey struct {
	pub        PublicKey
	key        []byte // K
	s1, s2, t0 []poly // images
}

// NewPrivate returns the key of a seed, xi (FIPS 204, Algorithm 6). ErrSize.
func NewPrivate(p *Params, seed []byte) (*PrivateKey, error) {
	if len(seed) != SeedSize {
		return nil, ErrSize
	}
	h := shake(128, seed, []byte{byte(p.k), byte(p.l)})
	defer clear(h)
	rho, rhoPrime := h[:32], h[32:96]
	k := &PrivateKey{key: append([]byte(nil), h[96:]...),
		s1: make([]poly, p.l), s2: make([]poly, p.k), t0: make([]poly, p.k)}
	k.pub = PublicKey{p: p, a: p.expandA(rho), t1: make([]poly, p.k)}
	for i := range k.s1 {
		p.rejBoundedPoly(&k.s1[i], rhoPrime, i)
		k.s1[i].ntt()
	}
	out := append(make([]byte, 0, p.PublicSize()), rho...)
	for i := range k.s2 {
		p.rejBoundedPoly(&k.s2[i], rhoPrime, p.l+i)
		var t poly
		k.pub.row(&t, i, k.s1)
		t.invNTT()
		t.add(&k.s2[i])
		k.s2[i].ntt()
		t1 := &k.pub.t1[i]
		for j := range t {
			t1[j], k.t0[i][j] = power2Round(t[j])
		}
		out = pack(out, t1, 10)
		k.t0[i].ntt()
		clear(t[:])
	}
	k.pub.finish(out)
	return k, nil
}

// NewPublic takes an encoded public key (FIPS 204, Algorithm 23). All values of
// the right length are keys. ErrSize for another length.
func NewPublic(p *Params, b []byte) (*PublicKey, error) {
	if len(b) != p.PublicSize() {
		return nil, ErrSize
	}
	k := &PublicKey{p: p, a: p.expandA(b[:32]), t1: make([]poly, p.k)}
	for i := range k.t1 {
		unpack(&k.t1[i], b[32+i*t1Bytes:32+(i+1)*t1Bytes], 10)
	}
	k.finish(append([]byte(nil), b...))
	return k, nil
}

// finish sets what follows from the encoded key, and t1 to its image.
func (k *PublicKey) finish(b []byte) {
	k.bytes = b
	k.tr = shake(64, b)
	for i := range k.t1 {
		for j := range k.t1[i] {
			k.t1[i][j] <<= d
		}
		k.t1[i].ntt()
	}
}

// row sets f to row i of the matrix times the images v.
func (k *PublicKey) row(f *poly, i int, v []poly) {
	a := k.a[i*k.p.l:]
	f.mul(&a[0], &v[0])
	for j := 1; j < k.p.l; j++ {
		f.mulAdd(&a[j], &v[j])
	}
}

// Bytes returns the encoded public key, which is the caller's to keep but not
// to change.
func (k *PublicKey) Bytes() []byte { return k.bytes }

// Tr returns the 64-byte digest of the public key that mu begins with.
func (k *PublicKey) Tr() []byte { return k.tr }

// Public returns the public key.
func (k *PrivateKey) Public() *PublicKey { return &k.pub }

// Zero wipes the secrets; the key is of no use afterwards.
func (k *PrivateKey) Zero() {
	clear(k.key)
	clear(k.s1)
	clear(k.s2)
	clear(k.t0)
}
