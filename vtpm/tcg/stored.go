package tcg

// MaxStored bounds the size of a field in our own encodings.
const MaxStored = 0xFFFF

// PadAuth returns an authorization value as it leaves the TPM: with zeros up to
// size, the largest that it can have, so that the size of what it is in does not
// tell its length (Part 1, 24.7.3). They are no part of the value.
func PadAuth(auth []byte, size int) []byte {
	b := make([]byte, max(size, len(auth)))
	copy(b, auth)
	return b
}
