package tpmcrypto

import (
	"encoding/binary"
	"math/bits"
)

// weakDES are the keys of DES that are weak (first 4) or semi-weak, with the
// parity bits cleared (SP 800-67, 3.3.2).
var weakDES = [...]uint64{
	0x0000000000000000, 0xFEFEFEFEFEFEFEFE, 0xE0E0E0E0F0F0F0F0, 0x1E1E1E1E0E0E0E0E,
	0x001E001E000E000E, 0x1E001E000E000E00, 0x00E000E000F000F0, 0xE000E000F000F000,
	0x00FE00FE00FE00FE, 0xFE00FE00FE00FE00, 0x1EE01EE00EF00EF0, 0xE01EE01EF00EF00E,
	0x1EFE1EFE0EFE0EFE, 0xFE1EFE1EFE0EFE0E, 0xE0FEE0FEF0FEF0FE, 0xFEE0FEE0FEF0FEF0,
}

// goodTDES reports whether a TDES key of 16 or 24 octets has neither weak keys
// nor equal neighbours inside.
func goodTDES(key []byte) bool {
	if len(key) != 16 && len(key) != 24 {
		return false
	}
	var k [3]uint64
	for i := 0; i < len(key)/8; i++ {
		k[i] = binary.BigEndian.Uint64(key[8*i:]) &^ 0x0101010101010101
		for _, w := range weakDES {
			if k[i] == w {
				return false
			}
		}
	}
	if len(key) == 16 {
		return k[0] != k[1]
	}
	return k[0] != k[1] && k[1] != k[2] && k[0] != k[2]
}

// SetParity sets the lowest bit of each octet of a TDES key so that the octet
// has an odd number of ones.
func SetParity(key []byte) {
	for i, b := range key {
		key[i] = b&^1 | byte(1^bits.OnesCount8(b>>1)&1)
	}
}
