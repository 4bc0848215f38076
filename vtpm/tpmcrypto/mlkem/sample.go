package mlkem

import "crypto/sha3"

// sampleNTT is Algorithm 7: an image from rho, a column and a row.
func sampleNTT(f *poly, rho []byte, j, i byte) {
	h := sha3.NewSHAKE128()
	h.Write(rho)
	h.Write([]byte{j, i})
	var b [168]byte
	for at := 0; ; {
		h.Read(b[:])
		for x := 0; x < len(b); x += 3 {
			for _, v := range [2]uint16{uint16(b[x]) | uint16(b[x+1]&15)<<8, uint16(b[x+1]>>4) | uint16(b[x+2])<<4} {
				if v >= q {
					continue
				}
				f[at] = v
				if at++; at == n {
					return
				}
			}
		}
	}
}

// samplePolyCBD is Algorithm 8, of the PRF of a seed and a nonce.
func samplePolyCBD(f *poly, seed []byte, nonce byte, eta int) {
	var buf [64 * 3]byte
	defer clear(buf[:])
	b := buf[:64*eta]
	h := sha3.NewSHAKE256()
	h.Write(seed)
	h.Write([]byte{nonce})
	h.Read(b)
	bit := func(i int) uint16 { return uint16(b[i/8]>>(i%8)) & 1 }
	for i := range f {
		var x, y uint16
		for j := range eta {
			x += bit(2*i*eta + j)
			y += bit(2*i*eta + eta + j)
		}
		f[i] = sub(x, y)
	}
}
