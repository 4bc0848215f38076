package tcg

// TrimAuth returns an authorization value without trailing zeros, which are not
// part of it (Part 1, "Authorization Value").
func TrimAuth(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}
