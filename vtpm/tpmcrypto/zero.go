package tpmcrypto

import "crypto/subtle"

// Zero overwrites b with zeros.
//
// It promises that the bytes of this slice are zero when it returns. It does
// not promise that no other copy exists: the runtime may have copied the bytes
// (a growing append, a stack that moved), math/big and the standard library
// keep copies that cannot be reached, and pages may have been written out
// before. It shortens the life of a secret; it is no barrier.
func Zero(b []byte) { clear(b) }

// Equal compares a and b in time that depends on their lengths alone. Slices of
// different lengths are not equal.
func Equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// LeftPad returns b in size bytes with zeros in front, as the specification
// wants numbers of a known size (Part 1, 44.5.3). Leading zeros of a b that is
// too long are dropped; if its value does not fit, the result is nil.
func LeftPad(b []byte, size int) []byte {
	for len(b) > size {
		if b[0] != 0 {
			return nil
		}
		b = b[1:]
	}
	out := make([]byte, size)
	copy(out[size-len(b):], b)
	return out
}
