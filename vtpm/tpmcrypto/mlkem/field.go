package mlkem

const (
	n = 256
	q = 3329

	barrett = 20159 // 2^26/q, rounded
	half    = (q + 1) / 2
)

// A poly is a polynomial, or its image under NTT; all coefficients are in [0, q).
type poly [n]uint16

// reduceOnce brings a < 2q into [0, q).
func reduceOnce(a uint16) uint16 {
	a -= q
	return a + (a>>15)*q
}

func add(a, b uint16) uint16 { return reduceOnce(a + b) }
func sub(a, b uint16) uint16 { return reduceOnce(a + q - b) }

// reduce is a modulo q, for a below 2^25.
func reduce(a uint32) uint16 {
	quotient := uint32(uint64(a) * barrett >> 26) // the quotient, or one more
	r := int32(a - quotient*q)
	return uint16(r + (r>>31)&q)
}

func mul(a, b uint16) uint16 { return reduce(uint32(a) * uint32(b)) }

// ntt is Algorithm 9, in place.
func (f *poly) ntt() {
	i := 1
	for size := n / 2; size >= 2; size /= 2 {
		for start := 0; start < n; start += 2 * size {
			z := zetas[i]
			i++
			for j := start; j < start+size; j++ {
				t := mul(z, f[j+size])
				f[j+size] = sub(f[j], t)
				f[j] = add(f[j], t)
			}
		}
	}
}

// invNTT is Algorithm 10, in place.
func (f *poly) invNTT() {
	i := n/2 - 1
	for size := 2; size < n; size *= 2 {
		for start := 0; start < n; start += 2 * size {
			z := zetas[i]
			i--
			for j := start; j < start+size; j++ {
				t := f[j]
				f[j] = add(t, f[j+size])
				f[j+size] = mul(z, sub(f[j+size], t))
			}
		}
	}
	for i := range f {
		f[i] = mul(f[i], 3303) // 1/128
	}
}

// mulAdd adds a*b to f, all images (Algorithms 11 and 12).
func (f *poly) mulAdd(a, b *poly) {
	for i := 0; i < n; i += 2 {
		a0, a1, b0, b1 := uint32(a[i]), uint32(a[i+1]), uint32(b[i]), uint32(b[i+1])
		f[i] = add(f[i], reduce(a0*b0+uint32(mul(a[i+1], b[i+1]))*uint32(gammas[i/2])))
		f[i+1] = add(f[i+1], reduce(a0*b1+a1*b0))
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

// compress is a*2^bits/q rounded, modulo 2^bits (equation 4.7). The quotient is
// by multiplication: a division would tell secrets by its time.
func compress(a uint16, bits int) uint16 {
	const inverse = 1<<37/q + 1
	v := (uint64(a)<<bits + q/2) * inverse >> 37
	return uint16(v) & (1<<bits - 1)
}

// decompress is a*q/2^bits rounded (equation 4.8).
func decompress(a uint16, bits int) uint16 {
	return uint16((uint32(a)*q + 1<<(bits-1)) >> bits)
}
