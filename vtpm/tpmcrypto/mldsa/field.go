package mldsa

const (
	n = 256
	q = 8380417 // 2^23 - 2^13 + 1
	d = 13

	t1Bytes = n * 10 / 8

	qNegInv = 4236238847 // -1/q modulo 2^32
	rr      = 2365951    // 2^64 modulo q
	degree  = 41978      // 2^64/256 modulo q: the last factor of the inverse NTT
)

// A poly is a polynomial, or its image under NTT; all coefficients are in [0, q).
type poly [n]uint32

// reduceOnce brings a < 2q into [0, q).
func reduceOnce(a uint32) uint32 {
	a -= q
	return a + (a>>31)*q
}

func add(a, b uint32) uint32 { return reduceOnce(a + b) }
func sub(a, b uint32) uint32 { return reduceOnce(a + q - b) }

// mont is Montgomery's product a*b/2^32.
func mont(a, b uint32) uint32 {
	t := uint64(a) * uint64(b)
	m := uint32(t) * qNegInv
	return reduceOnce(uint32((t + uint64(m)*q) >> 32))
}

// ntt is Algorithm 41, in place.
func (f *poly) ntt() {
	i := 0
	for size := n / 2; size > 0; size /= 2 {
		for start := 0; start < n; start += 2 * size {
			i++
			z := zetas[i]
			lo, hi := f[start:start+size], f[start+size:start+2*size]
			hi = hi[:len(lo)]
			for j := range lo {
				t := mont(z, hi[j])
				hi[j] = sub(lo[j], t)
				lo[j] = add(lo[j], t)
			}
		}
	}
}

// invNTT is Algorithm 42 times 2^32, in place: it undoes the factor that
// mulAdd leaves.
func (f *poly) invNTT() {
	i := n
	for size := 1; size < n; size *= 2 {
		for start := 0; start < n; start += 2 * size {
			i--
			z := q - zetas[i]
			lo, hi := f[start:start+size], f[start+size:start+2*size]
			hi = hi[:len(lo)]
			for j := range lo {
				t := lo[j]
				lo[j] = add(t, hi[j])
				hi[j] = mont(z, sub(t, hi[j]))
			}
		}
	}
	for j := range f {
		f[j] = mont(f[j], degree)
	}
}

// mul sets f to a*b/2^32, both images.
func (f *poly) mul(a, b *poly) {
	for i := range f {
		f[i] = mont(a[i], b[i])
	}
}

// mulAdd adds a*b/2^32 to f, all images.
func (f *poly) mulAdd(a, b *poly) {
	for i := range f {
		f[i] = add(f[i], mont(a[i], b[i]))
	}
}

func (f *poly) add(a *poly) {
	for i := range f {
		f[i] = add(f[i], a[i])
	}
}

func (f *poly) sub(a *poly) {
	for i := range f {
		f[i] = sub(f[i], a[i])
	}
}

// abs is the distance of a from 0 modulo q.
func abs(a uint32) uint32 {
	far := ((q-1)/2 - a) >> 31 // 1 if a stands for a negative number
	return a + far*(q-2*a)
}

// exceeds returns 1 if the norm of f is at least bound, else 0.
func (f *poly) exceeds(bound uint32) uint32 {
	var out uint32
	for _, c := range f {
		out |= (bound - 1 - abs(c)) >> 31
	}
	return out
}
