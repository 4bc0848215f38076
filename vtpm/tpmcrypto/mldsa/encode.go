package mldsa

import "crypto/sha3"

// pack appends f with bits bits to a coefficient, lowest first (Algorithm 16).
func pack(out []byte, f *poly, bits int) []byte {
	var acc uint64
	have := 0
	for _, c := range f {
		acc |= uint64(c) << have
		for have += bits; have >= 8; have -= 8 {
			out = append(out, byte(acc))
			acc >>= 8
		}
	}
	return out
}

// unpack reads what pack wrote (Algorithm 18). b has n*bits/8 bytes.
func unpack(f *poly, b []byte, bits int) {
	var acc uint64
	have := 0
	for i := range f {
		for ; have < bits; have += 8 {
			acc |= uint64(b[0]) << have
			b = b[1:]
		}
		f[i] = uint32(acc & (1<<bits - 1))
		acc >>= bits
		have -= bits
	}
}

// packZ appends f, whose coefficients are in (-gamma1, gamma1] (Algorithm 17).
func (p *Params) packZ(out []byte, f *poly) []byte {
	var g poly
	for i := range f {
		g[i] = sub(p.gamma1(), f[i])
	}
	return pack(out, &g, p.gamma1Bits+1)
}

func (p *Params) zSize() int { return n * (p.gamma1Bits + 1) / 8 }

// unpackZ reads what packZ wrote (Algorithm 19).
func (p *Params) unpackZ(f *poly, b []byte) {
	unpack(f, b, p.gamma1Bits+1)
	for i := range f {
		f[i] = sub(p.gamma1(), f[i])
	}
}

// w1Bits is the size in bits of a coefficient of w1.
func (p *Params) w1Bits() int {
	if p.gamma2 == (q-1)/32 {
		return 4
	}
	return 6
}

// packHint appends h (Algorithm 20).
func (p *Params) packHint(out []byte, h []poly) []byte {
	y := make([]byte, p.omega+p.k)
	at := 0
	for i := range h {
		for j, v := range h[i] {
			if v != 0 {
				y[at] = byte(j)
				at++
			}
		}
		y[p.omega+i] = byte(at)
	}
	return append(out, y...)
}

// unpackHint reads what packHint wrote, and nothing else (Algorithm 21).
func (p *Params) unpackHint(h []poly, y []byte) bool {
	at := 0
	for i := range h {
		h[i] = poly{}
		end := int(y[p.omega+i])
		if end < at || end > p.omega {
			return false
		}
		for first := at; at < end; at++ {
			if at > first && y[at-1] >= y[at] {
				return false
			}
			h[i][y[at]] = 1
		}
	}
	for _, v := range y[at:p.omega] {
		if v != 0 {
			return false
		}
	}
	return true
}

// shake returns n bytes of SHAKE256 of parts.
func shake(n int, parts ...[]byte) []byte {
	h := sha3.NewSHAKE256()
	for _, b := range parts {
		h.Write(b)
	}
	out := make([]byte, n)
	h.Read(out)
	return out
}
