package mldsa

import "crypto/sha3"

// rejNTTPoly is Algorithm 30: an image from rho, a column and a row.
func rejNTTPoly(f *poly, rho []byte, s, r byte) {
	h := sha3.NewSHAKE128()
	h.Write(rho)
	h.Write([]byte{s, r})
	var b [168]byte
	for i := 0; ; {
		h.Read(b[:])
		for j := 0; j < len(b); j += 3 {
			v := uint32(b[j]) | uint32(b[j+1])<<8 | uint32(b[j+2]&0x7F)<<16
			if v >= q {
				continue
			}
			f[i] = v
			if i++; i == n {
				return
			}
		}
	}
}

// expandA is Algorithm 32: the matrix, row by row.
func (p *Params) expandA(rho []byte) []poly {
	a := make([]poly, p.k*p.l)
	for r := range p.k {
		for s := range p.l {
			rejNTTPoly(&a[r*p.l+s], rho, byte(s), byte(r))
		}
	}
	return a
}

// rejBoundedPoly is Algorithm 31: coefficients in [-eta, eta]. Which half
// bytes are left out is seen by timing, and says nothing about the others.
func (p *Params) rejBoundedPoly(f *poly, rho []byte, nonce int) {
	h := sha3.NewSHAKE256()
	h.Write(rho)
	h.Write([]byte{byte(nonce), byte(nonce >> 8)})
	var b [136]byte
	defer clear(b[:])
	for i := 0; ; {
		h.Read(b[:])
		for _, v := range b {
			for _, z := range [2]uint32{uint32(v & 15), uint32(v >> 4)} {
				if p.eta == 2 {
					if z >= 15 {
						continue
					}
					z -= 5 * (z * 13 >> 6) // z modulo 5
				} else if z >= 9 {
					continue
				}
				f[i] = sub(uint32(p.eta), z)
				if i++; i == n {
					return
				}
			}
		}
	}
}

// expandMask is Algorithm 34 for one polynomial.
func (p *Params) expandMask(f *poly, rho []byte, nonce int) {
	b := shake(p.zSize(), rho, []byte{byte(nonce), byte(nonce >> 8)})
	p.unpackZ(f, b)
	clear(b)
}

// sampleInBall is Algorithm 29: tau coefficients are 1 or -1.
func (p *Params) sampleInBall(f *poly, challenge []byte) {
	*f = poly{}
	h := sha3.NewSHAKE256()
	h.Write(challenge)
	var b [136]byte
	h.Read(b[:])
	var signs uint64
	for i := range 8 {
		signs |= uint64(b[i]) << (8 * i)
	}
	rest := b[8:]
	for i := n - p.tau; i < n; {
		if len(rest) == 0 {
			h.Read(b[:])
			rest = b[:]
		}
		j := int(rest[0])
		rest = rest[1:]
		if j > i {
			continue
		}
		f[i] = f[j]
		f[j] = 1 + uint32(signs&1)*(q-2)
		signs >>= 1
		i++
	}
}
