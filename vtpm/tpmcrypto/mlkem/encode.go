package mlkem

// pack appends f with bits bits to a coefficient, lowest first (Algorithm 5).
func pack(out []byte, f *poly, bits int) []byte {
	var acc uint32
	have := 0
	for _, c := range f {
		acc |= uint32(c) << have
		for have += bits; have >= 8; have -= 8 {
			out = append(out, byte(acc))
			acc >>= 8
		}
	}
	return out
}

// unpack reads what pack wrote (Algorithm 6) at the start of b.
func unpack(f *poly, b []byte, bits int) {
	var acc uint32
	have := 0
	for i := range f {
		for ; have < bits; have += 8 {
			acc |= uint32(b[0]) << have
			b = b[1:]
		}
		f[i] = uint16(acc & (1<<bits - 1))
		acc >>= bits
		have -= bits
	}
}

// packCompressed appends f compressed to bits bits to a coefficient.
func packCompressed(out []byte, f *poly, bits int) []byte {
	var g poly
	for i, c := range f {
		g[i] = compress(c, bits)
	}
	return pack(out, &g, bits)
}

// unpackCompressed reads what packCompressed wrote at the start of b.
func unpackCompressed(f *poly, b []byte, bits int) {
	unpack(f, b, bits)
	for i, c := range f {
		f[i] = decompress(c, bits)
	}
}
